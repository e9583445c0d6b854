"""The gradient of a matrix product by its weights: dkernel = x.T @ dy, a sum over many rows.

    weight_parts(x [P, K], dy [P, N], part, part_bias [parts, N])     part [parts, K, N], or [parts, N, K] where `turned`
    add_parts(part, part_bias, turned, dkernel [K, N], dbias [N])

A tile holds M rows by V vectors of the result while it goes down a panel of rows of x and dy. Of the two, the one that gives the tiles'
rows is cut into pillars of M columns, the other into bars of V vectors; where that fits the numbers of channels better, they change
places (dkernel.T = dy.T @ x). Panels are copied so that tiles read them in order (memory is then read in order, too), unless they are
as narrow as a tile.
"""

from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from .tile import BYTES, M, V, lanes, load, madd, plus, spread, store, zero
from .tile_memory import prefetch
from .tile_sums import fold

PANEL, LONG = 16 * M, 32 * M  # rows that are added in registers: narrow ones, and others
PARTS = 8  # jobs that keep a few cores busy
LINE = 64  # bytes of a line of the cache
NARROW, MIDDLING = 64, 400  # columns up to which pillars, and bars, are read in place
AREA = 2**16  # numbers of the result that one job adds up, at most


def split(rows: int, k: int, n: int) -> int:
    """Parts that the sum over rows is cut into: as few as keep PARTS jobs busy, and fewer where the result itself is large enough for that."""
    return max(1, min(PARTS, rows // (4 * PANEL), 4 * AREA // (k * n)))


def turned(k: int, n: int, dtype: Any) -> bool:
    """Whether tiles lie better in dkernel.T: with pillars of the narrower matrix, where that is read in place, else with less waste."""
    width = V * lanes(dtype)

    def area(rows, columns):
        return -(-rows // M) * M * (-(-columns // width) * width)

    return n < k if min(n, k) <= NARROW else 33 * area(n, k) < 32 * area(k, n)


@compiled
def _start(i, size, columns):
    """First column of the i-th piece of so many columns: the last overlaps its neighbour rather than reach behind the end."""
    return max(0, min(i * size, columns - size))


@compiled
def _pillars_of(a, q0, size, i0, pillars):
    """pillars[i, p * M + m] = a[q0 + p, column m of pillar i0 + i]; zeros behind the last column. A pillar has a tile's width to spare."""
    columns, width = a.shape[1], V * (BYTES // a.itemsize)
    for p in range(size):
        for i in range(pillars.shape[0]):
            r = _start(i0 + i, M, columns)
            if r + width <= columns and width >= M:  # what it writes too much is written again, or spare
                store(load(zero(a, 1, V), a, (q0 + p) * columns + r, 0), pillars, i * pillars.shape[1] + p * M, 0)
            else:
                for m in range(M):
                    pillars[i, p * M + m] = a[q0 + p, r + m] if r + m < columns else a.dtype.type(0)


@compiled
def _bars_of(a, q0, size, b0, bars):
    """bars[b, p, c] = a[q0 + p, column c of bar b0 + b]; zeros behind the last column."""
    columns, width = a.shape[1], bars.shape[2]
    for p in range(size):
        if columns >= width:
            for b in range(bars.shape[0]):
                at = (q0 + p) * columns + _start(b0 + b, width, columns)
                store(load(zero(a, 1, V), a, at, 0), bars, (b * bars.shape[1] + p) * width, 0)
        else:
            for c in range(width):
                bars[0, p, c] = a[q0 + p, c] if c < columns else a.dtype.type(0)


@compiled
def _add_rows(dy, q0, size, c0, c1, total):
    """total[c] += sum of rows q0 … q0 + size of dy's column c, for c in c0 … c1."""
    n, width = dy.shape[1], V * (BYTES // dy.itemsize)
    whole, end = size // M * M, c0 + (c1 - c0) // width * width
    for c in range(c0, end, width):
        acc = zero(dy, M, V)
        for p in range(0, whole, M):
            acc = plus(acc, spread(dy, (q0 + p) * n + c, n, M), 0)
        store(plus(fold(acc), spread(total, c, 0, 1), 0), total, c, 0)
    for c in range(c0, c1):
        rest = dy.dtype.type(0)
        for p in range(whole if c < end else 0, size):
            rest += dy[q0 + p, c]
        total[c] += rest


@compiled
def _prefetch_rows(a, p0, p1, c0, c1):
    """Start to bring columns c0 … c1 of rows p0 … p1 into the cache."""
    columns = a.shape[1]
    for p in range(p0, p1):
        for c in range(c0, c1, LINE // a.itemsize):
            prefetch(a, p * columns + c)


@compiled
def _add_panel(lines, line, line_step, rows, row, row_step, size, area, at, first, target, place, stride):
    """A tile: the sum over p of lines[line + p * line_step :][:M] times rows[row + p * row_step :], plus area[at:] but for the first panel."""
    pillar, acc = spread(lines, line, 1, M), zero(area, M, V)
    for p in range(size):
        acc = madd(acc, pillar, p * line_step, rows, row + p * row_step)
    if not first:
        acc = plus(acc, spread(area, at, V * (BYTES // area.itemsize), M), 0)
    store(acc, target, place, stride)


@compiled
def _part_of_rows(a, b, p0, p1, i0, i1, b0, b1, part, s, dy, c0, c1, part_bias):
    """part[s] = a.T @ b over rows p0 … p1: pillars i0 … i1 of a and bars b0 … b1 of b; part_bias[s, c0:c1] = the sum of those rows of dy."""
    width, k, n = V * (BYTES // a.itemsize), a.shape[1], b.shape[1]
    tiles, blocks = i1 - i0, b1 - b0
    area = np.empty(tiles * blocks * M * width, a.dtype)
    plain_a = M <= k <= NARROW  # read where they lie
    plain_b = width <= n <= MIDDLING and n * b.itemsize % 1024 > 0  # such steps share the same few sets of the cache
    panel = PANEL if plain_a else LONG
    pillars = np.empty((0 if plain_a else tiles, panel * M + width), a.dtype)
    bars = np.empty((0 if plain_b else blocks, panel, width), a.dtype)
    lines, line_step = (a.reshape(-1), k) if plain_a else (pillars.reshape(-1), M)
    rows, row_step = (b.reshape(-1), n) if plain_b else (bars.reshape(-1), width)
    ahead = (panel + tiles * blocks - 1) // (tiles * blocks)  # rows of the next panel that each tile asks for
    result, bias = part.reshape(-1), part_bias[s]
    bias[c0:c1] = 0
    for q0 in range(p0, p1, panel):
        size = min(panel, p1 - q0)
        _add_rows(dy, q0, size, c0, c1, bias)
        if not plain_a:
            _pillars_of(a, q0, size, i0, pillars)
        if not plain_b:
            _bars_of(b, q0, size, b0, bars)
        last = q0 + panel >= p1 and k >= M and n >= width
        target, stride = (result, n) if last else (area, width)
        for j in range(blocks):
            row = q0 * n + _start(b0 + j, width, n) if plain_b else j * panel * width
            for i in range(tiles):
                t = j * tiles + i
                next, end = q0 + panel + t * ahead, min(q0 + panel + t * ahead + ahead, q0 + 2 * panel, p1)
                _prefetch_rows(a, next, end, i0 * M, min(i1 * M, k))
                _prefetch_rows(b, next, end, b0 * width, min(b1 * width, n))
                line = q0 * k + _start(i0 + i, M, k) if plain_a else i * pillars.shape[1]
                place = (s * k + _start(i0 + i, M, k)) * n + _start(b0 + j, width, n) if last else t * M * width
                _add_panel(lines, line, line_step, rows, row, row_step, size, area, t * M * width, q0 == p0, target, place, stride)
    if k < M or n < width:  # one row or one column of tiles, that reach beyond the result
        for t in range(tiles * blocks):
            r, c = _start(i0 + t % tiles, M, k), _start(b0 + t // tiles, width, n)
            for m in range(min(M, k)):
                for o in range(min(width, n)):
                    part[s, r + m, c + o] = area[(t * M + m) * width + o]


@compiled
def _cut(tiles, blocks, width, parts):
    """Tiles and blocks of a job: the longer side is halved until there are enough jobs, and none is too large."""
    high, wide = tiles, blocks
    while high * wide > 1:
        jobs = parts * ((tiles + high - 1) // high) * ((blocks + wide - 1) // wide)
        if jobs >= PARTS and high * M * wide * width <= AREA:
            break
        if wide == 1 or (high > 1 and high * M >= wide * width):
            high = (high + 1) // 2
        else:
            wide = (wide + 1) // 2
    return high, wide


@kernel
def weight_parts(x, dy, turn, part, part_bias):
    """part[s] = x.T @ dy (dy.T @ x if turn) and part_bias[s] = sum of dy, each over the s-th part of the rows."""
    rows, n = dy.shape
    parts = part_bias.shape[0]
    a, b = (dy, x) if turn else (x, dy)
    width = V * (BYTES // x.itemsize)
    tiles, blocks = (a.shape[1] + M - 1) // M, (b.shape[1] + width - 1) // width
    size = (rows + parts - 1) // parts
    high, wide = _cut(tiles, blocks, width, parts)
    levels, groups = (tiles + high - 1) // high, (blocks + wide - 1) // wide
    for job in prange(parts * levels * groups):
        s, i0, b0 = job // (levels * groups), job // groups % levels * high, job % groups * wide
        p0, p1, i1, b1 = s * size, min(s * size + size, rows), min(i0 + high, tiles), min(b0 + wide, blocks)
        c0, c1 = (i0 * M, i1 * M) if turn else (b0 * width, b1 * width)
        if (b0 if turn else i0) > 0:
            c1 = c0  # another job's
        _part_of_rows(a, b, p0, p1, i0, i1, b0, b1, part, s, dy, min(c0, n), min(c1, n), part_bias)


@kernel
def add_parts(part, part_bias, turn, dkernel, dbias):
    """dkernel = sum of part over its first axis (turned back), dbias likewise, in order."""
    k, n = dkernel.shape
    for i in prange(k):
        for c in range(n):
            dkernel[i, c] = part[0, c, i] if turn else part[0, i, c]
        for s in range(1, part.shape[0]):
            for c in range(n):
                dkernel[i, c] += part[s, c, i] if turn else part[s, i, c]
    for c in range(n):
        total = part_bias[0, c]
        for s in range(1, part_bias.shape[0]):
            total += part_bias[s, c]
        dbias[c] = total
