"""Direct convolution on register tiles: forward, and the gradient by the data, which is a convolution too.

A job makes a block of output pixels. It first writes down, for every tap, where each pixel's input lies (a row of zeros for
what lies outside), and then multiplies M pixels at once with packed weights: no im2col, no branch inside.
The table of addresses is the idea of "The Indirect Convolution Algorithm" (Dukhan, 2019).

What a tap reads from there is listed too (`offsets`): a group's channels, or all values under the kernel in an image with borders
around it, which makes one long tap of a convolution with few input channels. Groups with few outputs are computed several at once
(`merged`), as a group with zeros among its weights, so that they fill a tile's width.

The gradient by the data of a strided convolution falls apart into phases: output pixels that share the same taps. A phase is
a lattice of the output; all are written by one launch.
"""

from collections.abc import Callable

import numpy as np

from ..jit import Kernel, compiled, factory, kernel, named, prange
from .finish import Function, finishing, label
from .moments import moments_of
from .tile import M, V, address, gather, lanes, madd, plus, put, spread, store, vmadd, zero

TILES = 16  # tiles of M pixels that share one table of addresses
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


def merged(groups: int, outputs: int, dtype: np.dtype | type) -> int:
    """Into how many groups the kernels gather a convolution's groups, of `outputs` output channels in all."""
    width = V * lanes(dtype)
    return groups // max(m for m in range(1, groups + 1) if groups % m == 0 and (m == 1 or m * (outputs // groups) <= width))


