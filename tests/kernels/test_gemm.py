"""Matrix products against NumPy in float64: one row, one column, sizes that are no multiples of a tile."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numbacnn.convolutions.problem import Epilogue
from numbacnn.kernels import gemm, gemm_multiply, gemm_stream, gemm_weights

WIDE, PANEL = gemm_multiply.packed_columns(1, np.float32) * 3 // 2, gemm_weights.PANEL
SHAPES = [(1, 1, 1), (1, 5, 3), (2, 300, 16), (7, 1, 17), (6, 16, 16), (5, 17, 100), (97, 600, 33), (200, 12, 64), (13, 1025, 70), (PANEL + 1, 20, 9)]
SHAPES += [(101, 24, WIDE), (10, 300, WIDE + 3), (4 * PANEL, WIDE, 90), (2 * gemm_weights.LONG + 5, 70, 66)]


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


class Step:
    """What gemm's functions see of a plan's step: launches run at once, and outputs are NaN before."""

    def __init__(self, dtype):
        self.dtype, self.launched = dtype, []

    def new(self, *shape):
        return np.full(shape, np.nan, self.dtype)

    def constant(self, array):
        return np.asarray(array, self.dtype)

    def run(self, kernel, *inputs, out):
        kernel(*(self.dtype(a) if isinstance(a, float) else a for a in inputs), *(out if isinstance(out, tuple) else (out,)))
        self.launched.append(kernel.__name__)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward(shape, dtype):
    a, step = Numbers(*shape, dtype), Step(dtype)
    raw = (a.x.astype(np.float64) @ a.w + a.bias) * a.scale + a.shift
    assert gemm.forward(step, a.x, a.w, Epilogue(a.bias, (a.scale, a.shift), None, (-1, 3)), a.y) is None
    a.close(a.y, np.clip(raw, -1, 3), np.abs(raw).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0] > gemm.SMALL and s[2] >= gemm_multiply.packed_columns(1, np.float32)])
def test_few_rows_are_multiplied_as_many(shape, dtype):
    a = Numbers(*shape, dtype)
    raw = (a.x.astype(np.float64) @ a.w + a.bias) * a.scale + a.shift
    gemm_stream.stream(a.x, a.w, a.bias, a.scale, a.shift, dtype(-1), dtype(3), a.y)
    a.close(a.y, np.clip(raw, -1, 3), np.abs(raw).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_residual_and_moments(shape, dtype):
    a, step = Numbers(*shape, dtype), Step(dtype)
    raw = a.x.astype(np.float64) @ a.w + a.bias + a.dy
    a.y[:] = a.dy  # where the plan lets it, y takes the residual's place
    moments = gemm.forward(step, a.x, a.w, Epilogue(a.bias, None, a.y, (-1, 3), True), a.y)
    a.close(a.y, np.clip(raw, -1, 3), np.abs(raw).max())
    assert moments.shape == (gemm_multiply.bands(shape[0]), 3, shape[2])
    count, mean, squares = moments.astype(np.float64).transpose(1, 0, 2)
    y, whole = a.y.astype(np.float64), (count * mean).sum(0) / shape[0]
    assert (count.sum(0) == shape[0]).all() and (count > 0).all()
    a.close(whole, y.mean(0), 3)
    a.close((squares + count * (mean - whole) ** 2).sum(0), ((y - y.mean(0)) ** 2).sum(0), 9 * shape[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_data_gradient(shape, dtype):
    a, step = Numbers(*shape, dtype), Step(dtype)
    wanted = a.dy.astype(np.float64) @ a.w.T
    gemm.data_gradient(step, a.dy, a.w, a.dx)
    a.close(a.dx, wanted)
    gemm.data_gradient(step, a.dy, a.w, a.dx, a.x)
    a.close(a.dx, wanted + a.x)
    assert step.launched[-2:] == ["transpose", "multiply"]
    a.dx[:] = np.nan
    gemm_stream.stream_back(a.dy, a.w, a.dx)
    a.close(a.dx, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_weight_gradient(shape, dtype):
    a, (rows, k, n) = Numbers(*shape, dtype), shape
    gemm.weight_gradient(Step(dtype), a.x, a.dy, a.dw, a.db)
    wanted = a.x.astype(np.float64).T @ a.dy
    a.close(a.dw, wanted)
    a.close(a.db, a.dy.astype(np.float64).sum(0), np.abs(a.dy).sum(0).max())
    for turn in (0, 1):
        parts = min(2, rows)
        part, part_bias = a.blank(parts, *((n, k) if turn else (k, n))), a.blank(parts, n)
        gemm_weights.weight_parts(a.x, a.dy, turn, part, part_bias)
        gemm_weights.add_parts(part, part_bias, turn, a.dw, a.db)
        a.close(a.dw, wanted)
        a.close(a.db, a.dy.astype(np.float64).sum(0), np.abs(a.dy).sum(0).max())


def test_nothing_is_written_beside_a_result():
    rows, k, n = 13, 20, 9
    a, room = Numbers(rows, k, n, np.float32), np.zeros(rows * n + 64, np.float32)
    gemm.forward(Step(np.float32), a.x, a.w, Epilogue(a.bias), room[32:-32].reshape(rows, n))
    assert (room[:32] == 0).all() and (room[-32:] == 0).all()
    a.close(room[32:-32].reshape(rows, n), a.x.astype(np.float64) @ a.w + a.bias)


@pytest.mark.parametrize("rows", [1, 5, 96, 97, 784, 1000, 12345])
def test_bands_are_about_equally_high(rows):
    height, count = gemm_multiply._height(rows), gemm_multiply.bands(rows)
    assert height <= gemm_multiply.ROWS and 0 < rows - (count - 1) * height <= height


def test_every_part_of_a_split_gets_rows():
    for rows in (1, 1000, 4 * PANEL, 12345, 50_000):
        parts = gemm_weights.split(rows, 24, 144)
        assert 1 <= parts <= 8 and (parts - 1) * -(-rows // parts) < rows


def test_long_sums_stay_accurate():
    rows, k = 50_000, 5_000
    x, dy, step = np.full((rows, 2), 0.1, np.float32), np.full((rows, 3), 0.3, np.float32), Step(np.float32)
    dw, db = np.empty((2, 3), np.float32), np.empty(3, np.float32)
    gemm.weight_gradient(step, x, dy, dw, db)
    assert np.allclose(dw, rows * np.float64(np.float32(0.1)) * np.float32(0.3), rtol=5e-6) and np.allclose(db, rows * np.float64(np.float32(0.3)), rtol=5e-6)
    x, w, y = np.full((1, k), 0.1, np.float32), np.full((k, 64), 0.3, np.float32), np.empty((1, 64), np.float32)
    gemm.forward(step, x, w, Epilogue(), y)
    assert step.launched[-1] == "stream" and np.allclose(y, k * 0.03, rtol=2e-6)


@pytest.mark.parametrize("rows", [1, 20])
def test_nan_passes_the_clamp(rows):
    x, w, y = np.full((rows, 4), np.nan, np.float32), np.ones((4, 40), np.float32), np.zeros((rows, 40), np.float32)
    gemm.forward(Step(np.float32), x, w, Epilogue(clamp=(0, 6)), y)
    assert np.isnan(y).all()


THREADS = """
import numpy as np
from numbacnn import jit
from numbacnn.convolutions.problem import Epilogue
from numbacnn.kernels import gemm, gemm_stream
from test_gemm import Step

