"""The gradient of a convolution by its weights and bias, on register tiles.

A job owns a block of output channels of one group and a share of the pixels, and adds these up in order, in blocks of PIXELS
(which also keeps float32 sums of many thousands of terms accurate): the result does not depend on the number of threads.
"""

import numpy as np

from ..jit import compiled, kernel, prange
from .convolution import addresses, locate, zeros
from .tile import BYTES, M, V, address, gather, lanes, load, madd, spread, store, vmadd, zero

PIXELS = 128
JOBS = 8


def shares(pixels: int, outputs: int, groups: int, dtype: np.dtype | type) -> int:
    """Into how many shares the pixels are split, where there are too few blocks of channels to keep threads busy."""
    blocks = groups * -(-(outputs // groups) // (V * lanes(dtype)))
    return max(1, min(-(-JOBS // blocks), pixels // (4 * PIXELS)))


@kernel
def weight_gradient(x, dy, taps, phases, groups, parts, dw, db):
    """dw[share, t] = x[shifted by tap t].T @ dy, db[share] = sum of dy, each over a share of the pixels.

    x (N, H, W, C), dy (N, H', W', C'), taps and phases of forward_taps, dw [parts * T * depth * C'] of any shape, db [parts * C'].
    With several shares, add_shares makes the sum.
    """
    width = V * (BYTES // x.itemsize)
    blocks = (dy.shape[3] // groups + width - 1) // width
    nil = zeros(x, max(x.shape[3], dw.size // (parts * taps.shape[0] * dy.shape[3])))
    for job in prange(parts * groups * blocks):
        _gradient_block(x, dy, taps, phases[0], groups, parts, nil, job // parts // blocks, job // parts % blocks, job % parts, dw, db)


@compiled
def _gradient_block(x, dy, taps, phase, groups, parts, nil, group, block, part, dw, db):
    images, h, w, channels = dy.shape
    count, outputs = taps.shape[0], channels // groups
    width = V * (BYTES // x.itemsize)
    pixels = images * h * w
    spans = (pixels + PIXELS - 1) // PIXELS
    filled = min(width, outputs - block * width)
    first = group * outputs + block * width
    dw_flat, db_flat = dw.reshape(-1), db.reshape(-1)
    depth = dw.size // (parts * count * channels)
    tiles = (depth + M - 1) // M
    lines = np.empty(tiles * M, np.int64)
    for c in range(tiles * M):  # rows of a tile behind the last channel are computed like the last, and dropped
        lines[c] = address(x, group * depth + min(c, depth - 1))
    nowhere = (address(nil, 0) - address(x, 0)) // x.itemsize
    where = np.empty((3, PIXELS), np.int64)
    table = np.empty((count, PIXELS), np.int64)
    panel = np.zeros((PIXELS, width), x.dtype)
    total = np.zeros((count, tiles, M, width), x.dtype)
    bias, ones = np.zeros((1, width), x.dtype), np.ones(max(width, PIXELS), x.dtype)
    for p0 in range(spans * part // parts * PIXELS, spans * (part + 1) // parts * PIXELS, PIXELS):
        size = min(PIXELS, pixels - p0)
        locate(p0, pixels, h, w, where)
        for t in range(count):
            addresses(where, 0, x.shape[1], x.shape[2], x.shape[3], phase[4], phase[5], taps[t, 0], taps[t, 1], nowhere, table[t])
        if filled == width:
            for p in range(size):
                store(load(zero(x, 1, V), dy, (p0 + p) * channels + first, 0), panel, p * width, 0)
        else:
            for p in range(size):
                for o in range(filled):
                    panel[p, o] = dy[where[0, p], where[1, p], where[2, p], first + o]
        acc = zero(x, 1, V)
        for p in range(size):
            acc = madd(acc, spread(ones, 0, 0, 1), p, panel, p * width)
        acc = vmadd(acc, spread(bias, 0, 0, 1), 0, ones, 0)
        store(acc, bias, 0, 0)
        for t in range(count):
            for i in range(tiles):
                rows = gather(lines, i * M, M)
                acc = zero(x, M, V)
                for p in range(size):
                    acc = madd(acc, rows, table[t, p], panel, p * width)
                j = (t * tiles + i) * M * width
                acc = vmadd(acc, spread(total, j, width, M), 0, ones, 0)
                store(acc, total, j, width)
    for o in range(filled):
        db_flat[part * channels + first + o] = bias[0, o]
    for t in range(count):
        for c in range(depth):
            j = ((part * count + t) * depth + c) * channels + first
            for o in range(filled):
                dw_flat[j + o] = total[t, c // M, c % M, o]
    ones[0] = total[0, 0, 0, 0]  # only addresses were used: keeps it alive until here


@kernel
def add_shares(dws, dbs, dw, db):
    """dw = sum of dws [parts, …] over its first axis, db of dbs [parts, C'], in order."""
    _add(dbs.reshape(-1), db.reshape(-1), 0, 1)
    for job in prange(JOBS):
        _add(dws.reshape(-1), dw.reshape(-1), job, JOBS)


@compiled
def _add(shares, out, job, jobs):
    for i in range(out.size * job // jobs, out.size * (job + 1) // jobs):
        total = shares[i]
        for j in range(i + out.size, shares.size, out.size):
            total += shares[j]
        out[i] = total
