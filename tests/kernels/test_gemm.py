"""Matrix products against NumPy in float64: one row, one column, sizes that are no multiples of a tile."""

import os
import subprocess
import sys

import numpy as np
import pytest

from numbacnn.kernels import gemm

SHAPES = [(1, 1, 1), (1, 5, 3), (2, 300, 16), (7, 1, 17), (6, 16, 16), (5, 17, 100), (97, 600, 33), (200, 12, 64), (13, 1025, 70), (gemm.PANEL + 1, 20, 9)]


class Numbers:
    """Random operands and results that are NaN until they are written."""

    def __init__(self, rows, k, n, dtype):
        draw = np.random.default_rng(rows + k + n).standard_normal
        self.x, self.w, self.dy = draw((rows, k)).astype(dtype), draw((k, n)).astype(dtype), draw((rows, n)).astype(dtype)
        self.bias, self.scale, self.shift = (draw(n).astype(dtype) for _ in range(3))
        self.y, self.dx, self.dw, self.db = (np.full(s, np.nan, dtype) for s in ((rows, n), (rows, k), (k, n), (n,)))
        self.dtype = dtype

    def blank(self, *shape):
        return np.full(shape, np.nan, self.dtype)

    def close(self, found, wanted, scale=None):
        error = np.abs(found - wanted).max() / (np.abs(wanted).max() if scale is None else scale)
        assert error < {np.float32: 1e-6, np.float64: 1e-14}[self.dtype]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward(shape, dtype):
    a, (_, k, n) = Numbers(*shape, dtype), shape
    raw = (a.x.astype(np.float64) @ a.w + a.bias) * a.scale + a.shift
    wanted, size = np.clip(raw, -1, 3), np.abs(raw).max()
    packed_shape = gemm.packed_shape(k, n, dtype)
    packed, packed_bias = a.blank(*packed_shape), a.blank(packed_shape[0] * packed_shape[2])
    gemm.pack(a.w, a.bias, a.scale, a.shift, packed, packed_bias)
    gemm.multiply(a.x, packed, packed_bias, dtype(-1), dtype(3), a.y)
    a.close(a.y, wanted, size)
    if n >= packed_shape[2]:
        a.y[:] = np.nan
        gemm.stream(a.x, a.w, a.bias, a.scale, a.shift, dtype(-1), dtype(3), a.y)
        a.close(a.y, wanted, size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_data_gradient(shape, dtype):
    a, (_, k, n) = Numbers(*shape, dtype), shape
    wanted = a.dy.astype(np.float64) @ a.w.T
    packed_shape = gemm.packed_shape(n, k, dtype)
    packed = a.blank(*packed_shape)
    gemm.transpose(a.w, packed)
    gemm.multiply(a.dy, packed, np.zeros(packed_shape[0] * packed_shape[2], dtype), dtype(-np.inf), dtype(np.inf), a.dx)
    a.close(a.dx, wanted)
    a.dx[:] = np.nan
    gemm.stream_back(a.dy, a.w, a.dx)
    a.close(a.dx, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_weight_gradient(shape, dtype):
    a, (rows, k, n) = Numbers(*shape, dtype), shape
    for parts in {1, min(2, rows)}:
        part, part_bias = a.blank(parts, k, n), a.blank(parts, n)
        gemm.weight_parts(a.x, a.dy, part, part_bias)
        gemm.add_parts(part, part_bias, a.dw, a.db)
        a.close(a.dw, a.x.astype(np.float64).T @ a.dy)
        a.close(a.db, a.dy.astype(np.float64).sum(0), np.abs(a.dy).sum(0).max())


def test_every_part_of_a_split_gets_rows():
    for rows in (1, 1000, 4 * gemm.PANEL, 12345, 50_000):
        parts = gemm.split(rows, 24, 144)
        assert 1 <= parts <= 8 and (parts - 1) * -(-rows // parts) < rows


def test_long_sums_stay_accurate():
    rows, k = 50_000, 5_000
    x, dy = np.full((rows, 2), 0.1, np.float32), np.full((rows, 3), 0.3, np.float32)
    parts = gemm.split(rows, 2, 3)
    part, part_bias, dw, db = (np.empty(s, np.float32) for s in ((parts, 2, 3), (parts, 3), (2, 3), (3,)))
    gemm.weight_parts(x, dy, part, part_bias)
    gemm.add_parts(part, part_bias, dw, db)
    assert np.allclose(dw, rows * np.float64(np.float32(0.1)) * np.float32(0.3), rtol=5e-6) and np.allclose(db, rows * np.float64(np.float32(0.3)), rtol=5e-6)
    x, w, y, zero = np.full((1, k), 0.1, np.float32), np.full((k, 64), 0.3, np.float32), np.empty((1, 64), np.float32), np.zeros(64, np.float32)
    gemm.stream(x, w, zero, zero + 1, zero, np.float32(-np.inf), np.float32(np.inf), y)
    assert np.allclose(y, k * 0.03, rtol=2e-6)


def test_nan_passes_the_clamp():
    x, w, bias = np.full((20, 4), np.nan, np.float32), np.ones((4, 40), np.float32), np.zeros(40, np.float32)
    y, shape = np.zeros((20, 40), np.float32), gemm.packed_shape(4, 40, np.float32)
    packed, packed_bias = np.empty(shape, np.float32), np.empty(shape[0] * shape[2], np.float32)
    gemm.pack(w, bias, bias + 1, bias, packed, packed_bias)
    gemm.multiply(x, packed, packed_bias, np.float32(0), np.float32(6), y)
    assert np.isnan(y).all()
    y[:] = 0
    gemm.stream(x, w, bias, bias + 1, bias, np.float32(0), np.float32(6), y)
    assert np.isnan(y).all()


THREADS = """
import numpy as np
from numbacnn import jit
from numbacnn.kernels import gemm

def results(rows, k, n):
    draw = lambda *shape: np.random.default_rng(k).standard_normal(shape, dtype=np.float32)
    x, w, dy, zero, one = draw(rows, k), draw(k, n), draw(rows, n), np.zeros(n, np.float32), np.ones(n, np.float32)
    free, shape, parts = (np.float32(-np.inf), np.float32(np.inf)), gemm.packed_shape(k, n, np.float32), gemm.split(rows, k, n)
    new = lambda *shape: np.empty(shape, np.float32)
    packed, packed_bias, y, y2, dx = new(*shape), new(shape[0] * shape[2]), new(rows, n), new(rows, n), new(rows, k)
    part, part_bias = new(parts, k, n), new(parts, n)
    gemm.pack(w, zero, one, zero, packed, packed_bias)
    gemm.multiply(x, packed, packed_bias, *free, y)
    gemm.stream(x, w, zero, one, zero, *free, y2)
    gemm.stream_back(dy, w, dx)
    gemm.weight_parts(x, dy, part, part_bias)
    return packed, y, y2, dx, part, part_bias

runs = []
for threads in (1, 2, 3):
    assert jit.set_threads(threads) == threads
    runs.append([*results(5, 700, 100), *results(1500, 70, 40)])
assert all(np.array_equal(a, b) for run in runs for a, b in zip(runs[0], run))
"""


def test_same_bits_for_any_number_of_threads():
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "3"}
    subprocess.run([sys.executable, "-c", THREADS], check=True, env=env, timeout=300)
