"""Matrix products on register tiles: Dense, and 1x1 convolutions seen as matrices of pixels [N * H * W, channels].

A layer notes all launches of a product with three functions; x, y, dx, dy are matrices (buffers.reshape(rows, -1)):

    forward(step, x, kernel, epilogue, y)        y = clamp((x @ kernel + bias) * scale + shift + residual): convolutions/problem.py's Epilogue
    data_gradient(step, dy, kernel, dx)          dx = dy @ kernel.T (+ residual)
    weight_gradient(step, x, dy, dkernel, dbias) dkernel = x.T @ dy, dbias = sum of dy's rows

kernel is [K, N], dbias [N]: `step.w.kernel.reshape(K, N)`; without a bias pass a step.new(N) for dbias.
Underneath, the call order is pack -> multiply, transpose -> multiply, weight_parts (-> add_parts). Packing reads weights only, so
that a plan hoists it out of inference:

    pack(kernel [K, N], bias [N], scale [N], shift [N], packed [blocks, K, L], packed_bias [blocks * L])
    transpose(kernel [K, N], packed [blocks, N, L])          blocks = ceil(K / L) here
    multiply(x [P, K], packed [blocks, K, L], packed_bias, residual, lo, hi, y [P, N], moments)

where L = V * lanes(dtype) is a tile's width, the last block is filled up with zeros, and packed_shape(K, N, dtype) gives packed's
shape. Products of a few rows are bound by the memory that the weights come from: up to SMALL (SMALL_BACK) rows, `stream` (`stream_back`)
reads them in place, without packing.

Every output is computed by one job in a fixed order; sums over rows are cut into parts by shape alone, so results are the same bits
for any number of threads. Tiles and packing after Goto and van de Geijn, Anatomy of high-performance matrix multiplication, 2008.
"""

from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from .moments import moments_of
from .tile import BYTES, M, V, address, clamp, gather, lanes, load, madd, plus, spread, store, vmadd, zero

ROWS = 16 * M  # rows of x that one job multiplies
DEPTH = 256  # terms added in registers before they join the total: a block of packed weights stays in the first-level cache
PANEL = 20 * M  # rows that the weight gradient adds in registers
STRIP = 16  # terms that a few rows add in registers
SMALL, SMALL_BACK = 2, 16  # rows up to which weights are read in place
JOBS = 16  # pieces that work is cut into, where its shape allows


