"""Products of a few rows are bound by the memory that the weights come from: they are read in place, without packing.

stream(x [P, K], kernel [K, N], bias, scale, shift [N], lo, hi, y [P, N])      N at least V vectors
stream_back(dy [P, N], kernel [K, N], dx [P, K])
"""

from collections.abc import Callable

import numpy as np

from ..jit import Kernel, compiled, factory, kernel, named, prange
from .finish import Function, finishing_row, label
from .tile import BYTES, M, V, address, gather, spread, store, vmadd, zero

STRIP = 16  # terms that are added in registers
JOBS = 16  # pieces that work is cut into, where its shape allows


def _columns_of(function: Function | None) -> Callable:
    """Makes the function that computes some columns of y."""
    finish = finishing_row(function)

    def stream_columns(x, kernel, bias, scale, shift, lo, hi, y, c0, c1):
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
                        y[p, c] = (total[g, p, m, c - start] + bias[c]) * scale[c] + shift[c]
        for p in range(rows):
            finish(y[p, c0:c1], lo, hi, c0)

    return compiled(named(stream_columns, f"stream_columns{label(function)}"))


@factory
def streaming(function: Function | None) -> Kernel:
    """Kernel run(x, kernel, bias, scale, shift, lo, hi, y): y = min(max((x @ kernel + bias) * scale + shift, lo), hi), or with a function
    (finish.py) that of the sum, for a few rows of x and at least a tile's width of columns; NaN stays NaN."""
    stream_columns = _columns_of(function)

    def run(x, kernel, bias, scale, shift, lo, hi, y):
        n = y.shape[1]
        tile = M * V * (BYTES // x.itemsize)
        columns = max(1, n // (4 * tile)) * tile if n >= 2 * tile else (n + 1) // 2
        for job in prange((n + columns - 1) // columns):
            stream_columns(x, kernel, bias, scale, shift, lo, hi, y, job * columns, min(job * columns + columns, n))

    return Kernel(named(run, f"stream{label(function)}"))


stream = streaming(None)


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
