"""What Winograd's two orders of work share: weights in the transformed space, the products there, and the way back to images.

winograd_early.py  many tiles, few channels: a job owns some tiles of the output and reads all transformed weights
winograd_deep.py   few tiles, many channels: a job owns some output channels, transforms their weights and reads all tiles

A tile is a block of m x m output pixels (F(m x m, r x r), winograd_transforms.py); `pos` counts the n x n places of the
transformed space. Between the matrices of two places lies one vector more than they need: with strides that are powers of two
they would meet in the same sets of the cache.
"""

import functools
from collections.abc import Callable

import numpy as np

from ..jit import Kernel, compiled, factory, named, prange
from .finish import Function, finishing, label
from .tile import BYTES, M, V, address, gather, lanes, load, madd, mix, spread, square, store, zero
from .tile_edges import plus_some, put_some
from .tile_math import add, less, times
from .winograd_transforms import grid, mixer, room, steps, transform

CHANNELS = 32  # input channels whose weights are transformed at a time: so they stay in the second-level cache
ROWS = 4  # pixels that are added to a sum at a time

_sum_of_rows = mix(((), (tuple((i, 1.0) for i in range(ROWS)),)))


def pitch(numbers: int, dtype: np.dtype | type) -> int:
    """From one place's matrix of so many numbers to the next."""
    return numbers + lanes(dtype)


