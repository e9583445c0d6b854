"""The gradient of a convolution by its weights and bias, on register tiles.

A job owns a few blocks of output channels of one group and a share of the pixels, and adds these up in order, PIXELS at a time
(which also keeps float32 sums of many thousands of terms accurate): the result does not depend on the number of threads.
The gradient of M weights for each channel of a block is a tile: every pixel adds M inputs times a vector of dy.
"""

import math

import numpy as np

from ..jit import compiled, kernel, prange
from .convolution import locate, shifted, zeros
from .tile import BYTES, M, V, address, gather, lanes, load, madd, plus, spread, store, zero
from .tile_sums import fold

PIXELS = 128  # a multiple of ROWS
ROWS = 4  # pixels of dy that are copied at once
SHARE = 8 * PIXELS  # pixels that are worth a gradient of their own, which is then to be added
JOBS = 16
BLOCKS = 4  # of output channels that share a job's table of addresses, where
TOTAL = 192 << 10  # bytes suffice for their sums, which stay in the second-level cache


def shares(pixels: int, taps: int, depth: int, outputs: int, groups: int, dtype: np.dtype | type) -> tuple[int, int]:
    """Into how many ranges a group's blocks of output channels are split, and into how many shares the pixels."""
    width = V * lanes(dtype)
    blocks = -(-(outputs // groups) // width)
    size = taps * -(-depth // M) * M * width * np.dtype(dtype).itemsize
    ranges = math.ceil(blocks / max(1, min(TOTAL // size, BLOCKS)))
    parts = max(1, min(math.ceil(JOBS / (groups * ranges)), pixels // SHARE))
    return max(ranges, min(blocks, math.ceil(JOBS / (groups * parts)))), parts


@kernel
def weight_gradient(x, dy, offsets, taps, phases, groups, ranges, parts, dw, db):
    """dw[share, t] = x[shifted by tap t].T @ dy, db[share] = sum of dy, each over a share of the pixels.

    x (N, H, W, C), dy (N, H', W', C'), taps and phases of forward_taps, offsets as for `convolve`, groups merged ones, ranges and
    parts of `shares`; dw [parts * T * depth * C'] with the depth of a single group, db [parts * C'], flat.
    With several shares, add_shares makes the sum.
    """
    width = V * (BYTES // x.itemsize)
    blocks = (dy.shape[3] // groups + width - 1) // width
    nil = zeros(x, x.shape[3])
    for job in prange(parts * groups * ranges):
        part, span = job % parts, job // parts % ranges
        b0, b1 = blocks * span // ranges, blocks * (span + 1) // ranges
        _gradient_of_blocks(x, dy, offsets, taps, phases[0], groups, parts, nil, job // parts // ranges, b0, b1, part, dw, db)


@compiled
def _copy(dy, p0, size, first, filled, panel, bias):
    """Pixels p0 … p0 + size and channels first … first + filled of dy to panel [PIXELS, width]; their sum is added to bias [width]."""
    channels, width = dy.shape[3], panel.shape[1]
    flat, lines = dy.reshape(-1), panel.reshape(-1)
    # What is copied behind `filled` is never used; only behind the last pixel of all there is nothing to copy.
    quick = max(0, min(size, (dy.size - first - width) // channels + 1 - p0)) // ROWS * ROWS
    total = zero(dy, ROWS, V)
    for p in range(0, quick, ROWS):
        store(load(total, dy, (p0 + p) * channels + first, channels), panel, p * width, width)
        total = plus(total, spread(panel, p * width, width, ROWS), 0)
    store(plus(fold(total), spread(bias, 0, 0, 1), 0), bias, 0, 0)
    for p in range(quick, size):
        for o in range(filled):
            value = flat[(p0 + p) * channels + first + o]
            lines[p * width + o] = value
            bias[o] += value


@compiled
def _gradient_of_blocks(x, dy, offsets, taps, phase, groups, parts, nil, group, b0, b1, part, dw, db):
    images, h, w, channels = dy.shape
    count, outputs, depth = taps.shape[0], channels // groups, offsets.size // groups
    width = V * (BYTES // x.itemsize)
    pixels = images * h * w
    spans = (pixels + PIXELS - 1) // PIXELS
    tiles = (depth + M - 1) // M
    lines = np.empty(tiles * M, np.int64)
    for c in range(tiles * M):  # rows of a tile behind the last are computed like the last, and dropped
        lines[c] = address(x, offsets[group * depth + min(c, depth - 1)])
    nowhere = (address(nil, 0) - address(x, 0)) // x.itemsize
    image = (x.shape[1], x.shape[2], x.shape[3])
    where = np.empty((3, PIXELS), np.int64)
    table = np.empty((count, PIXELS), np.int64)
    panels = np.zeros((b1 - b0, PIXELS, width), x.dtype)
    total = np.zeros((b1 - b0, count, tiles, M, width), x.dtype)
    bias = np.zeros((b1 - b0, width), x.dtype)
    for p0 in range(spans * part // parts * PIXELS, spans * (part + 1) // parts * PIXELS, PIXELS):
        size = min(PIXELS, pixels - p0)
        locate(p0, pixels, (h, w), 0, image, (phase[4], phase[5]), where)
        for t in range(count):
            shifted(where, image, taps[t, 0], taps[t, 1], nowhere, table[t])
        for b in range(b1 - b0):
            first = (b0 + b) * width
            _copy(dy, p0, size, group * outputs + first, min(width, outputs - first), panels[b], bias[b])
        for t in range(count):
            for i in range(tiles):
                rows = gather(lines, i * M, M)
                for b in range(b1 - b0):
                    acc = zero(x, M, V)
                    for p in range(size):
                        acc = madd(acc, rows, table[t, p], panels, (b * PIXELS + p) * width)
                    j = ((b * count + t) * tiles + i) * M * width
                    store(plus(acc, spread(total, j, width, M), 0), total, j, width)
    # A merged group holds several, side by side in `depth` and in `outputs`: only weights between a group's own channels exist.
    own = dw.size // (parts * count * channels)
    merge = depth // own
    outer, sums = outputs // merge, total.reshape(-1)
    for b in range(b1 - b0):
        first = (b0 + b) * width
        filled, place = min(width, outputs - first), group * outputs + first
        for o in range(filled):
            db[part * channels + place + o] = bias[b, o]
        for t in range(count):
            for g in range(merge):
                o0, o1 = max(0, g * outer - first), min(filled, (g + 1) * outer - first)
                j, k = (part * count + t) * own * channels + place, (((b * count + t) * tiles * M) + g * own) * width
                if o1 - o0 == width:
                    for c in range(own):
                        store(load(zero(x, 1, V), sums, k + c * width, 0), dw, j + c * channels, 0)
                else:
                    for c in range(own):
                        for o in range(o0, o1):
                            dw[j + c * channels + o] = sums[k + c * width + o]


@kernel
def add_shares(dws, dbs, dw, db):
    """dw = sum of the parts of dws [parts * n], db of dbs [parts * C'], in order; all flat."""
    _add(dbs, db, 0, db.size)
    for job in prange(JOBS):
        _add(dws, dw, dw.size * job // JOBS, dw.size * (job + 1) // JOBS)


@compiled
def _add(shares, out, first, end):
    for i in range(first, end):
        out[i] = shares[i]
    for j in range(out.size, shares.size, out.size):
        for i in range(first, end):
            out[i] += shares[j + i]
