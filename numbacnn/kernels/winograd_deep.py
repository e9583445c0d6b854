"""Winograd for deep layers, which have few tiles and many channels.

One launch transforms all inputs. In the second a job owns a block of output channels and a group of tiles: it transforms the
block's weights, CHANNELS input channels at a time, and multiplies the group's inputs with them while they lie in its core's cache.
So the transformed weights, 4 times as many as the weights for F(4 x 4, 3 x 3), never go to memory.
"""

import numpy as np
from numba import get_thread_id

from ..jit import Kernel, compiled, factory, named, prange
from .convolution import zeros
from .finish import Function, label
from .tile import BYTES, V, address
from .winograd import CHANNELS, back, locate_tiles, moments_of_tiles, multiply, weight_transform
from .winograd_transforms import grid, room, steps, transform


@factory
def transform_inputs(m: int, r: int) -> Kernel:
    """Kernel: v[group, chunk, pos, p * CHANNELS + c] = (B d Bt)[pos] of tile group * tiles + p and channel chunk * CHANNELS + c of x.

    x (N, H, W, C); h, w: height and width of the output that the tiles cover; low as for early;
    v [groups, ceil(C / CHANNELS), n * n, pitch(tiles * CHANNELS)].
    """
    n, space = m + r - 1, room(m, r)
    read = transform("B", m, r)

    def tile(x, h, w, low0, low1, tiles, nil, number, v):
        size = x.itemsize
        down, across = (h + m - 1) // m, (w + m - 1) // m
        image, rest = divmod(number, down * across)
        top, left = rest // across * m - low0, rest % across * m - low1
        scratch = np.empty(space // size, x.dtype)
        src, dst = np.empty(n * n, np.int64), np.empty(n * n, np.int64)
        grid(address(x, 0), x.shape[1], x.shape[2], x.shape[3] * size, image if image < x.shape[0] else -1, top, left, n, address(nil, 0), src)
        for chunk in range(v.shape[1]):
            at = (number // tiles * v.shape[1] + chunk) * n * n * v.shape[3] + number % tiles * CHANNELS
            steps(address(v, at), v.shape[3] * size, dst)
            read(x, src, dst, min(CHANNELS, x.shape[3] - chunk * CHANNELS), scratch)
            for i in range(n * n):
                src[i] += CHANNELS * size

    tile = compiled(named(tile, f"winograd_deep_tile_{m}_{r}"))

    def run(x, h, w, low0, low1, tiles, v):
        nil = zeros(x, x.shape[3])
        for number in prange(v.shape[0] * tiles):
            tile(x, h, w, low0, low1, tiles, nil, number, v)

    return Kernel(named(run, f"winograd_deep_inputs_{m}_{r}"))


@factory
def deep(m: int, r: int, function: Function | None = None) -> Kernel:
    """Kernel: y = clamp((v's products with the transformed kernel + bias) * scale + shift + residual), v as transform_inputs makes it.

    kernel (r, r, in, out), transposed 1: with swapped channels and reversed taps; bias, scale, shift (C',); y and residual
    (N, H', W', C'). gs [threads, n * n, pitch(tiles * L)] and us [threads, n * n, pitch(CHANNELS * L)] are workspaces;
    an empty residual is none; moments [groups, 3, C'] get the statistics of y, (0, 3, C') none.
    """
    n, _space = m + r - 1, room(m, r)
    turn, write = weight_transform(m, r), back(m, r, function)

    def block(v, kernel, bias, scale, shift, residual, transposed, tiles, lo, hi, g, u, b, group, y, moments):
        width = V * (BYTES // v.itemsize)
        chunks, _, far = v.shape[1:]
        wide, channels = g.shape[1], y.shape[3]
        depth = kernel.shape[3] if transposed else kernel.shape[2]
        panel, folded = np.empty((r * r, CHANNELS, width), v.dtype), np.zeros(width, v.dtype)
        for c in range(min(width, channels - b * width)):
            folded[c] = bias[b * width + c] * scale[b * width + c] + shift[b * width + c]
        for chunk in range(chunks):
            count = min(CHANNELS, depth - chunk * CHANNELS)
            turn(kernel, scale, transposed, b, chunk * CHANNELS, count, panel, u, 0, u.shape[1])
            for pos in range(n * n):
                at = ((group * chunks + chunk) * n * n + pos) * far
                multiply(v, at, CHANNELS, count, u, pos * u.shape[1], chunk == 0, g, pos * wide, tiles)
        trash, places = np.zeros(channels, v.dtype), np.empty((tiles, m * m), np.int64)
        locate_tiles(y, m, group * tiles, address(trash, 0), places)
        write(g, wide, places, address(trash, 0), residual, b, folded, 0, lo, hi, y)
        if moments.shape[0] > 0:
            moments_of_tiles(y, places, trash, b, moments, group)
        trash[0] = 0  # alive until here: only its address was used

    block = compiled(named(block, f"winograd_deep_block_{m}_{r}{label(function)}"))

    def run(v, kernel, bias, scale, shift, residual, transposed, tiles, lo, hi, gs, us, y, moments):
        groups, width = v.shape[0], V * (BYTES // v.itemsize)
        for job in prange(groups * ((y.shape[3] + width - 1) // width)):
            thread = get_thread_id()
            block(v, kernel, bias, scale, shift, residual, transposed, tiles, lo, hi, gs[thread], us[thread], job // groups, job % groups, y, moments)

    return Kernel(named(run, f"winograd_deep_{m}_{r}{label(function)}"), in_place=("residual",))
