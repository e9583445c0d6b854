"""The gradient of a 3x3 or 5x5 convolution by its weights and bias, by Winograd's F(m x m, r x r) with 6 x 6 points (winograd_transforms.py).

dw = Gt [sum over tiles of (B x Bt) * (At dy A)] G: both images are cut into tiles (m x m pixels of dy, 6 x 6 of x), transformed, and
for each of the 36 places multiplied as matrices [C, tiles] @ [tiles, C'], at 1 / 4 (3x3) and 1 / 2.8 (5x5) of the plain sum's cost.
At the point (1, 1) the transform of dy is the sum of the tile, so that the bias' gradient is a by-product.

Two orders of work, for layers with
  many tiles, few channels: a job owns a share of the tiles and a range of C', and takes BLOCK tiles at a time, which its cache holds;
      it adds up products of its own, and the shares are then put together (`add_products`, `join`);
  few tiles, many channels: all tiles at once; a job owns a part of dw (`transform_images`, `multiply_and_join`).
Threads never wait for each other within a launch.

How buffers lie: tiles of x [36, tiles * row], of dy [blocks of V vectors of C', 36, tiles * V vectors], products
[blocks, 36, (C + 1) * V vectors]. Rows and matrices take an odd number of cache lines: with powers of two they would fall on each other.
Sums are made in blocks of BLOCK tiles (which fit the first-level cache, and keep long float32 sums accurate) in a fixed order:
the result does not depend on the number of threads.
"""

import functools
from collections.abc import Callable

import numpy as np
from numba import get_thread_id

from ..jit import Kernel, compiled, factory, kernel, named, prange
from .convolution import zeros
from .tile import BYTES, M, V, address, lanes, madd, plus, spread, store, zero
from .winograd_transforms import POINTS, grid, room, steps, transform

SIDE = 6  # of a transformed tile
PLACES = SIDE * SIDE
SUM = POINTS[SIDE].index(1) * (SIDE + 1)  # the place where a transformed tile of dy holds its sum
BLOCK = 128  # tiles that are summed up in registers
CHUNK = 8  # tiles that a job transforms
LINE = 64  # bytes


