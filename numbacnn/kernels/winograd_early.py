"""Winograd for early layers, which have many tiles and few channels.

A job owns some tiles: it transforms their inputs, multiplies them with all of the transformed weights, one block of output channels
after the other, and transforms each block of products back, all of it in its core's cache.
"""

import numpy as np
from numba import get_thread_id

from ..jit import Kernel, compiled, factory, named, prange
from .convolution import zeros
from .finish import Function, label
from .tile import BYTES, V, address
from .winograd import back, locate_tiles, moments_of_tiles, multiply
from .winograd_transforms import grid, room, steps, transform


@factory
def early(m: int, r: int, function: Function | None = None) -> Kernel:
    """Kernel: y = clamp(bias + x's convolution with u, as transform_weights makes both, + residual), strides 1.

    x (N, H, W, C), y and residual (N, H', W', C'); low: where the first tap of pixel 0 lies in x, negated; tiles: how many a job owns,
    a multiple of M. vs [threads, n * n, pitch(tiles * max(C, lanes))] and gs [threads, n * n, pitch(tiles * L)] are workspaces;
    an empty residual is none; moments [jobs, 3, C'] get the statistics of y, (0, 3, C') none.
    """
    n, space = m + r - 1, room(m, r)
    read, write = transform("B", m, r), back(m, r, function)

    def block(x, u, bias, residual, low0, low1, tiles, lo, hi, v, g, nil, job, y, moments):
        size, vector = x.itemsize, BYTES // x.itemsize
        _, h, w, channels = x.shape
        depth, width = max(channels, vector), V * vector
        far, wide = v.shape[1], g.shape[1]
        down, across = (y.shape[1] + m - 1) // m, (y.shape[2] + m - 1) // m
        scratch, trash = np.empty(space // size, x.dtype), np.zeros(y.shape[3], x.dtype)
        src, dst = np.empty(n * n, np.int64), np.empty(n * n, np.int64)
        places = np.empty((tiles, m * m), np.int64)
        locate_tiles(y, m, job * tiles, address(trash, 0), places)
        for p in range(tiles):
            image, rest = divmod(job * tiles + p, down * across)
            top, left = rest // across * m - low0, rest % across * m - low1
            grid(address(x, 0), h, w, channels * size, image if image < x.shape[0] else -1, top, left, n, address(nil, 0), src)
            steps(address(v, p * depth), far * size, dst)
            read(x, src, dst, channels, scratch)
        for b in range(u.shape[0]):
            for pos in range(n * n):
                multiply(v, pos * far, depth, channels, u, (b * n * n + pos) * u.shape[2], True, g, pos * wide, tiles)
            write(g, wide, places, address(trash, 0), residual, b, bias, b * width, lo, hi, y)
            if moments.shape[0] > 0:
                moments_of_tiles(y, places, trash, b, moments, job)
        trash[0] = 0  # alive until here: only its address was used

    block = compiled(named(block, f"winograd_early_block_{m}_{r}{label(function)}"))

    def run(x, u, bias, residual, low0, low1, tiles, lo, hi, vs, gs, y, moments):
        count = y.shape[0] * ((y.shape[1] + m - 1) // m) * ((y.shape[2] + m - 1) // m)
        nil = zeros(x, x.shape[3])
        for job in prange((count + tiles - 1) // tiles):
            thread = get_thread_id()
            block(x, u, bias, residual, low0, low1, tiles, lo, hi, vs[thread], gs[thread], nil, job, y, moments)

    return Kernel(named(run, f"winograd_early_{m}_{r}{label(function)}"), in_place=("residual",))
