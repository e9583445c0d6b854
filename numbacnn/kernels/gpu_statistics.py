"""Twins of kernels/statistics.py: moments of parts in one pass over the array, and what is put together from them."""

import math

import numpy as np

from ..jit import cuda
from .gpu_columns import CELLS, COLUMNS, DEEP, FEW, ROWS, deep, share_of, together
from .gpu_places import quotient, remainder


def moments_of_parts(x, size, width, block, count, moments):
    """A block of threads a part and COLUMNS places of its lines. Each thread joins four lines at a time to those before, so that nothing
    cancels however far the mean is from zero; the threads of a column are joined in order."""
    numbers, means, sums = cuda.shared.array((ROWS, COLUMNS), x.dtype), cuda.shared.array((ROWS, COLUMNS), x.dtype), cuda.shared.array((ROWS, COLUMNS), x.dtype)
    tx, ty, p = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.x
    j, parts, kind = cuda.blockIdx.y * COLUMNS + tx, count + (remainder(size, width) > 0), x.dtype.type
    sample, b = quotient(p, parts), remainder(p, parts)
    lines, at = quotient(min(block, size - b * block), width), sample * size + b * block + j
    if b == count:  # what a sample has behind its last whole line
        lines, at = int(j < remainder(size, width)), (sample + 1) * size - remainder(size, width) + j
    if j >= width:
        lines = 0
    mine, n, step = (lines - ty + ROWS - 1) // ROWS, kind(0), ROWS * width
    at += ty * width
    mean, squares = kind(0), kind(0)
    for _ in range(mine // 4):
        v, w, y, z = x[at], x[at + step], x[at + 2 * step], x[at + 3 * step]
        new = ((v + w) + (y + z)) * kind(0.25)
        v, w, y, z = v - new, w - new, y - new, z - new
        share, d = kind(4) / (n + kind(4)), new - mean
        mean += d * share
        squares += ((v * v + w * w) + (y * y + z * z)) + d * (d * (share * n))
        n += kind(4)
        at += 4 * step
    for _ in range(mine % 4):
        share, d = kind(1) / (n + kind(1)), x[at] - mean
        mean += d * share
        squares += d * (d * (share * n))
        n += kind(1)
        at += step
    numbers[ty, tx], means[ty, tx], sums[ty, tx] = n, mean, squares
    cuda.syncthreads()
    if ty == 0 and j < width:
        for r in range(1, ROWS):
            more = numbers[r, tx]
            if more > kind(0):
                share, d = more / (n + more), means[r, tx] - mean
                mean += d * share
                squares += sums[r, tx] + d * (d * (share * n))
                n += more
        moments[p, 0, j], moments[p, 1, j], moments[p, 2, j] = n, mean, squares


def put_together(moments, gamma, epsilon, groups, mean, variance, scale):
    """A block of threads takes whole groups of channels of a sample. One pass: deviations are taken from the first part's mean."""
    scratch = cuda.shared.array(CELLS, np.float64)
    samples, channels = mean.shape
    tx, depth, parts, line = cuda.threadIdx.x, quotient(channels, groups), quotient(moments.shape[0], samples), moments.shape[2]
    share = share_of(depth)
    jobs = quotient(channels + share - 1, share)
    s, first = quotient(cuda.blockIdx.x, jobs), remainder(cuda.blockIdx.x, jobs) * share
    end = min(first + share, channels)
    about = 0.0
    if first + tx < end or depth > FEW:
        about = np.float64(moments[s * parts, 1, first + (quotient(tx, depth) * depth if depth <= FEW else 0)])
    n, off, total = 0.0, 0.0, 0.0
    for c in range(first + tx, end, FEW):
        for p in range(s * parts + cuda.threadIdx.y, (s + 1) * parts, DEEP):
            for r in range(c, line, channels):
                number, d = np.float64(moments[p, 0, r]), np.float64(moments[p, 1, r]) - about
                n += number
                off += number * d
                total += np.float64(moments[p, 2, r]) + number * d * d
    n = together(deep(n, scratch), depth, scratch)
    off = together(deep(off, scratch), depth, scratch)
    total = together(deep(total, scratch), depth, scratch)
    n = max(n, 1.0)  # columns behind the last
    off /= n
    spread = total / n - off * off
    if spread < 0.0:  # by rounding; NaN stays
        spread = 0.0
    if cuda.threadIdx.y == 0:
        for c in range(first + tx, end, FEW):
            mean[s, c] = about + off
            variance[s, c] = spread
            scale[s, c] = gamma[c] / math.sqrt(spread + epsilon)