def tiles_of(batch: int, h: int, w: int, m: int) -> int:
    return batch * -(-h // m) * -(-w // m)


# ---- weights


@compiled
def stage(kernel, scale, transposed, block, k0, count, panel):
    """panel[t, k, lane] = tap t of input channel k0 + k, k < count, and output channel block * L + lane, times that channel's scale.

    kernel (r, r, in, out), transposed: input and output channels swapped, taps in reverse. Zeros behind the last output channel.
    """
    taps, chunk, width = panel.shape
    inputs, outputs = (kernel.shape[3], kernel.shape[2]) if transposed else (kernel.shape[2], kernel.shape[3])
    vector = BYTES // kernel.itemsize
    first = block * width
    filled = min(width, outputs - first)
    source, whole = kernel.reshape(-1), 0
    if filled == width:
        whole = count // vector * vector if transposed else count
    across, along = (inputs, 1) if transposed else (1, outputs)  # to the next output, input channel
    for t in range(taps):
        tap = (taps - 1 - t if transposed else t) * inputs * outputs + first * across + k0 * along
        if transposed:
            for k in range(0, whole, vector):
                for lane in range(0, width, vector):
                    factor = load(zero(kernel, 1, 1), scale, first + lane, 0)
                    store(times(square(kernel, tap + lane * across + k, across), factor), panel, (t * chunk + k) * width + lane, width)
        else:
            for k in range(whole):
                factor = load(zero(kernel, 1, V), scale, first, 0)
                store(times(load(factor, kernel, tap + k * along, 0), factor), panel, (t * chunk + k) * width, 0)
        for k in range(whole, count):
            for lane in range(width):
                panel[t, k, lane] = source[tap + k * along + lane * across] * scale[first + lane] if lane < filled else kernel.dtype.type(0)


@functools.cache
def weight_transform(m: int, r: int) -> Callable:
    """Compiled function: u.flat[at + pos * far + k * L + lane] = (G w Gt)[pos] of what `stage` writes into panel, k < count."""
    turn, n, space = transform("G", m, r), m + r - 1, room(m, r)

    def run(kernel, scale, transposed, block, k0, count, panel, u, at, far):
        chunk, width = panel.shape[1:]
        src, dst = np.empty(r * r, np.int64), np.empty(n * n, np.int64)
        stage(kernel, scale, transposed, block, k0, count, panel)
        for t in range(r * r):
            src[t] = address(panel, (t % r * r + t // r) * chunk * width)
        steps(address(u, at), far * u.itemsize, dst)
        turn(kernel, src, dst, count * width, np.empty(space // kernel.itemsize, kernel.dtype))

    return compiled(named(run, f"winograd_weights_{m}_{r}"))


@factory
def transform_weights(m: int, r: int) -> Kernel:
    """Kernel: u [blocks, n * n, pitch(depth * L)], u[block, pos, k * L + lane] = (G w Gt)[pos] of input channel k and output channel
    block * L + lane times its scale, and bias_out [blocks * L] = bias * scale + shift; zeros behind the last output channel."""
    turn = weight_transform(m, r)

    def run(kernel, bias, scale, shift, transposed, u, bias_out):
        blocks, places, far = u.shape
        width, depth = bias_out.size // blocks, kernel.shape[3] if transposed else kernel.shape[2]
        chunks = (depth + CHANNELS - 1) // CHANNELS
        for c in range(bias_out.size):
            bias_out[c] = bias[c] * scale[c] + shift[c] if c < bias.size else kernel.dtype.type(0)
        for job in prange(blocks * chunks):
            block, k0 = job // chunks, job % chunks * CHANNELS
            panel = np.empty((r * r, CHANNELS, width), kernel.dtype)
            turn(kernel, scale, transposed, block, k0, min(CHANNELS, depth - k0), panel, u, block * places * far + k0 * width, far)

    return Kernel(named(run, f"winograd_transform_weights_{m}_{r}"))


# ---- products in the transformed space


@compiled
def multiply(v, at, stride, depth, u, j, first, g, to, tiles):
    """g.flat[to:] [tiles, L] = rows of v.flat[at:] [tiles, stride], of which `depth` count, @ u.flat[j:] [depth, L]; added to g unless first."""
    width = V * (BYTES // v.itemsize)
    for i in range(0, tiles, M):
        rows = spread(v, at + i * stride, stride, M)
        acc = zero(v, M, V)
        if not first:
            acc = load(acc, g, to + i * width, width)
        for k in range(depth):
            acc = madd(acc, rows, k, u, j + k * width)
        store(acc, g, to + i * width, width)


# ---- back to images


@compiled
def locate_tiles(y, m, first, nowhere, places):
    """places[p] = addresses of the m x m pixels of tile first + p of y (N, H, W, C), column by column; nowhere outside."""
    n, h, w, channels = y.shape
    down, across = (h + m - 1) // m, (w + m - 1) // m
    for p in range(places.shape[0]):
        b, rest = divmod(first + p, down * across)
        grid(address(y, 0), h, w, channels * y.itemsize, b if b < n else -1, rest // across * m, rest % across * m, m, nowhere, places[p])


@functools.cache
def back(m: int, r: int, function: Function | None = None) -> Callable:
    """Compiled function that writes one block of L output channels of some tiles: y = clamp(A g At + bias + residual).

    g.flat[pos * far + p * L + lane]: the products; places [P, m * m]: addresses in y of locate_tiles, with nowhere = an address where
    y's channels have room; residual like y, or empty; bias.flat[at:]. function: finish.py.
    """
    turn, n, space, finish = mixer("A", m, r), m + r - 1, room(m, r), finishing(function, m, 1)

    def run(g, far, places, nowhere, residual, block, bias, at, lo, hi, y):
        size, vector = g.itemsize, BYTES // g.itemsize
        width, first = V * vector, block * V * vector
        scratch = np.empty(space // size, g.dtype)
        dst, add = np.empty(m * m, np.int64), np.empty(m * m, np.int64)
        for p in range(places.shape[0]):
            for i in range(m * m):
                dst[i] = places[p, i]
                add[i] = dst[i] if dst[i] == nowhere or residual.size == 0 else dst[i] - address(y, 0) + address(residual, 0)
            for c in range(0, min(width, y.shape[3] - first), vector):
                for i in range(n):
                    store(turn(load(zero(g, n, 1), g, i * n * far + p * width + c, far)), scratch, i * vector, n * vector)
                for i in range(m):
                    acc = turn(load(zero(g, n, 1), scratch, i * n * vector, vector))
                    if residual.size > 0:
                        acc = plus_some(acc, gather(add, i * m, m), first + c, y.shape[3] - first - c)
                    put_some(finish(acc, bias, at + c, lo, hi, first + c), gather(dst, i * m, m), first + c, y.shape[3] - first - c)

    return compiled(named(run, f"winograd_back_{m}_{r}{label(function)}"))


# ---- statistics


@compiled
def moments_of_tiles(y, places, trash, block, moments, part):
    """moments[part, :, channels of a block] = those of y (kernels/moments.py) at places, which lead to trash [C] where there is no pixel.

    Two passes over what has just been written. What is no pixel reads as zero in the first and as the mean in the second, and adds nothing.
    """
    width, channels = V * (BYTES // y.itemsize), y.shape[3]
    first = block * width
    filled, at = min(width, channels - first), 3 * part * channels + first
    pixels, nowhere, count = places.reshape(-1), address(trash, 0), 0
    for c in range(first, first + filled):
        trash[c] = 0
    for i in range(pixels.size):
        count += pixels[i] != nowhere
    mean, total = np.empty(width, y.dtype), zero(y, ROWS, V)
    for i in range(0, pixels.size, ROWS):
        total = plus_some(total, gather(pixels, i, ROWS), first, filled)
    store(_sum_of_rows(total), mean, 0, 0)
    for c in range(width):
        mean[c] /= y.dtype.type(count)
    for c in range(filled):
        moments[part, 0, first + c], moments[part, 1, first + c], trash[first + c] = count, mean[c], mean[c]
    total = zero(y, ROWS, V)
    for i in range(0, pixels.size, ROWS):
        d = less(plus_some(zero(y, ROWS, V), gather(pixels, i, ROWS), first, filled), load(zero(y, 1, V), mean, 0, 0))
        total = add(total, times(d, d))
    put_some(_sum_of_rows(total), spread(moments, at + 2 * channels, 0, 1), 0, filled)
