"""The weight gradient of a depthwise convolution: dkernel[tap, c] = sum over pixels of x[pixel met, c] * dy[pixel, c], and dbias.

The rows of all images form one line, cut into parts by the shape alone; a part has a sum of its own, and the parts are added in order.
A part works through chunks that stay in the cache, some channels at a time: a tile of TAPS sums runs over all pixels of a chunk, with
the addresses of what each pixel's taps meet from a table. The tap behind the last meets ones: its sum is dbias. Meanwhile the next
chunk is asked for in order (kernels/prefetch.py).
"""

from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from .depthwise import meet
from .prefetch import LINE, prefetch
from .tile import BYTES, address, gather, lanes, load, store, vmadd, zero

TAPS = 10  # taps whose sums stay in registers: a 3 x 3 window and the bias
PARTS = 32  # at most
CHUNK = 192  # pixels whose vectors stay in L1
CACHE = 256 << 10  # bytes of a chunk in L2


def parts_shape(shape: tuple[int, ...], taps: int, dtype: Any) -> tuple[int, int]:
    """Shape of the partial sums, for a gradient of this `shape` (N, H, W, outputs)."""
    width, groups, lines = lanes(dtype), (taps + TAPS) // TAPS, shape[0] * shape[1]
    rows = max(1, -(-lines // PARTS))
    return -(-lines // rows), -(-shape[3] // width) * width * groups * TAPS


@compiled
def _met(x, dy, window, rows, columns, g0, g1, slots, nil, ones):
    """Addresses [pixels, slots] of what the taps of rows g0 … g1 meet, the images' rows counted on; ones in slot `taps`, nil behind it and outside."""
    height, width, channels = dy.shape[1], dy.shape[2], dy.shape[3]
    taps, pixel = window[0] * window[1], channels * x.itemsize
    table = np.empty((g1 - g0) * width * slots, np.int64)
    outside = address(nil, 0)
    for g in range(g0, g1):
        for t in range(slots):
            r = meet(g % height, rows, t // window[1], x.shape[1]) if t < taps else -1
            p = columns[2] + t % window[1] * columns[3]
            line = address(x, ((g // height * x.shape[1] + r) * x.shape[2] + p) * channels)
            for q in range(width):
                inside = r >= 0 and 0 <= p + q * columns[0] < x.shape[2]
                table[((g - g0) * width + q) * slots + t] = line + q * columns[0] * pixel if inside else address(ones, 0) if t == taps else outside
    return table


@compiled
def _chunk(x, dy, window, rows, columns, part, job, begin, g0, g1, nil, ones):
    """Adds the products of rows g0 … g1 to part[job] = [vectors of channels, groups, TAPS, lanes], which begins with row `begin`."""
    height, width, channels = dy.shape[1], dy.shape[2], dy.shape[3]
    lane_count = BYTES // x.itemsize
    groups = (window[0] * window[1] + TAPS) // TAPS
    table = _met(x, dy, window, rows, columns, g0, g1, groups * TAPS, nil, ones)
    pixels, start = (g1 - g0) * width, g0 * width * channels
    blocks = (channels + lane_count - 1) // lane_count

    met = min(max(g1 % height * rows[0] + rows[2] + (window[0] - 1) * rows[3] + 1 - rows[0], 0), x.shape[1])  # rows of x that were read already
    ahead = address(x, (g1 // height * x.shape[1] + met) * x.shape[2] * channels)
    fresh = (g1 - g0) * rows[0] * x.shape[2] * channels * x.itemsize
    end = min(ahead + fresh, address(x, x.size))
    ahead_dy = address(dy, g1 * width * channels)
    end_dy = min(ahead_dy + pixels * channels * x.itemsize, address(dy, dy.size))
    each, each_dy = fresh // LINE // (pixels * blocks * groups) + 1, 1

    for block in range(blocks):
        c = min(block * lane_count, channels - lane_count)
        for g in range(groups):
            j = job * part.shape[1] + (block * groups + g) * TAPS * lane_count
            acc = zero(x, TAPS, 1)
            if g0 > begin:
                acc = load(acc, part, j, lane_count)
            for q in range(pixels):
                ahead, ahead_dy = prefetch(ahead, each, end), prefetch(ahead_dy, each_dy, end_dy)
                acc = vmadd(acc, gather(table, (q * groups + g) * TAPS, TAPS), c, dy, start + q * channels + c)
            store(acc, part, j, lane_count)


@kernel
def depthwise_weights(x, dy, window, rows, columns, part):
    """The partial sums of parts_shape(), which add_parts puts together. x [N, H, W, C], dy [N, H', W', C], C at least a vector; the rest as for depthwise."""
    lines, width, channels = dy.shape[0] * dy.shape[1], dy.shape[2], dy.shape[3]
    each = (lines + part.shape[0] - 1) // part.shape[0]
    row = width * channels * x.itemsize * (1 + rows[0] * columns[0])
    chunk = max(1, min(CHUNK // width, CACHE // row))
    nil, ones = np.zeros(channels, x.dtype), np.ones(channels, x.dtype)
    for share in prange(part.shape[0]):
        job = np.int64(share)  # prange counts in unsigned numbers, for which all helpers would be compiled once more
        begin, end = job * each, min((job + 1) * each, lines)
        for g in range(begin, end, chunk):
            _chunk(x, dy, window, rows, columns, part, job, begin, g, min(g + chunk, end), nil, ones)


@kernel
def add_parts(part, dkernel, dbias):
    """dkernel [taps, channels] and dbias [channels] from the partial sums."""
    taps, channels = dkernel.shape
    lane_count, groups = BYTES // part.itemsize, (taps + TAPS) // TAPS
    for block in prange((channels + lane_count - 1) // lane_count):
        c = min(block * lane_count, channels - lane_count)
        sums = np.empty(lane_count, part.dtype)
        for t in range(taps + 1):
            j = ((block * groups + t // TAPS) * TAPS + t % TAPS) * lane_count
            sums[:] = 0
            for job in range(part.shape[0]):
                one = part[job, j : j + lane_count]
                for k in range(lane_count):
                    sums[k] += one[k]
            to = dbias if t == taps else dkernel[t]
            for k in range(lane_count):
                to[c + k] = sums[k]