def odd_lines(elements: int, dtype: np.dtype | type) -> int:
    """At least so many elements that fill an odd number of cache lines."""
    line = LINE // np.dtype(dtype).itemsize
    return (-(-elements // line) | 1) * line


def tiles_of(batch: int, height: int, width: int, r: int) -> int:
    """Into how many tiles images of dy are cut, for r x r weights."""
    m = SIDE + 1 - r
    return batch * -(-height // m) * -(-width // m)


def geometry(low: tuple[int, int], r: int) -> tuple[int, int, int, int]:
    """What kernels want to know: rows and columns of zeros before x, sides of tiles of dy and of x.

    The sides are constants, but LLVM should not know them: unrolled loops over addresses would double the time to compile.
    """
    return (*low, SIDE + 1 - r, SIDE)


def row_of(channels: int, dtype: np.dtype | type) -> int:
    """Elements for a tile's channels at one place: whole register tiles can read them."""
    return odd_lines(max(-(-channels // M) * M, lanes(dtype)), dtype)


def tiles_shapes(tiles: int, channels: int, outputs: int, dtype: np.dtype | type) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of the buffers for transformed tiles of x and dy."""
    width = V * lanes(dtype)
    return (PLACES, odd_lines(tiles * row_of(channels, dtype), dtype)), (-(-outputs // width), PLACES, odd_lines(tiles * width, dtype))


def products_shape(channels: int, outputs: int, dtype: np.dtype | type) -> tuple[int, int, int]:
    """Shape of the buffer for products: a row for each channel of x, and one for the sum of dy."""
    width = V * lanes(dtype)
    return -(-outputs // width), PLACES, odd_lines((-(-channels // M) * M + 1) * width, dtype)


@compiled
def _multiply(v, at, row, d, place, tiles, count, add, u, to):
    """u[to:] = (or +=) transposed v[at:] @ d[place:], `count` tiles of M channels of x, over BLOCK tiles at most."""
    width = V * (BYTES // v.itemsize)
    for i in range(count):
        rows = spread(v, at + i * M, 1, M)
        acc = zero(v, M, V)
        for s in range(tiles):
            acc = madd(acc, rows, s * row, d, place + s * width)
        if add:
            acc = plus(acc, spread(u, to + i * M * width, width, M), 0)
        store(acc, u, to + i * M * width, width)


@compiled
def _sum(x, place, step, count, add, u, to):
    """u[to:] = (or +=) the sum of `count` rows of x, from place on, `step` elements apart."""
    acc = zero(x, 1, V)
    for i in range(count):
        acc = plus(acc, spread(x, place + i * step, 0, 1), 0)
    if add:
        acc = plus(acc, spread(u, to, 0, 1), 0)
    store(acc, u, to, 0)


@compiled
def _count(dy, side):
    """Tiles along the images' rows and columns, and in all images."""
    down, across = (dy.shape[1] + side - 1) // side, (dy.shape[2] + side - 1) // side
    return down, across, dy.shape[0] * down * across


@functools.cache
def _transform_tiles(r: int) -> Callable:
    """Compiled function: tiles `first` … `end` of x and of `blocks` blocks of dy from `block` on; v and d begin with the images' tile `start`."""
    m = SIDE + 1 - r
    of_x, of_dy, space = transform("B", m, r), transform("At", m, r), room(m, r)

    def run(x, dy, geometry, start, first, end, row, block, blocks, nil, v, d):
        top, left, m, side = geometry
        h, w, channels = dy.shape[1:]
        size = x.itemsize
        width = V * (BYTES // size)
        down, across, _ = _count(dy, m)
        src, dst, scratch = np.empty(side * side, np.int64), np.empty(side * side, np.int64), np.empty(space // size, x.dtype)
        for s in range(first, end):
            image, rest = divmod(s, down * across)
            i, j = rest // across * m, rest % across * m
            grid(address(x, 0), x.shape[1], x.shape[2], x.shape[3] * size, image, i - top, j - left, side, address(nil, 0), src)
            steps(address(v, (s - start) * row), v.shape[1] * size, dst)
            of_x(x, src, dst, x.shape[3], scratch)
            grid(address(dy, block * width), h, w, channels * size, image, i, j, m, address(nil, 0), src)
            for b in range(blocks):
                steps(address(d, b * side * side * d.shape[2] + (s - start) * width), d.shape[2] * size, dst)
                of_dy(dy, src, dst, min(width, channels - (block + b) * width), scratch)
                for t in range(m * m):
                    src[t] += width * size

    return compiled(named(run, f"transform_tiles_{r}"))


@functools.cache
def _join_block(r: int) -> Callable:
    """Compiled function that makes dw[:, :, first : end, block b] from products u[at:], whose 36 places are `step` elements apart."""
    of_products, space = transform("Gt", SIDE + 1 - r, r), room(SIDE + 1 - r, r)

    def run(u, at, step, b, first, end, dw):
        side, _, channels, outputs = dw.shape
        size = dw.itemsize
        width = V * (BYTES // size)
        filled = min(width, outputs - b * width)
        narrow = filled * size < BYTES  # less than a vector would be written over what comes next
        src, dst, scratch = np.empty(PLACES, np.int64), np.empty(side * side, np.int64), np.empty(space // size, dw.dtype)
        edge = np.empty(side * side * width, dw.dtype)
        for c in range(first, end):
            steps(address(u, at + (c - first) * width), step * size, src)
            for t in range(side * side):  # src goes by rows where columns are wanted: so does dst
                tap = t % side * side + t // side
                dst[t] = address(edge, tap * width) if narrow else address(dw, (tap * channels + c) * outputs + b * width)
            of_products(dw, src, dst, filled, scratch)
            if narrow:
                for t in range(side * side):
                    for o in range(filled):
                        dw[t // side, t % side, c, b * width + o] = edge[t * width + o]
        edge[0] = 0  # only its address was used: keeps it alive until here

    return compiled(named(run, f"join_block_{r}"))


@compiled
def _join_bias(u, at, b, db):
    width = V * (BYTES // db.itemsize)
    flat = u.reshape(-1)
    for o in range(min(width, db.size - b * width)):
        db[b * width + o] = flat[at + o]


# ---- many tiles, few channels


@functools.cache
def _share(r: int) -> Callable:
    """Compiled function that makes the products of tiles `first` … `end` and `blocks` blocks of C' from `block` on."""
    transform_tiles = _transform_tiles(r)

    def run(x, dy, geometry, first, end, row, block, blocks, nil, v, d, products):
        count = (x.shape[3] + M - 1) // M
        width = V * (BYTES // x.itemsize)
        for start in range(first, end, BLOCK):
            tiles, add = min(BLOCK, end - start), start > first
            transform_tiles(x, dy, geometry, start, start, start + tiles, row, block, blocks, nil, v, d)
            for place in range(PLACES):
                for b in range(blocks):
                    to, panel = ((block + b) * PLACES + place) * products.shape[2], (b * PLACES + place) * d.shape[2]
                    _multiply(v, place * v.shape[1], row, d, panel, tiles, count, add, products, to)
                    if place == SUM:
                        _sum(d, panel, width, tiles, add, products, to + count * M * width)

    return compiled(named(run, f"share_{r}"))


@factory
def add_products(r: int) -> Kernel:
    """Kernel: products [shares, blocks, 36, …]; `ranges` of the blocks of C' are made by jobs of their own.

    x (N, H, W, C), dy (N, H', W', C'), geometry of geometry(…), row: row_of(C), products of products_shape.
    v, d: workspaces [threads, …] of tiles_shapes for BLOCK tiles and the C' of a range.
    """
    share = _share(r)

    def run(x, dy, geometry, row, ranges, v, d, products):
        shares, blocks = products.shape[:2]
        total = _count(dy, geometry[2])[2]
        nil = zeros(x, max(x.shape[3], dy.shape[3]))
        for job in prange(shares * ranges):
            i, j = job // ranges, job % ranges
            first, end = blocks * j // ranges, blocks * (j + 1) // ranges
            thread = get_thread_id()
            share(x, dy, geometry, total * i // shares, total * (i + 1) // shares, row, first, end - first, nil, v[thread], d[thread], products[i])

    get_thread_id()  # loads Numba's threading layer: a serial kernel that comes from the cache would find no such function
    return kernel(named(run, f"add_products_{r}"))


@factory
def join(r: int) -> Kernel:
    """Kernel: dw (r, r, C, C') and db (C') from products [shares, blocks, 36, …]."""
    join_block = _join_block(r)

    def run(products, dw, db):
        shares, blocks, places, step = products.shape
        share, width, channels = blocks * places * step, V * (BYTES // dw.itemsize), dw.shape[2]
        count = (channels + M - 1) // M
        for job in prange(blocks * count):
            b, i = job % blocks, job // blocks
            rows = min(M, channels - i * M)
            u = np.empty((places, M * width), dw.dtype)
            for place in range(places):
                for c in range(rows):
                    _sum(products, (b * places + place) * step + (i * M + c) * width, share, shares, False, u, (place * M + c) * width)
            join_block(u, 0, M * width, b, i * M, i * M + rows, dw)
            if i == 0:
                _sum(products, (b * places + SUM) * step + count * M * width, share, shares, False, u, 0)
                _join_bias(u, 0, b, db)

    return kernel(named(run, f"join_{r}"))


# ---- few tiles, many channels


@factory
def transform_images(r: int) -> Kernel:
    """Kernel: all tiles of x and dy, transformed; parameters as for add_products, v and d of tiles_shapes for all tiles."""
    transform_tiles = _transform_tiles(r)

    def run(x, dy, geometry, row, v, d):
        total = _count(dy, geometry[2])[2]
        nil = zeros(x, max(x.shape[3], d.shape[0] * V * (BYTES // x.itemsize)))
        for job in prange((total + CHUNK - 1) // CHUNK):
            transform_tiles(x, dy, geometry, 0, job * CHUNK, min((job + 1) * CHUNK, total), row, 0, d.shape[0], nil, v, d)

    return kernel(named(run, f"transform_images_{r}"))


@factory
def multiply_and_join(r: int) -> Kernel:
    """Kernel: dw (r, r, C, C') and db (C') from `tiles` transformed tiles; a job owns one of `parts` of C and some blocks of C'.

    scratch: workspace [threads, blocks of a job, 36, …], the last two axes as products_shape for the channels of a part.
    """
    join_block = _join_block(r)
    get_thread_id()  # loads Numba's threading layer: a serial kernel that comes from the cache would find no such function

    def run(v, d, tiles, row, parts, scratch, dw, db):
        blocks, depth, channels = d.shape[0], scratch.shape[1], dw.shape[2]
        count = (channels + M - 1) // M
        width = V * (BYTES // dw.itemsize)
        spans = (blocks + depth - 1) // depth
        for job in prange(spans * parts):
            span, part = job // parts, job % parts
            low, high = blocks * span // spans, blocks * (span + 1) // spans
            first, end = count * part // parts, count * (part + 1) // parts
            u = scratch[get_thread_id()]
            step = u.shape[2]
            for place in range(PLACES):
                for s in range(0, tiles, BLOCK):
                    some, add = min(BLOCK, tiles - s), s > 0
                    for b in range(low, high):
                        to, panel = ((b - low) * PLACES + place) * step, (b * PLACES + place) * d.shape[2] + s * width
                        _multiply(v, place * v.shape[1] + s * row + first * M, row, d, panel, some, end - first, add, u, to)
                        if part == 0 and place == SUM:
                            _sum(d, panel, width, some, add, u, to + (end - first) * M * width)
            for b in range(low, high):
                at = (b - low) * PLACES * step
                join_block(u, at, step, b, first * M, min(end * M, channels), dw)
                if part == 0:
                    _join_bias(u, at + SUM * step + (end - first) * M * width, b, db)

    return kernel(named(run, f"multiply_and_join_{r}"))
