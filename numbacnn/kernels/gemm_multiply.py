"""The product of a matrix of many rows with packed weights, on register tiles.

    pack(kernel [K, N], bias [N], scale [N], shift [N], packed [K * L], packed_bias [L])
    transpose(kernel [K, N], packed [N * L])                      the same for kernel.T, where L belongs to K
    multiply(x [P, K], packed, packed_bias, residual, lo, hi, y [P, N], moments)

L = packed_columns(N, dtype) is N filled up with zeros to whole vectors. Packed weights are blocks of columns: each V vectors wide, but
where the number of vectors is odd the last has WIDE; a block lies as [K, its width], where a tile reads it in order.
Tiles and packing after Goto and van de Geijn, Anatomy of high-performance matrix multiplication, 2008.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..jit import Kernel, compiled, factory, kernel, named, prange
from .finish import Function, finishing, label
from .moments import moments_of
from .tile import BYTES, M, V, address, gather, lanes, madd, plus, spread, square, store, vmadd, zero
from .tile_edges import plus_some, put_some

WIDE = V + 1  # vectors of the last block, where their number is odd
HIGH = {64: 8, 32: 4, 16: M}[BYTES]  # rows of its tile: as many accumulators as others have
ROWS = 16 * M  # rows of x that one job multiplies, at most
DEPTH = 256  # terms added in registers before they join the total: a block of packed weights stays in the first-level cache
JOBS = 16  # pieces that work is cut into, where its shape allows


def packed_columns(n: int, dtype: Any) -> int:
    """Columns of n columns' packed matrix."""
    return max(V, -(-n // lanes(dtype))) * lanes(dtype)


def bands(rows: int) -> int:
    """Into how many bands of rows `multiply` cuts the output, each with moments of its own."""
    height = _height(rows)
    return -(-rows // height)


def _height(rows):
    """Rows of a band: bands are about equally high, and no higher than ROWS."""
    count = (rows + ROWS - 1) // ROWS
    return ((rows + count - 1) // count + M - 1) // M * M


_band_height = compiled(_height)


# ---- packing


@compiled
def _block(columns, vector, b):
    """First column and width of block b of so many columns in vectors of so many lanes."""
    first = b * V * vector
    return first, WIDE * vector if columns - first == WIDE * vector else V * vector


@compiled
def _pack_rows(kernel, scale, packed, columns, k0, k1):
    """Rows k0 … k1 of every block."""
    k, n = kernel.shape
    vector = BYTES // packed.itemsize
    for b in range(columns // (V * vector)):
        first, width = _block(columns, vector, b)
        whole = 0 if first + width > n else width // (V * vector) * V * vector
        for i in range(k0, k1):
            at = first * k + i * width
            if whole > 0:
                store(vmadd(zero(kernel, 1, V), spread(kernel, i * n + first, 0, 1), 0, scale, first), packed, at, 0)
            for c in range(whole, width):
                packed[at + c] = kernel[i, first + c] * scale[first + c] if first + c < n else kernel.dtype.type(0)


@kernel
def pack(kernel, bias, scale, shift, packed, packed_bias):
    """packed = kernel * scale in blocks, packed_bias = bias * scale + shift; zeros behind the last column."""
    k, n = kernel.shape
    for o in range(packed_bias.size):
        packed_bias[o] = bias[o] * scale[o] + shift[o] if o < n else kernel.dtype.type(0)
    for job in prange((k + 63) // 64):
        _pack_rows(kernel, scale, packed, packed_bias.size, job * 64, min(job * 64 + 64, k))


@compiled
def _turn(kernel, first, width, packed):
    """A whole block of kernel.T. Each vector goes along `vector` rows of the kernel, whose lines of the cache are then read to their ends."""
    n = kernel.shape[1]
    vector = BYTES // packed.itemsize
    for c in range(0, width, vector):
        for i in range(0, n - vector + 1, vector):
            store(square(kernel, (first + c) * n + i, n), packed, first * n + i * width + c, width)
        for i in range(n // vector * vector, n):
            for r in range(c, c + vector):
                packed[first * n + i * width + r] = kernel[first + r, i]


@kernel
def transpose(kernel, packed):
    """packed = kernel.T in blocks; zeros behind the last column."""
    k, n = kernel.shape
    columns, vector = packed.size // max(n, 1), BYTES // packed.itemsize
    for b in prange(columns // (V * vector)):
        first, width = _block(columns, vector, b)
        if first + width <= k:
            _turn(kernel, first, width, packed)
            continue
        for i in range(n):
            at = first * n + i * width
            for c in range(width):
                packed[at + c] = kernel[first + c, i] if first + c < k else kernel.dtype.type(0)


# ---- y = x @ packed


def _block_of(m, v, function):
    """Makes the function that multiplies a band of rows by one block of v vectors, in tiles of m rows."""
    finish = finishing(function, m, v)

    def multiply_block(lines, places, addends, count, packed, start, depth, bias, column, filled, lo, hi, total):
        """lines, places, addends: addresses of x's, y's and the residual's rows; the block lies at packed[start:], its columns of y
        from `column` on, `filled` of them; total: scratch for the band."""
        width = v * (BYTES // packed.itemsize)
        for k0 in range(0, depth, DEPTH):
            k1 = min(k0 + DEPTH, depth)
            for i in range(0, count, m):
                rows = gather(lines, i, m)
                acc = zero(packed, m, v)
                for k in range(k0, k1):
                    acc = madd(acc, rows, k, packed, start + k * width)
                if k0 > 0:
                    acc = plus(acc, spread(total, i * width, width, m), 0)
                if k1 < depth:
                    store(acc, total, i * width, width)
                else:
                    if addends.size > 0:
                        acc = plus_some(acc, gather(addends, i, m), column, filled)
                    put_some(finish(acc, bias, column, lo, hi, column), gather(places, i, m), column, filled)

    return compiled(named(multiply_block, f"multiply_block_{m}_{v}{label(function)}"))


@compiled
def _rows_of(matrix, first, count, spare, table):
    """Addresses of `count` rows of a matrix, and of `spare` for those behind them."""
    for i in range(table.size):
        table[i] = address(matrix, (first + i) * matrix.shape[1]) if i < count else address(spare, 0)


def _rows(function: Function | None) -> Callable:
    """Makes the function that computes rows of y."""
    multiply_block, multiply_wide_block = _block_of(M, V, function), _block_of(HIGH, WIDE, function)

    def multiply_rows(x, packed, bias, residual, lo, hi, y, p0, p1, b0, b1):
        """Rows p0 … p1 of y, blocks b0 … b1 of its columns."""
        n, depth = y.shape[1], x.shape[1]
        count, vector = p1 - p0, BYTES // packed.itemsize
        spare = np.zeros(max(depth, bias.size), x.dtype)  # stands in for rows behind the last
        lines, places = np.empty(count + M + HIGH, np.int64), np.empty(count + M + HIGH, np.int64)
        addends = np.empty(lines.size if residual.size > 0 else 0, np.int64)
        _rows_of(x, p0, count, spare, lines)
        _rows_of(y, p0, count, spare, places)
        _rows_of(residual, p0, count, spare, addends)
        total = np.empty((count + M + HIGH) * WIDE * vector if depth > DEPTH else 0, x.dtype)
        for b in range(b0, b1):
            first, width = _block(bias.size, vector, b)
            filled = min(width, n - first)
            if width == V * vector:
                multiply_block(lines, places, addends, count, packed, first * depth, depth, bias, first, filled, lo, hi, total)
            else:
                multiply_wide_block(lines, places, addends, count, packed, first * depth, depth, bias, first, filled, lo, hi, total)
        spare[0] = 0  # keeps it alive: the tables hold its address only

    return compiled(named(multiply_rows, f"multiply_rows{label(function)}"))


multiply_rows = _rows(None)


@factory
def multiplying(function: Function | None) -> Kernel:
    """Kernel run(x, packed, packed_bias, residual, lo, hi, y, moments): y = min(max(x @ packed + bias + residual, lo), hi), or with a function
    (finish.py) that of the sum; NaN stays NaN.

    An empty residual is none; moments [bands(rows), 3, N] get the statistics of y's columns, (0, 3, N) none.
    """
    rows_of = multiply_rows if function is None else _rows(function)

    def run(x, packed, packed_bias, residual, lo, hi, y, moments):
        rows, n = y.shape
        width = V * (BYTES // y.itemsize)
        height = _band_height(rows)
        count, blocks = (rows + height - 1) // height, packed_bias.size // width
        step = max(1, min((blocks * count + JOBS - 1) // JOBS, blocks))
        groups = (blocks + step - 1) // step
        for job in prange(count * groups):
            b0, p0 = (job % groups) * step, (job // groups) * height
            b1, p1 = min(b0 + step, blocks), min(p0 + height, rows)
            rows_of(x, packed, packed_bias, residual, lo, hi, y, p0, p1, b0, b1)
            if moments.shape[0] > 0:
                moments_of(y.reshape(-1), n, p0, p1 - p0, b0 * width, n if b1 == blocks else b1 * width, moments, job // groups)

    return Kernel(named(run, f"multiply{label(function)}"), in_place=("residual",))


multiply = multiplying(None)
