"""Direct convolution on register tiles: forward, and the gradient by the data, which is a convolution too.

A job makes a block of output pixels. It first writes down, for every tap, where each pixel's input lies (a row of zeros for
what lies outside), and then multiplies M pixels at once with packed weights: no im2col, no padded copy, no branch inside.
The table of addresses is the idea of "The Indirect Convolution Algorithm" (Dukhan, 2019).

The gradient by the data of a strided convolution falls apart into phases: output pixels that share the same taps. A phase is
a lattice of the output; all are written by one launch.
"""

import numpy as np

from ..jit import compiled, kernel, prange
from .moments import moments_of
from .tile import M, V, address, clamp, gather, lanes, madd, plus, put, spread, store, vmadd, zero

TILES = 8  # tiles of M pixels that share one table of addresses
JOBS = 16  # enough for a few threads; never derived from their number

Taps = tuple[np.ndarray, np.ndarray]


def forward_taps(kernel_size: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int], low: tuple[int, int]) -> Taps:
    """(taps, phases) of y[i, j] = sum x[i * s + dy, j * s + dx] @ w[t], the input padded by `low` at its start.

    taps [T, 3]: dy, dx, t.  phases [P, 8]: first row and column of the output lattice, its range of taps,
    steps in the input (rows, columns) for one place of the lattice, steps of the lattice in the output.
    """
    kh, kw = kernel_size
    taps = [(i * dilation[0] - low[0], j * dilation[1] - low[1], i * kw + j) for i in range(kh) for j in range(kw)]
    return np.array(taps, np.int64), np.array([(0, 0, 0, kh * kw, *strides, 1, 1)], np.int64)