def packed_shape(taps: int, depth: int, outputs: int, groups: int, dtype: np.dtype | type) -> tuple[int, int, int, int, int]:
    """[group, block of output channels, tap, input channel of the group, channel of the block]: what `convolve` reads in order.

    groups are merged ones, depth the inputs of one of these.
    """
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
        _pack_block(weights, bias, scale, shift, transposed, job // blocks, job % blocks, packed, packed_bias)


@compiled
def _pack_block(weights, bias, scale, shift, transposed, group, block, packed, packed_bias):
    groups, blocks, taps, depth, width = packed.shape
    outputs = bias.size // groups
    merge = outputs // weights.shape[2] if transposed else depth // weights.shape[2]
    inner, outer = depth // merge, outputs // merge  # channels of one group
    first, filled = group * outputs + block * width, min(width, outputs - block * width)
    row = weights.shape[3]
    step, size = (1, weights.shape[2] * row) if transposed else (row, weights.shape[2] * row)
    source, place, factor = np.empty(filled, np.int64), np.empty(filled, np.int64), scale[first : first + filled]
    out, flat = packed[group, block].reshape(-1), weights.reshape(-1)
    out_bias = packed_bias[(group * blocks + block) * width : (group * blocks + block + 1) * width]
    lined = filled == width and merge == 1 and not transposed
    if filled < width or merge > 1:
        out[:] = 0
        out_bias[:] = 0
    for lane in range(filled):
        out_bias[lane] = bias[first + lane] * factor[lane] + shift[first + lane]
        part, o = divmod(block * width + lane, outer)
        source[lane] = o * row + (group * merge + part) * inner if transposed else first + lane
        place[lane] = part * inner * width + lane
    for t in range(taps):
        for i in range(inner):
            if lined:
                store(vmadd(zero(weights, 1, V), spread(flat, t * size + i * step + first, 0, 1), 0, factor, 0), out, (t * depth + i) * width, 0)
            else:
                for lane in range(filled):
                    out[(t * depth + i) * width + place[lane]] = flat[t * size + i * step + source[lane]] * factor[lane]


@compiled
def locate(p0, pixels, shape, start, image, steps, where):
    """where[:, i] = (place, row, column) in `image` of pixel p0 + i of images of `shape`, which are a lattice of it with `steps`.

    shape (rows, columns), image (rows, columns, size of a pixel), place = start + size * number of the pixel in the image.
    Behind the last pixel the last is repeated.
    """
    rows, columns = shape
    h, w, size = image
    n, rest = divmod(p0, rows * columns)
    r, c = divmod(rest, columns)
    for i in range(where.shape[1]):
        where[0, i] = start + ((n * h + r * steps[0]) * w + c * steps[1]) * size
        where[1, i] = r * steps[0]
        where[2, i] = c * steps[1]
        if p0 + i < pixels - 1:
            c += 1
            if c == columns:
                c = 0
                r += 1
                if r == rows:
                    r = 0
                    n += 1


@compiled
def shifted(where, image, dy, dx, nil, out):
    """out[i] = the place dy rows and dx columns from where[:, i], nil where that is outside of the image."""
    h, w, size = image
    step = (dy * w + dx) * size
    for i in range(out.size):
        y, x = where[1, i] + dy, where[2, i] + dx
        inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
        out[i] = where[0, i] + step if inside else nil


@compiled
def zeros(x, count):
    """A row of zeros of x's type; in a function of its own, because Numba would make a parallel loop of np.zeros."""
    return np.zeros(count, x.dtype)


def spans_of(pixels: int) -> int:
    """Into how many spans `convolve` cuts the (largest) lattice of the output, each with moments of its own."""
    return -(-pixels // (M * TILES))


@compiled
def _channel(b, shape, channels):
    """The first output channel of block b of all groups."""
    outputs = channels // shape[0]
    return b // shape[1] * outputs + b % shape[1] * shape[4]


@compiled
def _places(size, first, step):
    return (size - first + step - 1) // step


def _block_of(function: Function | None) -> Callable:
    """Makes the function that computes blocks b0 … b1 of a span of pixels."""
    finish = finishing(function, M, V)

    def convolve_block(x, packed, bias, residual, offsets, taps, phase, lo, hi, y, nil, p0, count, b0, b1):
        blocks, all_taps, depth, width = packed.shape[1:]
        images, h, w, channels = y.shape
        shape = (_places(h, phase[0], phase[6]), _places(w, phase[1], phase[7]))
        pixels = images * shape[0] * shape[1]
        if p0 >= pixels:
            return
        steps = phase[3] - phase[2]
        tiles = (min(count, pixels - p0) + M - 1) // M
        where = np.empty((3, tiles * M), np.int64)
        table = np.empty((steps, tiles * M), np.int64)
        edge = np.empty(M * width, x.dtype)
        image = (x.shape[1], x.shape[2], x.shape[3] * x.itemsize)
        locate(p0, pixels, shape, address(x, 0), image, (phase[4], phase[5]), where)
        for t in range(steps):
            tap = phase[2] + t
            shifted(where, image, taps[tap, 0], taps[tap, 1], address(nil, 0), table[t])
        locate(p0, pixels, shape, (phase[0] * w + phase[1]) * channels, (h, w, channels), (phase[6], phase[7]), where)
        results, addends = y.reshape(-1), residual.reshape(-1)
        ybase, to_residual = address(y, 0), (address(residual, 0) - address(y, 0)) // y.itemsize
        for i in range(tiles * M):
            where[1, i] = ybase + where[0, i] * y.itemsize
        for b in range(b0, b1):
            c, c1 = _channel(b, packed.shape, channels), _channel(b + 1, packed.shape, channels)
            reads = offsets[b // blocks * depth :]
            for i in range(tiles):
                acc = zero(x, M, V)
                for t in range(steps):
                    pointers = gather(table, (t * tiles + i) * M, M)
                    j = (b * all_taps + taps[phase[2] + t, 2]) * depth * width
                    for k in range(depth):
                        acc = madd(acc, pointers, reads[k], packed, j + k * width)
                whole = c1 - c == width
                places, at, source = gather(where, (tiles + i) * M, M), c, c + to_residual
                if not whole:
                    places, at, source = spread(edge, 0, width, M), 0, 0
                    if residual.size > 0:
                        for m in range(M):
                            for o in range(c1 - c):
                                edge[m * width + o] = addends[where[0, i * M + m] + c + o]
                if residual.size > 0:
                    acc = plus(acc, places, source)
                put(finish(acc, bias, b * width, lo, hi, c), places, at)
                if not whole:
                    for m in range(M):
                        for o in range(c1 - c):
                            results[where[0, i * M + m] + c + o] = edge[m * width + o]

    return compiled(named(convolve_block, f"convolve_block{label(function)}"))


@factory
def convolving(function: Function | None) -> Kernel:
    """Kernel run(x, packed, bias, residual, offsets, taps, phases, lo, hi, y, moments):
    y[phase's lattice] = clamp(bias + sum over the phase's taps of x[shifted] @ packed[tap] + residual, lo, hi), or with a function (finish.py) that of the sum.

    x (N, H, W, C), y and residual (N, H', W', C'); packed and bias as `pack` makes them; taps and phases of forward_taps or data_taps.
    offsets [groups * depth]: where the values that a group reads lie behind the first of a pixel.
    An empty residual is none; moments [spans_of(pixels), 3, C'] get the statistics of y where there is one phase, (0, 3, C') none.
    """
    block = _block_of(function)

    def run(x, packed, bias, residual, offsets, taps, phases, lo, hi, y, moments):
        blocks = packed.shape[0] * packed.shape[1]
        count = phases.shape[0]
        # Phase 0 has the largest lattice.
        tiles = (y.shape[0] * _places(y.shape[1], phases[0, 0], phases[0, 6]) * _places(y.shape[2], phases[0, 1], phases[0, 7]) + M - 1) // M
        spans = (tiles + TILES - 1) // TILES
        pixels = (tiles + spans - 1) // spans * M
        parts = min(blocks, max(1, JOBS // (spans * count)))
        nil = zeros(x, x.shape[3])
        for job in prange(parts * spans * count):  # phases vary fastest: they cost different amounts
            part, span = job // (count * spans), job // count % spans
            b0, b1 = blocks * part // parts, blocks * (part + 1) // parts
            block(x, packed, bias, residual, offsets, taps, phases[job % count], lo, hi, y, nil, span * pixels, pixels, b0, b1)
            if moments.shape[0] > 0:
                all_pixels = y.shape[0] * y.shape[1] * y.shape[2]
                first, filled = span * pixels, max(0, min(pixels, all_pixels - span * pixels))
                c0, c1 = _channel(b0, packed.shape, y.shape[3]), _channel(b1, packed.shape, y.shape[3])
                moments_of(y.reshape(-1), y.shape[3], first, filled, c0, c1, moments, span)

    return Kernel(named(run, f"convolve{label(function)}"), in_place=("residual",))


convolve = convolving(None)
