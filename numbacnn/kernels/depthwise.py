"""Depthwise convolution, NHWC: every channel is convolved with a filter of its own.

One kernel, `depthwise`, serves the forward pass and the data gradient; both walk over the rows of their output ("to"), and for each
tap of the window ask which pixel of the other array ("from") it meets:

    from = (to * mul + offset + tap * step) / div        where that is a whole number inside the array

    forward         to = y, from = x:    mul = stride, div = 1, offset = -low border, step = dilation
    data gradient   to = x, from = y:    mul = 1, div = stride, offset = low border,  step = -dilation

A job is a band of rows of an image that fits into the L2 cache. It takes as many channels at a time, over all its pixels, as have their
weights in a cache near by: mostly all of them, so that memory is read in order. It also asks for the next band's rows in order
(kernels/prefetch.py). Pixels of a row with the same remainder by div meet the same taps: a tile takes PIXELS of them, vectors running
over the channels, and finds their addresses in a table of the source's rows, where places outside point to zeros.
"""

from collections.abc import Callable

import numpy as np

from ..jit import Kernel, compiled, factory, kernel, named, prange
from .finish import Function, finishing, label
from .moments import moments_of
from .prefetch import LINE, prefetch
from .tile import BYTES, V, address, gather, plus, put, vmadd, zero

PIXELS = 7  # of a tile: images are often multiples of 7 wide, and 7 * V accumulators with V weights just fit into 16 registers
CACHE = 384 << 10  # bytes of a band
WEIGHTS = 16 << 10  # bytes of the weights that are used together
JOBS = 8  # a single image is cut into that many bands at least


def axis(stride: int, dilation: int, low: int) -> tuple[int, int, int, int]:
    """(mul, div, offset, step) of the forward pass along one axis."""
    return stride, 1, -low, dilation


def axis_back(stride: int, dilation: int, low: int) -> tuple[int, int, int, int]:
    """(mul, div, offset, step) of the data gradient along one axis."""
    return 1, stride, low, -dilation


