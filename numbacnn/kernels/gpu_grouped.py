"""Convolution in groups of any size on a GPU: a thread makes PIXELS pixels of one output channel, or sums up DEPTH numbers of the weight gradient.

These are the plain sums, which are always possible. Where source and result meet is listed as for the direct kernels (kernels/convolution.py):
taps [T, 3] and phases [P, 8], so that the gradient by the input of a strided convolution meets only taps that exist.
convolutions/gpu_grouped.py notes the launches.
"""

import numpy as np

from ..jit import Kernel, cuda, factory, kernel, named, prange
from .finish import Function, label
from .gpu import LANES, ROWS, gpu_kernel, index
from .gpu_finish import finishing
from .ptx import divide

PIXELS = 4  # neighbours of a lattice of the output, which share the weights that a thread reads
DEPTH = 4  # input channels of a group whose sums a thread of the weight gradient makes
MOST_BLOCKS = 1024  # that a weight gradient is worth; never derived from the GPU, so that all give the same bits
SLOTS = LANES * ROWS


@kernel
def swap_channels(weights, groups, swapped):
    """swapped [taps, outputs of a group, inputs] from weights [taps, inputs of a group, outputs]: the kernel of the gradient by the input."""
    inner, outer = weights.shape[1], swapped.shape[1]
    for job in prange(swapped.shape[0] * outer):
        t, o = job // outer, job % outer
        for g in range(groups):
            for i in range(inner):
                swapped[t, o, g * inner + i] = weights[t, i, g * outer + o]


