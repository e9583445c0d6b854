"""Depthwise convolution, NHWC: every channel is convolved with `multiplier` filters of its own.

One kernel, `depthwise`, serves the forward pass and the data gradient; both walk over the rows of their output ("to"), and for each
tap of the window ask which pixel of the other array ("from") it meets:

    from = (to * mul + offset + tap * step) / div        where that is a whole number inside the array

    forward         to = y, from = x:    mul = stride, div = 1, offset = -low border, step = dilation
    data gradient   to = x, from = y:    mul = 1, div = stride, offset = low border,  step = -dilation

Pixels of a row with the same remainder by div meet the same taps, so a tile takes M of them at once, vectors running over the channels.
Channels narrower than a tile, and multipliers above 1, take plain loops. The weight gradient keeps one partial sum for each band of
rows of an image, and adds them in order. Results are the same bits for any number of threads.
"""

from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from .tile import BYTES, M, V, address, clamp, gather, lanes, load, put, store, vmadd, zero

TAPS = 10  # taps that the weight gradient sums in registers: a 3 x 3 window and the bias
BAND = 8  # rows of an image whose products make one partial sum


def axis(stride: int, dilation: int, low: int) -> tuple[int, int, int, int]:
    """(mul, div, offset, step) of the forward pass along one axis."""
    return stride, 1, -low, dilation


def axis_back(stride: int, dilation: int, low: int) -> tuple[int, int, int, int]:
    """(mul, div, offset, step) of the data gradient along one axis."""
    return 1, stride, low, -dilation