def band_rows(source: tuple[int, ...], out: tuple[int, ...], itemsize: int) -> int:
    """Rows of `out` that a job takes, for arrays of these shapes (N, H, W, C)."""
    images, height = out[:2]
    row = itemsize * (source[1] * source[2] * source[3] // height + out[2] * out[3])
    rows = min(height, max(1, CACHE // row))
    bands = max(-(-height // rows), min(height, -(-JOBS // max(1, images))))
    return -(-height // bands)


@kernel(parallel=False)
def fold(kernel, bias, scale, shift, folded, folded_bias):
    """The kernel [taps, channels] and the bias of a convolution that is followed by * scale + shift."""
    taps, channels = kernel.shape
    for t in range(taps):
        for c in range(channels):
            folded[t, c] = kernel[t, c] * scale[c]
    for c in range(channels):
        folded_bias[c] = bias[c] * scale[c] + shift[c]


@compiled
def meet(to, geometry, tap, size):
    """The place that a tap meets, -1 where there is none."""
    mul, div, offset, step = geometry
    place = to * mul + offset + tap * step
    if place < 0 or place % div != 0 or place // div >= size:
        return -1
    return place // div


@compiled
def first_and_last_row(size, window, rows, i0, i1):
    """The rows of the source, `size` high, that rows i0 … i1 meet."""
    first, last = size, -1
    for i in range(i0, i1):
        for u in range(window):
            r = meet(i, rows, u, size)
            if r >= 0:
                first, last = min(first, r), max(last, r)
    return first, last


@compiled
def _columns(width, window, columns):
    """(lowest column of the source that a tap meets or would, columns of the table of a row for each remainder by mul)."""
    mul, div, offset, step = columns
    lowest, highest = min(offset, offset + (window - 1) * step), max(offset, offset + (window - 1) * step)
    tiles = ((width + div - 1) // div + PIXELS - 1) // PIXELS
    return lowest // div, tiles * PIXELS + ((highest + (div - 1) * mul) // div - lowest // div) // mul + 1


@compiled
def _source_places(source, b, first, last, lowest, length, mul, nil):
    """Addresses of the pixels of rows first … last by column, those with the same remainder by mul side by side; nil's outside."""
    width, channels = source.shape[2], source.shape[3]
    table, outside, at = np.empty(max(last - first + 1, 0) * mul * length, np.int64), address(nil, 0), 0
    for r in range(first, last + 1):
        line = address(source, (b * source.shape[1] + r) * width * channels)
        for phase in range(mul):
            for n in range(length):
                q = n * mul + phase + lowest
                table[at + n] = line + q * channels * source.itemsize if 0 <= q < width else outside
            at += length
    return table


@compiled
def _out_places(array, b, i0, i1, div, tiles, trash):
    """Addresses of the pixels of rows i0 … i1: for each remainder by div its columns, and trash's to the end of the last tile."""
    width, channels = array.shape[2], array.shape[3]
    places, outside, at = np.empty((i1 - i0) * div * tiles * PIXELS, np.int64), address(trash, 0), 0
    for i in range(i0, i1):
        line = address(array, (b * array.shape[1] + i) * width * channels)
        for phase in range(div):
            for n in range(tiles * PIXELS):
                q = n * div + phase
                places[at + n] = line + q * channels * array.itemsize if q < width else outside
            at += tiles * PIXELS
    return places


@compiled
def _taps(height, window, rows, columns, i0, i1, first, lowest, length, lane_count):
    """(counts [rows, div], [rows, div, taps, 2]): which taps a row's pixels of one remainder meet: the first pixel's place in the table, the weights'."""
    mul, div, offset, step = columns
    count = window[0] * window[1]
    counts, met = np.zeros((i1 - i0) * div, np.int64), np.empty((i1 - i0) * div * count * 2, np.int64)
    for i in range(i0, i1):
        for u in range(window[0]):
            r = meet(i, rows, u, height)
            if r < 0:
                continue
            for phase in range(div):
                for v in range(window[1]):
                    place = phase * mul + offset + v * step
                    if place % div == 0:
                        line, n = (i - i0) * div + phase, place // div - lowest
                        k = (line * count + counts[line]) * 2
                        met[k] = ((r - first) * mul + n % mul) * length + n // mul
                        met[k + 1] = (u * window[1] + v) * lane_count
                        counts[line] += 1
    return counts, met


def _band_of(function: Function | None) -> Callable:
    """Makes the function that computes some rows of an image."""
    finish = finishing(function, PIXELS, V)

    def band_of(source, kernel, bias, residual, lo, hi, window, rows, columns, out, moments, part, b, i0, i1, nil):
        """Rows i0 … i1 of image b."""
        channels, width, count = out.shape[3], out.shape[2], window[0] * window[1]
        lane_count = V * (BYTES // source.itemsize)
        mul, div = columns[0], columns[1]
        first, last = first_and_last_row(source.shape[1], window[0], rows, i0, i1)
        lowest, length = _columns(width, window[1], columns)
        tiles, trash = ((width + div - 1) // div + PIXELS - 1) // PIXELS, np.empty(channels, out.dtype)
        table = _source_places(source, b, first, last, lowest, length, mul, nil)
        places = _out_places(out, b, i0, i1, div, tiles, trash)
        beside = _out_places(residual, b, i0, i1, div, tiles, nil) if residual.size > 0 else places
        counts, met = _taps(source.shape[1], window, rows, columns, i0, i1, first, lowest, length, lane_count)

        blocks = (channels + lane_count - 1) // lane_count
        ahead = address(source, (b * source.shape[1] + last + 1) * source.shape[2] * channels)
        fresh = (i1 - i0) * rows[0] * source.shape[2] * channels * source.itemsize // rows[1]  # bytes that the next band reads first
        end = min(ahead + fresh, address(source, source.size))
        each = fresh // LINE // (blocks * (i1 - i0) * div * tiles) + 1

        together = max(1, min(blocks, WEIGHTS // (count * lane_count * source.itemsize)))
        weights, flat = np.empty(together * count * lane_count, source.dtype), out.reshape(-1)
        for start in range(0, blocks, together):
            end_block = min(start + together, blocks)
            for block in range(start, end_block):
                c = min(block * lane_count, channels - lane_count)
                for t in range(count):
                    for k in range(lane_count):
                        weights[((block - start) * count + t) * lane_count + k] = kernel[t, c + k]
            for line in range((i1 - i0) * div):
                for tile in range(tiles):
                    at = (line * tiles + tile) * PIXELS
                    for block in range(start, end_block):
                        c, w = min(block * lane_count, channels - lane_count), (block - start) * count * lane_count
                        ahead = prefetch(ahead, each, end)
                        acc, n = zero(source, PIXELS, V), line * count * 2
                        for _ in range(counts[line]):
                            acc = vmadd(acc, gather(table, met[n] + tile * PIXELS, PIXELS), c, weights, w + met[n + 1])
                            n += 2
                        if residual.size > 0:
                            acc = plus(acc, gather(beside, at, PIXELS), c)
                        put(finish(acc, bias, c, lo, hi, c), gather(places, at, PIXELS), c)
            if moments.shape[0] > 0:
                c0, c1 = min(start * lane_count, channels - lane_count), min(end_block * lane_count, channels)
                moments_of(flat, channels, (b * out.shape[1] + i0) * width, (i1 - i0) * width, c0, c1, moments, part)
        trash[0] = 0  # alive until here: only its address was used

    return compiled(named(band_of, f"band_of{label(function)}"))


band_of = _band_of(None)


@factory
def convolving_by_channel(function: Function | None) -> Kernel:
    """Kernel run(source, kernel, bias, residual, lo, hi, window, rows, columns, band, out, moments).

    Forward pass: out = min(max(convolution(source) + bias + residual, lo), hi), or with a function (finish.py) that of the sum.
    Data gradient: the transposed convolution.
    source, out [N, H, W, C] with C at least V vectors; kernel [taps, C]; residual like out, or empty; window (height, width); rows,
    columns: axis() or axis_back(); band = band_rows(); moments [N * bands of an image, 3, C], or [0, 3, C] where they are not wanted.
    """
    make = band_of if function is None else _band_of(function)

    def run(source, kernel, bias, residual, lo, hi, window, rows, columns, band, out, moments):
        height = out.shape[1]
        bands = (height + band - 1) // band
        nil = np.zeros(out.shape[3], source.dtype)
        for job in prange(out.shape[0] * bands):
            part = np.int64(job)  # prange counts in unsigned numbers, for which all helpers would be compiled once more
            b, i0 = part // bands, part % bands * band
            i1 = min(i0 + band, height)
            make(source, kernel, bias, residual, lo, hi, window, rows, columns, out, moments, part, b, i0, i1, nil)

    return Kernel(named(run, f"depthwise{label(function)}"))


depthwise = convolving_by_channel(None)
