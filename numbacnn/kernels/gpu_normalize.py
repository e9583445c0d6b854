"""Twins of kernels/normalize.py and normalize_backward.py. A block of threads takes COLUMNS places of the lines of a part (kernels/reduce.py): a
thread keeps its channel's coefficients in registers while it goes down, and no element needs a division to find its channel.

What a line holds is read several times ahead of what is written, because the result may overwrite an input.
"""

import math

import numpy as np

from ..jit import compiled, cuda
from .gpu_columns import CELLS, COLUMNS, DEEP, FEW, ROWS, deep, down, share_of, together
from .gpu_places import quotient, remainder


@compiled
def _bound(value, lo, hi):
    """NaN stays NaN."""
    value = lo if value < lo else value
    return hi if value > hi else value


def scaled_and_shifted(x, centre, scale, shift, residual, lo, hi, size, channels, width, block, count, y):
    j, p = cuda.blockIdx.y * COLUMNS + cuda.threadIdx.x, cuda.blockIdx.x
    if j < width:
        sample, b = quotient(p, count), remainder(p, count)
        c, step, end = remainder(j, channels), ROWS * width, sample * size + min((b + 1) * block, size)
        m, s, t, more = centre[sample * channels + c], scale[sample * channels + c], shift[c], residual.size > 0
        i = sample * size + b * block + cuda.threadIdx.y * width + j
        while i + 3 * step < end:
            v, w, u, z = x[i], x[i + step], x[i + 2 * step], x[i + 3 * step]
            v, w, u, z = (v - m) * s + t, (w - m) * s + t, (u - m) * s + t, (z - m) * s + t
            if more:
                v, w, u, z = v + residual[i], w + residual[i + step], u + residual[i + 2 * step], z + residual[i + 3 * step]
            y[i], y[i + step] = _bound(v, lo, hi), _bound(w, lo, hi)
            y[i + 2 * step], y[i + 3 * step] = _bound(u, lo, hi), _bound(z, lo, hi)
            i += 4 * step
        while i < end:
            v = (x[i] - m) * s + t
            if more:
                v += residual[i]
            y[i] = _bound(v, lo, hi)
            i += step


def sums_of_gradient(x, y, dy, centre, scale, shift, lo, hi, size, channels, width, block, count, g, partial):
    scratch = cuda.shared.array((ROWS, COLUMNS), x.dtype)
    j, p, nothing = cuda.blockIdx.y * COLUMNS + cuda.threadIdx.x, cuda.blockIdx.x, x.dtype.type(0)
    total, product = nothing, nothing
    if j < width:
        sample, b = quotient(p, count), remainder(p, count)
        c, step, end = remainder(j, channels), ROWS * width, sample * size + min((b + 1) * block, size)
        m, s, t = centre[sample * channels + c], scale[sample * channels + c], shift[c]
        clamped, kept, keep = (lo > -np.inf) | (hi < np.inf), y.size > 0, g.size > 0
        i = sample * size + b * block + cuda.threadIdx.y * width + j
        while i < end:
            there = i + step < end
            k = i + step if there else i
            d, e, grad, other = x[i] - m, x[k] - m, dy[i], dy[k]
            if clamped:
                v, w = (y[i], y[k]) if kept else (d * s + t, e * s + t)
                grad, other = grad if (v > lo) & (v < hi) else nothing, other if (w > lo) & (w < hi) else nothing
                if keep:
                    g[i] = grad
                    if there:
                        g[k] = other
            total += grad
            product += grad * d
            if there:
                total += other
                product += other * e
            i += 2 * step
    total, product = down(total, scratch), down(product, scratch)
    if cuda.threadIdx.y == 0 and j < width:
        partial[p, 0, j], partial[p, 1, j] = total, product


def coefficients_of_gradient(partial, gamma, variance, epsilon, groups, size, factor, slope, level, dgamma, dbeta):
    scratch = cuda.shared.array(CELLS, np.float64)
    samples, channels = variance.shape
    tx, depth, parts, line = cuda.threadIdx.x, quotient(channels, groups), quotient(partial.shape[0], samples), partial.shape[2]
    share = share_of(depth)
    jobs = quotient(channels + share - 1, share)
    s, first = quotient(cuda.blockIdx.x, jobs), remainder(cuda.blockIdx.x, jobs) * share
    end = min(first + share, channels)
    a, b, elements = 0.0, 0.0, np.float64(size) / np.float64(groups)
    for start in range(first, end, FEW):  # more than one round only where a group has more channels
        c, total, product = start + tx, 0.0, 0.0
        if c < end:
            for p in range(s * parts + cuda.threadIdx.y, (s + 1) * parts, DEEP):
                for r in range(c, line, channels):
                    total += partial[p, 0, r]
                    product += partial[p, 1, r]
        total, product = deep(total, scratch), deep(product, scratch)
        if c < end:
            inverse = 1.0 / math.sqrt(np.float64(variance[s, c]) + epsilon)
            product *= inverse
            a += gamma[c] * total
            b += gamma[c] * product
            if cuda.threadIdx.y == 0:
                factor[s, c], dgamma[s, c], dbeta[s, c] = gamma[c] * inverse, product, total
    a, b = together(a, depth, scratch), together(b, depth, scratch)
    if cuda.threadIdx.y == 0:
        for c in range(first + tx, end, FEW):
            inverse = 1.0 / math.sqrt(np.float64(variance[s, c]) + epsilon)
            slope[s, c], level[s, c] = -b / elements * inverse * inverse, -a / elements * inverse


@compiled
def _gradient(v, grad, s, t, f, n, a, lo, hi, clamped):
    value = v * s + t
    if clamped and not ((value > lo) & (value < hi)):
        grad -= grad  # NaN stays NaN
    return grad * f + (v * n + a)


def gradient_by_input(x, dy, centre, scale, shift, factor, slope, level, lo, hi, size, channels, width, block, count, dx):
    j, p = cuda.blockIdx.y * COLUMNS + cuda.threadIdx.x, cuda.blockIdx.x
    if j < width:
        sample, b = quotient(p, count), remainder(p, count)
        c, step, end = remainder(j, channels), ROWS * width, sample * size + min((b + 1) * block, size)
        k = sample * channels + c
        m, s, t, f, n, a = centre[k], scale[k], shift[c], factor[k], slope[k], level[k]
        clamped = (lo > -np.inf) | (hi < np.inf)
        i = sample * size + b * block + cuda.threadIdx.y * width + j
        while i + 3 * step < end:
            v, w, u, z = x[i] - m, x[i + step] - m, x[i + 2 * step] - m, x[i + 3 * step] - m
            gv, gw, gu, gz = dy[i], dy[i + step], dy[i + 2 * step], dy[i + 3 * step]
            dx[i], dx[i + step] = _gradient(v, gv, s, t, f, n, a, lo, hi, clamped), _gradient(w, gw, s, t, f, n, a, lo, hi, clamped)
            dx[i + 2 * step], dx[i + 3 * step] = _gradient(u, gu, s, t, f, n, a, lo, hi, clamped), _gradient(z, gz, s, t, f, n, a, lo, hi, clamped)
            i += 4 * step
        while i < end:
            dx[i] = _gradient(x[i] - m, dy[i], s, t, f, n, a, lo, hi, clamped)
            i += step