def parts_shape(shape: tuple[int, ...], taps: int, dtype: Any) -> tuple[int, int]:
    """Shape of the weight gradient's partial sums, for a gradient of this `shape` (N, H, W, outputs)."""
    width, groups = lanes(dtype), (taps + TAPS) // TAPS
    return shape[0] * -(-shape[1] // BAND), -(-shape[3] // width) * width * groups * TAPS


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
def _meet(to, geometry, tap, size):
    """The place that a tap meets, -1 where there is none."""
    mul, div, offset, step = geometry
    place = to * mul + offset + tap * step
    if place < 0 or place % div != 0 or place // div >= size:
        return -1
    return place // div


@compiled
def _row_of_tiles(source, kernel, bias, lo, hi, window, rows, columns, out, b, i, nil):
    """Row i of image b, one filter a channel; at least V vectors of channels."""
    channels, width = out.shape[3], out.shape[2]
    lane_count = V * (BYTES // source.itemsize)
    table, weights = np.empty((window[0] * window[1], M), np.int64), np.empty(window[0] * window[1], np.int64)
    places = np.empty(M, np.int64)
    for phase in range(min(columns[1], width)):
        count = (width - phase + columns[1] - 1) // columns[1]
        for first in range(0, count, M):
            taps = 0
            for u in range(window[0]):
                r = _meet(i, rows, u, source.shape[1])
                if r < 0:
                    continue
                line = (b * source.shape[1] + r) * source.shape[2]
                for v in range(window[1]):
                    place = phase * columns[0] + columns[2] + v * columns[3]
                    if place % columns[1] != 0:
                        continue
                    place //= columns[1]
                    for m in range(M):  # pixels of one phase lie div apart, and meet pixels mul apart
                        q = place + min(first + m, count - 1) * columns[0]
                        table[taps, m] = address(source, (line + q) * channels) if 0 <= q < source.shape[2] else address(nil, 0)
                    weights[taps] = (u * window[1] + v) * channels
                    taps += 1
            for m in range(M):  # places behind the row's end are computed like its last, and written there again
                places[m] = address(out, ((b * out.shape[1] + i) * width + phase + min(first + m, count - 1) * columns[1]) * channels)
            ends = gather(places, 0, M)
            for j in range(0, channels, lane_count):
                c = min(j, channels - lane_count)
                acc = zero(source, M, V)
                for t in range(taps):
                    acc = vmadd(acc, gather(table, t * M, M), c, kernel, weights[t] + c)
                put(clamp(acc, bias, c, lo, hi), ends, c)


@compiled
def _row(source, kernel, bias, lo, hi, window, rows, columns, multiplier, forward, out, b, i):
    """Row i of image b in plain loops. The forward pass spreads a channel over its filters, the data gradient collects them."""
    outputs = kernel.shape[1]
    for q in range(out.shape[2]):
        for c in range(out.shape[3]):
            out[b, i, q, c] = bias[c]
        for u in range(window[0]):
            r = _meet(i, rows, u, source.shape[1])
            for v in range(window[1]):
                p = _meet(q, columns, v, source.shape[2])
                if r >= 0 and p >= 0:
                    t = u * window[1] + v
                    if multiplier == 1:
                        for c in range(outputs):
                            out[b, i, q, c] += source[b, r, p, c] * kernel[t, c]
                    elif forward:
                        for c in range(outputs // multiplier):
                            for m in range(multiplier):
                                out[b, i, q, c * multiplier + m] += source[b, r, p, c] * kernel[t, c * multiplier + m]
                    else:
                        for c in range(outputs // multiplier):
                            for m in range(multiplier):
                                out[b, i, q, c] += source[b, r, p, c * multiplier + m] * kernel[t, c * multiplier + m]
        for c in range(out.shape[3]):
            value = out[b, i, q, c]
            value = lo if value < lo else value
            out[b, i, q, c] = hi if value > hi else value


@kernel
def depthwise(source, kernel, bias, lo, hi, window, rows, columns, multiplier, forward, out):
    """Forward pass: out = min(max(convolution(source) + bias, lo), hi). Data gradient: the transposed convolution, with a bias of zeros.

    source, out [N, H, W, C]; kernel [taps, outputs]; window (height, width); rows, columns: axis() or axis_back(); forward 1 or 0.
    """
    height = out.shape[1]
    tiles = multiplier == 1 and out.shape[3] >= V * (BYTES // source.itemsize)
    nil = np.zeros(out.shape[3], source.dtype)
    for job in prange(out.shape[0] * height):
        if tiles:
            _row_of_tiles(source, kernel, bias, lo, hi, window, rows, columns, out, job // height, job % height, nil)
        else:
            _row(source, kernel, bias, lo, hi, window, rows, columns, multiplier, forward, out, job // height, job % height)


@compiled
def _band_of_tiles(x, dy, window, rows, columns, part, job, b, i0, i1, nil, ones):
    """Sums over rows i0 … i1 of image b: part[job] = [vectors of channels, groups, TAPS, lanes]; the tap behind the last sums dy."""
    channels, width = dy.shape[3], dy.shape[2]
    lane_count = BYTES // x.itemsize
    taps = window[0] * window[1]
    groups = (taps + TAPS) // TAPS
    blocks = (channels + lane_count - 1) // lane_count
    table = np.empty((width, groups * TAPS), np.int64)
    for q in range(width):
        table[q, taps] = address(ones, 0)
        for t in range(taps + 1, groups * TAPS):
            table[q, t] = address(nil, 0)
    for i in range(i0, i1):
        for t in range(taps):
            r, p = _meet(i, rows, t // window[1], x.shape[1]), columns[2] + t % window[1] * columns[3]
            for q in range(width):
                inside = r >= 0 and 0 <= p + q * columns[0] < x.shape[2]
                table[q, t] = address(x, ((b * x.shape[1] + r) * x.shape[2] + p + q * columns[0]) * channels) if inside else address(nil, 0)
        for block in range(blocks):
            c = min(block * lane_count, channels - lane_count)
            for g in range(groups):
                j = job * part.shape[1] + (block * groups + g) * TAPS * lane_count
                acc = zero(x, TAPS, 1)
                if i > i0:
                    acc = load(acc, part, j, lane_count)
                for q in range(width):
                    acc = vmadd(acc, gather(table, q * groups * TAPS + g * TAPS, TAPS), c, dy, ((b * dy.shape[1] + i) * width + q) * channels + c)
                store(acc, part, j, lane_count)


@compiled
def _band(x, dy, window, rows, columns, multiplier, part, job, b, i0, i1):
    """The same in plain loops, part[job] = [taps + 1, outputs]."""
    outputs = dy.shape[3]
    taps = window[0] * window[1]
    for k in range((taps + 1) * outputs):
        part[job, k] = x.dtype.type(0)
    for i in range(i0, i1):
        for q in range(dy.shape[2]):
            for o in range(outputs):
                part[job, taps * outputs + o] += dy[b, i, q, o]
            for t in range(taps):
                r, p = _meet(i, rows, t // window[1], x.shape[1]), _meet(q, columns, t % window[1], x.shape[2])
                if r >= 0 and p >= 0:
                    for o in range(outputs):
                        part[job, t * outputs + o] += x[b, r, p, o // multiplier] * dy[b, i, q, o]


@kernel
def depthwise_weights(x, dy, window, rows, columns, multiplier, part, dkernel, dbias):
    """dkernel [taps, outputs] and dbias [outputs]; part is scratch memory of parts_shape()."""
    height, outputs = dy.shape[1:4:2]
    lane_count = BYTES // x.itemsize
    taps = window[0] * window[1]
    groups = (taps + TAPS) // TAPS
    tiles = multiplier == 1 and outputs >= lane_count
    bands = (height + BAND - 1) // BAND
    nil, ones = np.zeros(outputs, x.dtype), np.ones(outputs, x.dtype)
    for job in prange(part.shape[0]):
        b, i0 = job // bands, job % bands * BAND
        if tiles:
            _band_of_tiles(x, dy, window, rows, columns, part, job, b, i0, min(i0 + BAND, height), nil, ones)
        else:
            _band(x, dy, window, rows, columns, multiplier, part, job, b, i0, min(i0 + BAND, height))
    for t in range(taps + 1):
        for o in range(outputs):
            j = t * outputs + o
            if tiles:
                block = o // lane_count
                j = ((block * groups + t // TAPS) * TAPS + t % TAPS) * lane_count + o - min(block * lane_count, outputs - lane_count)
            total = part[0, j]
            for job in range(1, part.shape[0]):
                total += part[job, j]
            if t < taps:
                dkernel[t, o] = total
            else:
                dbias[o] = total