def results(rows, k, n):
    draw = lambda *shape: np.random.default_rng(k).standard_normal(shape, dtype=np.float32)
    x, w, dy, step = draw(rows, k), draw(k, n), draw(rows, n), Step(np.float32)
    y, dx, dx2, dw, db = step.new(rows, n), step.new(rows, k), step.new(rows, k), step.new(k, n), step.new(n)
    moments = gemm.forward(step, x, w, Epilogue(moments=True), y)
    gemm.data_gradient(step, dy, w, dx)
    gemm_stream.stream_back(dy, w, dx2)
    gemm.weight_gradient(step, x, dy, dw, db)
    y2 = step.new(1, n)
    gemm.forward(step, x[:1], w, Epilogue(), y2)
    return y, moments, y2, dx, dx2, dw, db

runs = []
for threads in (1, 2, 3):
    assert jit.set_threads(threads) == threads
    runs.append([*results(5, 700, 100), *results(1500, 70, 40), *results(900, 96, 200)])
assert all(np.array_equal(a, b) and not np.isnan(a).any() for run in runs for a, b in zip(runs[0], run))
"""


def test_same_bits_for_any_number_of_threads():
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "3"}
    subprocess.run([sys.executable, "-c", THREADS], check=True, env=env, timeout=600, cwd=Path(__file__).parent)