def packed_shape(k: int, n: int, dtype: Any) -> tuple[int, int, int]:
    """Shape of a packed [k, n] matrix: (blocks, k, width of a tile)."""
    width = V * lanes(dtype)
    return -(-n // width), k, width


# ---- what layers call


def bands(rows: int) -> int:
    """Into how many bands of rows `multiply` cuts the output, each with moments of its own."""
    return -(-rows // ROWS)


def forward(step: Any, x: Any, kernel: Any, epilogue: Any, y: Any) -> Any:
    """Note the launches of y = clamp((x @ kernel + bias) * scale + shift + residual); returns the moments where they are wanted."""
    (rows, k), n = x.shape, y.shape[1]
    bias, scale, shift = epilogue.vectors(step, n)
    residual = epilogue.addend(step, 2)
    clamp = tuple(map(float, epilogue.clamp))
    shape = packed_shape(k, n, step.dtype)
    if rows <= SMALL and n >= shape[2] and epilogue.residual is None and not epilogue.moments:
        step.run(stream, x, kernel, bias, scale, shift, *clamp, out=y)
        return None
    packed, packed_bias = step.new(*shape), step.new(shape[0] * shape[2])
    step.run(pack, kernel, bias, scale, shift, out=(packed, packed_bias))
    moments = step.new(bands(rows) if epilogue.moments else 0, 3, n)
    step.run(multiply, x, packed, packed_bias, residual, *clamp, out=(y, moments))
    return moments if epilogue.moments else None


def data_gradient(step: Any, dy: Any, kernel: Any, dx: Any, residual: Any = None) -> None:
    """Note the launches of dx = dy @ kernel.T + residual."""
    (rows, n), k = dy.shape, dx.shape[1]
    if rows <= SMALL_BACK and n >= 4 * packed_shape(n, k, step.dtype)[2] and residual is None:
        step.run(stream_back, dy, kernel, out=dx)
        return
    shape = packed_shape(n, k, step.dtype)
    packed = step.new(*shape)
    step.run(transpose, kernel, out=packed)
    nothing = step.constant(np.zeros(shape[0] * shape[2]))
    residual = step.constant(np.zeros((0, 0))) if residual is None else residual
    step.run(multiply, dy, packed, nothing, residual, -np.inf, np.inf, out=(dx, step.new(0, 3, k)))


def weight_gradient(step: Any, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
    """Note the launches of dkernel = x.T @ dy and dbias = sum of dy's rows."""
    k, n, parts = x.shape[1], dy.shape[1], split(*x.shape, dy.shape[1])
    if parts == 1:
        step.run(weight_parts, x, dy, out=(dkernel.reshape(1, k, n), dbias.reshape(1, n)))
        return
    part, part_bias = step.new(parts, k, n), step.new(parts, n)
    step.run(weight_parts, x, dy, out=(part, part_bias))
    step.run(add_parts, part, part_bias, out=(dkernel, dbias))


def split(rows: int, k: int, n: int) -> int:
    """Parts that the weight gradient's sum over rows is cut into: as few as keep JOBS / 2 jobs busy, at most 64 MB or so of them."""
    return max(1, min(JOBS // 2, rows // (4 * PANEL), 2**24 // (k * n)))


# ---- packing


@compiled
def _pack_rows(kernel, scale, packed, k0, k1):
    """Rows k0 … k1 of every block."""
    n = kernel.shape[1]
    blocks, k, width = packed.shape
    for b in range(blocks):
        o = b * width
        if o + width <= n:
            for i in range(k0, k1):
                store(vmadd(zero(kernel, 1, V), spread(kernel, i * n + o, 0, 1), 0, scale, o), packed, (b * k + i) * width, 0)
        else:
            for i in range(k0, k1):
                for c in range(width):
                    packed[b, i, c] = kernel[i, o + c] * scale[o + c] if o + c < n else kernel.dtype.type(0)


@kernel
def pack(kernel, bias, scale, shift, packed, packed_bias):
    """packed[b, k, l] = kernel[k, b * L + l] * scale, packed_bias = bias * scale + shift; zeros behind the last column."""
    k, n = kernel.shape
    for o in range(packed_bias.size):
        packed_bias[o] = bias[o] * scale[o] + shift[o] if o < n else kernel.dtype.type(0)
    for job in prange((k + 63) // 64):
        _pack_rows(kernel, scale, packed, job * 64, min(job * 64 + 64, k))


@kernel
def transpose(kernel, packed):
    """packed[b, n, l] = kernel[b * L + l, n]; zeros behind the last row."""
    k, n = kernel.shape
    blocks, _, width = packed.shape
    for b in prange(blocks):
        filled = min(width, k - b * width)
        for i in range(n):
            for c in range(filled):
                packed[b, i, c] = kernel[b * width + c, i]
            for c in range(filled, width):
                packed[b, i, c] = kernel.dtype.type(0)


# ---- y = x @ packed


@compiled
def _multiply_rows(x, packed, bias, residual, lo, hi, y, p0, b0, b1):
    """Rows p0 … p0 + ROWS of y, blocks b0 … b1 of its columns."""
    rows, n = y.shape
    _, depth, width = packed.shape
    tiles = (min(ROWS, rows - p0) + M - 1) // M
    table = np.empty(tiles * M, np.int64)
    for i in range(tiles * M):  # rows behind the last are computed from the last, and dropped
        table[i] = address(x, min(p0 + i, rows - 1) * depth)
    total = np.empty((tiles * M, width), x.dtype)
    for b in range(b0, b1):
        for k0 in range(0, depth, DEPTH):
            k1 = min(k0 + DEPTH, depth)
            for i in range(tiles):
                lines = gather(table, i * M, M)
                acc = zero(x, M, V)
                j = b * depth * width
                for k in range(k0, k1):
                    acc = madd(acc, lines, k, packed, j + k * width)
                if k0 > 0:
                    acc = plus(acc, spread(total, i * M * width, width, M), 0)
                p = p0 + i * M
                if k1 < depth:
                    store(acc, total, i * M * width, width)
                elif p + M <= rows and (b + 1) * width <= n:
                    if residual.size > 0:
                        acc = plus(acc, spread(residual, p * n + b * width, n, M), 0)
                    store(clamp(acc, bias, b * width, lo, hi), y, p * n + b * width, n)
                else:
                    store(acc, total, i * M * width, width)
                    for m in range(min(M, rows - p)):
                        for c in range(min(width, n - b * width)):
                            value = total[i * M + m, c] + bias[b * width + c]
                            if residual.size > 0:
                                value += residual[p + m, b * width + c]
                            y[p + m, b * width + c] = lo if value < lo else hi if value > hi else value  # NaN stays NaN


@kernel(in_place=("residual",))
def multiply(x, packed, packed_bias, residual, lo, hi, y, moments):
    """y = min(max(x @ packed + bias + residual, lo), hi).

    An empty residual is none; moments [bands(rows), 3, N] get the statistics of y's columns, (0, 3, N) none.
    """
    rows, n = y.shape
    blocks, _, width = packed.shape
    count = (rows + ROWS - 1) // ROWS
    step = (blocks * count + JOBS - 1) // JOBS
    step = max(1, min(step, blocks))
    groups = (blocks + step - 1) // step
    for job in prange(count * groups):
        b0, p0 = (job % groups) * step, (job // groups) * ROWS
        b1 = min(b0 + step, blocks)
        _multiply_rows(x, packed, packed_bias, residual, lo, hi, y, p0, b0, b1)
        if moments.shape[0] > 0:
            moments_of(y.reshape(-1), n, p0, min(ROWS, rows - p0), b0 * width, min(n, b1 * width), moments, job // groups)


# ---- dkernel = x.T @ dy


@compiled
def _columns_of(x, q0, size, i0, i1, columns):
    """columns[i, p, m] = x[q0 + p, (i0 + i) * M + m]; the last column stands in for those behind it."""
    k = x.shape[1]
    for p in range(size):
        for i in range(i1 - i0):
            r = (i0 + i) * M
            if r + M <= k:
                for m in range(M):
                    columns[i, p, m] = x[q0 + p, r + m]
            else:
                for m in range(M):
                    columns[i, p, m] = x[q0 + p, min(r + m, k - 1)]


@compiled
def _panel_of(dy, q0, size, o, panel):
    """Rows q0 … q0 + size of dy's columns from o on; zeros behind the last column and the last row."""
    n, width = dy.shape[1], panel.shape[1]
    filled = min(width, n - o)
    for p in range(size):
        if filled == width:
            store(load(zero(dy, 1, V), dy, (q0 + p) * n + o, 0), panel, p * width, 0)
        else:
            for c in range(filled):
                panel[p, c] = dy[q0 + p, o + c]
    for p in range(size, min(size + M, PANEL)):
        for c in range(width):
            panel[p, c] = dy.dtype.type(0)


@compiled
def _weights_of_rows(x, dy, part, part_bias, s, p0, p1, b0, b1, i0, i1):
    """Rows p0 … p1 of the sum; blocks b0 … b1 of part's columns, tiles i0 … i1 of its rows."""
    k, n = part.shape[1:]
    width = V * (BYTES // x.itemsize)
    panel, edge, ones = np.zeros((PANEL, width), x.dtype), np.empty((M, width), x.dtype), np.ones(width, x.dtype)
    columns = np.empty((i1 - i0, PANEL, M), x.dtype)
    for q0 in range(p0, p1, PANEL):
        size = min(PANEL, p1 - q0)
        _columns_of(x, q0, size, i0, i1, columns)
        for b in range(b0, b1):
            o = b * width
            filled = min(width, n - o)
            _panel_of(dy, q0, size, o, panel)
            if i0 == 0:
                acc = zero(x, M, V)
                for p in range(0, size, M):
                    acc = vmadd(acc, spread(panel, p * width, width, M), 0, ones, 0)
                store(acc, edge, 0, width)
                for c in range(filled):
                    total = edge[0, c]
                    for m in range(1, M):
                        total += edge[m, c]
                    part_bias[s, o + c] = total if q0 == p0 else part_bias[s, o + c] + total
            for i in range(i1 - i0):
                lines = spread(columns, i * PANEL * M, 1, M)
                acc = zero(x, M, V)
                for p in range(size):
                    acc = madd(acc, lines, p * M, panel, p * width)
                r = (i0 + i) * M
                if r + M <= k and filled == width:
                    j = (s * k + r) * n + o
                    if q0 > p0:
                        acc = vmadd(acc, spread(part, j, n, M), 0, ones, 0)
                    store(acc, part, j, n)
                else:
                    store(acc, edge, 0, width)
                    for m in range(min(M, k - r)):
                        for c in range(filled):
                            part[s, r + m, o + c] = edge[m, c] if q0 == p0 else part[s, r + m, o + c] + edge[m, c]


@kernel
def weight_parts(x, dy, part, part_bias):
    """part[s] = x.T @ dy and part_bias[s] = sum of dy, each over the s-th part of the rows."""
    rows, n = dy.shape
    parts, k, _ = part.shape
    width = V * (BYTES // x.itemsize)
    blocks, tiles = (n + width - 1) // width, (k + M - 1) // M
    size = (rows + parts - 1) // parts
    step = max(1, blocks * parts // (JOBS // 2))
    groups = (blocks + step - 1) // step
    high = max(1, tiles * groups * parts // (JOBS // 2))
    levels = (tiles + high - 1) // high
    for job in prange(parts * groups * levels):
        s, g, i0 = job // (groups * levels), job // levels % groups * step, job % levels * high
        _weights_of_rows(x, dy, part, part_bias, s, s * size, min(s * size + size, rows), g, min(g + step, blocks), i0, min(i0 + high, tiles))


@kernel
def add_parts(part, part_bias, dkernel, dbias):
    """dkernel = sum of part over its first axis, dbias likewise, in order."""
    parts, k, n = part.shape
    for i in prange(k):
        for c in range(n):
            dkernel[i, c] = part[0, i, c]
        for s in range(1, parts):
            for c in range(n):
                dkernel[i, c] += part[s, i, c]
    for c in range(n):
        total = part_bias[0, c]
        for s in range(1, parts):
            total += part_bias[s, c]
        dbias[c] = total


# ---- few rows: bound by the memory that the weights come from


@compiled
def _stream_columns(x, kernel, bias, scale, shift, lo, hi, y, c0, c1):
    """Columns c0 … c1 of y. A tile is one row of M * V vectors; the rows of x are spread over the lanes, STRIP terms at a time."""
    rows, k = x.shape
    n = y.shape[1]
    width = V * (BYTES // x.itemsize)
    groups = (c1 - c0 + M * width - 1) // (M * width)
    table = np.empty(groups * M, np.int64)
    for i in range(groups * M):  # the last vectors overlap those before them rather than reach behind the row
        table[i] = address(kernel, min(c0 + i * width, n - width))
    total = np.zeros((groups, rows, M, width), x.dtype)
    strip = np.empty((rows, STRIP, width), x.dtype)
    ones = np.ones(width, x.dtype)
    for k0 in range(0, k, STRIP):
        size = min(STRIP, k - k0)
        for p in range(rows):
            for i in range(size):
                for c in range(width):
                    strip[p, i, c] = x[p, k0 + i]
        for g in range(groups):
            lines = gather(table, g * M, M)
            for p in range(rows):
                acc = zero(x, M, V)
                for i in range(size):
                    acc = vmadd(acc, lines, (k0 + i) * n, strip, (p * STRIP + i) * width)
                j = (g * rows + p) * M * width
                store(vmadd(acc, spread(total, j, width, M), 0, ones, 0), total, j, width)
    for g in range(groups):
        for p in range(rows):
            for m in range(M):
                start = min(c0 + (g * M + m) * width, n - width)
                for c in range(max(start, c0), min(start + width, c1)):
                    value = (total[g, p, m, c - start] + bias[c]) * scale[c] + shift[c]
                    value = lo if value < lo else value
                    y[p, c] = hi if value > hi else value


@kernel
def stream(x, kernel, bias, scale, shift, lo, hi, y):
    """y = min(max((x @ kernel + bias) * scale + shift, lo), hi) for a few rows of x and at least a tile's width of columns; NaN stays NaN."""
    n = y.shape[1]
    tile = M * V * (BYTES // x.itemsize)
    columns = max(1, n // (4 * tile)) * tile if n >= 2 * tile else (n + 1) // 2
    for job in prange((n + columns - 1) // columns):
        _stream_columns(x, kernel, bias, scale, shift, lo, hi, y, job * columns, min(job * columns + columns, n))


@compiled
def _dots(dy, kernel, dx, k0, k1):
    """dx[p, i] = dy[p] · kernel[i] for i in k0 … k1."""
    rows, n = dy.shape
    k = kernel.shape[0]
    width = V * (BYTES // dy.itemsize)
    edge = np.empty((M, width), dy.dtype)
    table = np.empty(M, np.int64)
    for i in range(k0, k1, M):
        for m in range(M):
            table[m] = address(kernel, min(i + m, k - 1) * n)
        lines = gather(table, 0, M)
        for p in range(rows):
            acc = zero(dy, M, V)
            for c in range(0, n - width + 1, width):
                acc = vmadd(acc, lines, c, dy, p * n + c)
            store(acc, edge, 0, width)
            for m in range(min(M, k1 - i)):
                total = dy.dtype.type(0)
                for c in range(width):
                    total += edge[m, c]
                for c in range(n // width * width, n):
                    total += dy[p, c] * kernel[i + m, c]
                dx[p, i + m] = total


@kernel
def stream_back(dy, kernel, dx):
    """dx = dy @ kernel.T for a few rows of dy."""
    k = dx.shape[1]
    size = max(M, (k + JOBS - 1) // JOBS)
    for job in prange((k + size - 1) // size):
        _dots(dy, kernel, dx, job * size, min(job * size + size, k))