def _lattices(x, weights, bias, scale, shift, residual, lo, hi, taps, phases, image, result, steps, groups, y):
    rows, columns = -(-result[1] // steps[0]), -(-result[2] // steps[1])
    return result[0] * -(-rows // ROWS) * -(-columns // PIXELS) * -(-result[3] // LANES), phases.shape[0]


@factory
def grouped(function: Function | None) -> Kernel:
    """The kernel for y = clamp((sum over its phase's taps + bias) * scale + shift + residual), or function in the clamp's place (gpu_finish.py).

    x [N * H * W * C], weights [taps * C / groups * C'], bias, scale, shift [C'], residual like y, or empty; image (H, W, C), result
    (N, H', W', C'); steps: rows and columns between two places of a phase's lattice; y [N * H' * W' * C'].
    """
    finish = finishing(function)

    def run(x, weights, bias, scale, shift, residual, lo, hi, taps, phases, image, result, steps, groups, y):
        height, width, channels = image
        rows, across, outputs = result[1], result[2], result[3]
        phase = phases[cuda.blockIdx.y]
        down, aside = (rows + steps[0] - 1) // steps[0], (across + steps[1] - 1) // steps[1]  # places of the largest lattice
        rest, block = divide(cuda.blockIdx.x, (outputs + LANES - 1) // LANES)
        rest, strip = divide(rest, (aside + PIXELS - 1) // PIXELS)
        n, band = divide(rest, (down + ROWS - 1) // ROWS)
        c, a, b = block * LANES + cuda.threadIdx.x, band * ROWS + cuda.threadIdx.y, strip * PIXELS
        i, j = phase[0] + a * phase[6], phase[1] + b * phase[7]
        if c >= outputs or i >= rows or j >= across:
            return
        depth = divide(channels, groups)[0]
        source = divide(c, divide(outputs, groups)[0])[0] * depth
        zero, row = x.dtype.type(0), index(outputs)
        sums, inside = cuda.local.array(PIXELS, x.dtype), cuda.local.array(PIXELS, np.int32)
        for p in range(PIXELS):
            sums[p] = zero
        for t in range(phase[2], phase[3]):
            r, q = a * phase[4] + taps[t, 0], b * phase[5] + taps[t, 1]
            if 0 <= r < height:
                for p in range(PIXELS):
                    inside[p] = 0 <= q + p * phase[5] < width
                place, step = ((n * height + r) * width + q) * channels + source, phase[5] * channels
                w = index(taps[t, 2] * depth * outputs + c)
                for _ in range(depth):
                    factor = weights[w]
                    w += row
                    for p in range(PIXELS):
                        if inside[p] > 0:
                            sums[p] += x[index(place + p * step)] * factor
                    place += 1
        for p in range(PIXELS):
            col = j + p * phase[7]
            if col < across:
                finish((sums[p] + bias[c]) * scale[c] + shift[c], residual, lo, hi, c, index(((n * rows + i) * across + col) * outputs + c), y)

    return gpu_kernel(threads=(LANES, ROWS), blocks=_lattices)(named(run, f"grouped{label(function)}"))


def parts_of(result: tuple[int, ...], taps: int, depth: int) -> int:
    """Into how many parts the rows of all images are cut for the weight gradient, for a result (N, H', W', C') and so many inputs of a group."""
    others = taps * -(-depth // DEPTH) * -(-result[3] // LANES)
    return max(1, min(-(-result[0] * result[1] // ROWS), MOST_BLOCKS // others))


def _gradient_blocks(x, dy, taps, image, result, strides, groups, sums, biases):
    return -(-result[3] // LANES) * sums.shape[0], taps.shape[0] * -(-sums.shape[2] // DEPTH)


@gpu_kernel(threads=(LANES, ROWS), blocks=_gradient_blocks)
def grouped_weights(x, dy, taps, image, result, strides, groups, sums, biases):
    """sums [parts, taps, C / groups, C']: the gradient by the weights of each part of the images' rows; biases [parts, C']: the sums of dy.

    x [N * H * W * C], dy [N * H' * W' * C'], image (H, W, C), result (N, H', W', C').
    """
    height, width, channels = image
    images, rows, across, outputs = result
    parts, depth = sums.shape[0], sums.shape[2]
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    part, block = divide(cuda.blockIdx.x, (outputs + LANES - 1) // LANES)
    t, deep = divide(cuda.blockIdx.y, (depth + DEPTH - 1) // DEPTH)
    c, first = block * LANES + tx, deep * DEPTH
    zero = x.dtype.type(0)
    total = cuda.local.array(DEPTH, x.dtype)
    for k in range(DEPTH):
        total[k] = zero
    whole = zero
    if c < outputs:
        source, lines = divide(c, divide(outputs, groups)[0])[0] * depth + first, images * rows
        offset, stride = taps[t, 1], strides[1]
        start = divide(max(-offset, 0) + stride - 1, stride)[0]  # of the columns whose tap lies inside
        end = min(divide(max(width - offset, 0) + stride - 1, stride)[0], across)
        for line in range(part * lines // parts + ty, (part + 1) * lines // parts, ROWS):
            n, i = divide(line, rows)
            r, at = i * strides[0] + taps[t, 0], line * across * outputs + c
            if cuda.blockIdx.y == 0:
                for j in range(across):
                    whole += dy[index(at + j * outputs)]
            if 0 <= r < height:
                place = ((n * height + r) * width + start * stride + offset) * channels + source
                at += start * outputs
                for _ in range(start, end):
                    grad = dy[index(at)]
                    for k in range(DEPTH):
                        if first + k < depth:
                            total[k] += x[index(place + k)] * grad
                    at += outputs
                    place += stride * channels
    shares = cuda.shared.array(SLOTS, x.dtype)
    for k in range(DEPTH + 1):
        shares[ty * LANES + tx] = total[k] if k < DEPTH else whole
        cuda.syncthreads()
        if ty == k and c < outputs:
            one = shares[tx]
            for q in range(1, ROWS):
                one += shares[q * LANES + tx]
            if k < DEPTH and first + k < depth:
                sums[part, t, first + k, c] = one
            elif k == DEPTH and cuda.blockIdx.y == 0:
                biases[part, c] = one
        cuda.syncthreads()