def data_taps(kernel_size: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int], low: tuple[int, int]) -> Taps:
    """(taps, phases) of the same convolution's gradient by its input: x[r] collects w[i].T @ y[(r + low - i * dilation) / stride]."""
    kw = kernel_size[1]

    def reached(a: int, axis: int) -> list[tuple[int, int]]:
        """(offset in y, tap) for x's places a, a + stride, …"""
        shifts = ((a + low[axis] - i * dilation[axis], i) for i in range(kernel_size[axis]))
        return [(shift // strides[axis], i) for shift, i in shifts if shift % strides[axis] == 0]

    taps, phases = [], []
    for a in range(strides[0]):
        for b in range(strides[1]):
            first = len(taps)
            taps += [(u, v, i * kw + j) for u, i in reached(a, 0) for v, j in reached(b, 1)]
            phases.append((a, b, first, len(taps), 1, 1, *strides))
    return np.array(taps, np.int64).reshape(-1, 3), np.array(phases, np.int64)


def packed_shape(taps: int, depth: int, outputs: int, groups: int, dtype: np.dtype | type) -> tuple[int, int, int, int, int]:
    """[group, block of output channels, tap, input channel of the group, channel of the block]: what `convolve` reads in order."""
    width = V * lanes(dtype)
    return groups, -(-(outputs // groups) // width), taps, depth, width


@kernel
def pack(weights, bias, scale, shift, transposed, packed, packed_bias):
    """Weights (kh, kw, in / groups, out) and bias as `convolve` wants them, the output scaled and shifted per channel.

    transposed 1: for the gradient by the data, where the roles of the channels are swapped; bias, scale and shift then
    belong to the convolution's inputs. packed as packed_shape, packed_bias [groups * blocks * width]; padding is zero.
    """
    groups, blocks = packed.shape[:2]
    for job in prange(groups * blocks):
        _pack_block(weights.reshape(-1), bias, scale, shift, transposed, job // blocks, job % blocks, packed, packed_bias)


@compiled
def _pack_block(weights, bias, scale, shift, transposed, group, block, packed, packed_bias):
    groups, blocks, taps, depth, width = packed.shape
    outputs = bias.size // groups
    first, filled = group * outputs + block * width, min(width, outputs - block * width)
    out = packed[group, block].reshape(-1)
    out_bias = packed_bias[(group * blocks + block) * width :]
    factor = scale[first : first + filled]
    if filled < width:
        out[:] = 0
        out_bias[:width] = 0
    for lane in range(filled):
        out_bias[lane] = bias[first + lane] * factor[lane] + shift[first + lane]
    row = groups * (depth if transposed else outputs)  # channels that lie side by side
    for t in range(taps):
        place = out[t * depth * width :]
        if transposed:
            source = weights[(t * outputs + block * width) * row + group * depth :]
            for lane in range(filled):
                for i in range(depth):
                    place[i * width + lane] = source[lane * row + i] * factor[lane]
        else:
            source = weights[t * depth * row + first :]
            for i in range(depth):
                if filled == width:
                    store(vmadd(zero(weights, 1, V), spread(source, i * row, 0, 1), 0, factor, 0), place, i * width, 0)
                else:
                    for lane in range(filled):
                        place[i * width + lane] = source[i * row + lane] * factor[lane]


@compiled
def locate(p0, pixels, rows, columns, where):
    """where[:, i] = (image, row, column) of pixel p0 + i of images of rows x columns; image -1 past the last."""
    image, rest = divmod(p0, rows * columns)
    r, c = divmod(rest, columns)
    for i in range(where.shape[1]):
        where[0, i] = image if p0 + i < pixels else -1
        where[1, i] = r
        where[2, i] = c
        c += 1
        if c == columns:
            c = 0
            r += 1
            if r == rows:
                r = 0
                image += 1


@compiled
def addresses(where, base, h, w, size, rows, columns, dy, dx, nil, out):
    """out[i] = base + size * (place of pixel (row * rows + dy, column * columns + dx) in images of h x w), nil if outside."""
    for i in range(out.size):
        image = where[0, i]
        y = where[1, i] * rows + dy
        x = where[2, i] * columns + dx
        inside = (image >= 0) & (y >= 0) & (y < h) & (x >= 0) & (x < w)
        out[i] = base + ((image * h + y) * w + x) * size if inside else nil


@compiled
def zeros(x, count):
    """A row of zeros of x's type; in a function of its own, because Numba would make a parallel loop of np.zeros."""
    return np.zeros(count, x.dtype)


def spans_of(pixels: int) -> int:
    """Into how many spans `convolve` cuts the (largest) lattice of the output, each with moments of its own."""
    return -(-(-(-pixels // M)) // TILES)


@kernel(in_place=("residual",))
def convolve(x, packed, bias, residual, taps, phases, lo, hi, y, moments):
    """y[phase's lattice] = clamp(bias + sum over the phase's taps of x[shifted] @ packed[tap] + residual, lo, hi).

    x (N, H, W, C), y and residual (N, H', W', C'); packed and bias as `pack` makes them; taps and phases of forward_taps or data_taps.
    An empty residual is none; moments [spans_of(pixels), 3, C'] get the statistics of y where there is one phase, (0, 3, C') none.
    A depth larger than x's channels reads on into the pixels to the right, which must be there (see pad_columns).
    """
    groups, blocks = packed.shape[:2]
    count = phases.shape[0]
    # Phase 0 has the largest lattice.
    tiles = (y.shape[0] * _places(y.shape[1], phases[0, 0], phases[0, 6]) * _places(y.shape[2], phases[0, 1], phases[0, 7]) + M - 1) // M
    spans = (tiles + TILES - 1) // TILES
    pixels = (tiles + spans - 1) // spans * M
    parts = min(blocks, max(1, JOBS // (spans * count * groups)))
    nil = zeros(x, packed.shape[3])
    for job in prange(parts * groups * spans * count):  # phases vary fastest: they cost different amounts
        part, span, group = job // (count * spans) // groups, job // count % spans, job // (count * spans) % groups
        b0, b1 = blocks * part // parts, blocks * (part + 1) // parts
        _convolve_block(x, packed, bias, residual, taps, phases[job % count], lo, hi, y, nil, group, span * pixels, pixels, b0, b1)
        if moments.shape[0] > 0:
            outputs, width = y.shape[3] // groups, packed.shape[4]
            all_pixels = y.shape[0] * y.shape[1] * y.shape[2]
            first, filled = span * pixels, max(0, min(pixels, all_pixels - span * pixels))
            c0, c1 = group * outputs + b0 * width, group * outputs + min(outputs, b1 * width)
            moments_of(y.reshape(-1), y.shape[3], first, filled, c0, c1, moments, span)


@compiled
def _places(size, first, step):
    return (size - first + step - 1) // step


@compiled
def _convolve_block(x, packed, bias, residual, taps, phase, lo, hi, y, nil, group, p0, count, b0, b1):
    groups, blocks, all_taps, depth, width = packed.shape
    images, h, w, channels = y.shape
    rows, columns = _places(h, phase[0], phase[6]), _places(w, phase[1], phase[7])
    pixels = images * rows * columns
    if p0 >= pixels:
        return
    outputs = channels // groups
    steps = phase[3] - phase[2]
    tiles = (min(count, pixels - p0) + M - 1) // M
    where = np.empty((3, tiles * M), np.int64)
    table = np.empty((steps + 2, tiles * M), np.int64)
    edge = np.empty(M * width, x.dtype)
    nowhere = np.zeros(blocks * width, x.dtype)  # takes what is written for pixels past the last
    locate(p0, pixels, rows, columns, where)
    xbase = address(x, group * depth)
    for t in range(steps):
        tap = phase[2] + t
        addresses(where, xbase, x.shape[1], x.shape[2], x.shape[3] * x.itemsize, phase[4], phase[5], taps[tap, 0], taps[tap, 1], address(nil, 0), table[t])
    ybase = address(y, group * outputs)
    addresses(where, ybase, h, w, channels * y.itemsize, phase[6], phase[7], phase[0], phase[1], address(nowhere, 0), table[steps])
    if residual.size > 0:
        addresses(where, address(residual, group * outputs), h, w, channels * y.itemsize, phase[6], phase[7], phase[0], phase[1], address(nowhere, 0), table[steps + 1])
    for b in range(b0, b1):
        start = (group * blocks + b) * all_taps
        whole = (b + 1) * width <= outputs
        for i in range(tiles):
            acc = zero(x, M, V)
            for t in range(steps):
                pointers = gather(table, (t * tiles + i) * M, M)
                j = (start + taps[phase[2] + t, 2]) * depth * width
                for k in range(depth):
                    acc = madd(acc, pointers, k, packed, j + k * width)
            if whole:
                if residual.size > 0:
                    acc = plus(acc, gather(table, ((steps + 1) * tiles + i) * M, M), b * width)
                put(clamp(acc, bias, (group * blocks + b) * width, lo, hi), gather(table, (steps * tiles + i) * M, M), b * width)
            else:
                store(acc, edge, 0, width)
                for m in range(i * M, min((i + 1) * M, pixels - p0)):
                    n, r, c = where[0, m], phase[0] + where[1, m] * phase[6], phase[1] + where[2, m] * phase[7]
                    for o in range(outputs - b * width):
                        value = edge[(m - i * M) * width + o] + bias[(group * blocks + b) * width + o]
                        if residual.size > 0:
                            value += residual[n, r, c, group * outputs + b * width + o]
                        value = lo if value < lo else hi if value > hi else value  # NaN stays NaN
                        y[n, r, c, group * outputs + b * width + o] = value
    nowhere[0] = edge[0]  # only their addresses were used: keeps them alive until here


@kernel
def pad_columns(x, low, padded):
    """x with `low` columns of zeros at its left, as many at its right as padded (N, H, W', C) has room for.

    Inputs of few channels become fast so: a row of the kernel is then one long tap over neighbouring pixels.
    """
    for row in prange(x.shape[0] * x.shape[1]):
        _pad_row(x, low, padded, row // x.shape[1], row % x.shape[1])


@compiled
def _pad_row(x, low, padded, n, r):
    for j in range(padded.shape[2]):
        inside = low <= j < low + x.shape[2]
        for c in range(x.shape[3]):
            padded[n, r, j, c] = x[n, r, j - low, c] if inside else x.dtype.type(0)
