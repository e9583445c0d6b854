"""Each tile operation against NumPy, in both float types; the interpreted twins against the compiled operations."""

import os
import subprocess
import sys

import numpy as np
import pytest

from numbacnn.jit import digest, kernel
from numbacnn.kernels.tile import M, V, address, clamp, fetch, gather, lanes, load, madd, put, spread, store, vmadd, zero


@kernel(parallel=False)
def every_operation(x, w, bias, table, lo, hi, y, z):
    base = address(x, 0)
    for i in range(M):
        table[i] = base + (i * x.shape[1] + 1) * x.itemsize
    rows = gather(table, 0, M)
    acc = zero(x, M, V)
    for k in range(3):
        acc = madd(acc, rows, k, w, k * w.shape[1])
    acc = vmadd(acc, spread(x, 2, x.shape[1], M), 1, w, 0)
    store(acc, y, 0, y.shape[1])
    acc = clamp(load(acc, y, 0, y.shape[1]), bias, 0, lo, hi)
    put(acc, spread(z, 0, z.shape[1], M), 1)
    acc = fetch(acc, spread(z, 0, z.shape[1], M), 1)
    store(acc, z, z.shape[1] - w.shape[1], z.shape[1])


def case(dtype):
    rng = np.random.default_rng(0)
    columns = V * lanes(dtype)
    x, w, bias = (rng.normal(size=s).astype(dtype) for s in ((M, columns + 5), (3, columns), columns))
    x[0, 2] = np.nan  # must stay NaN through the clamp
    table = np.zeros(M, np.int64)
    y, z = np.zeros((M, columns), dtype), np.zeros((M, 2 * columns + 1), dtype)
    every_operation(x, w, bias, table, dtype(-0.5), dtype(0.75), y, z)
    return x, w, bias, y, z


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operations(dtype):
    x, w, bias, y, z = case(dtype)
    columns = w.shape[1]
    expected = x[:, 1:4].astype(float) @ w + x[:, 3 : 3 + columns] * w[0].astype(float)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(y, expected, tolerance, tolerance)
    np.testing.assert_allclose(z[:, 1 : 1 + columns], np.clip(y + bias, dtype(-0.5), dtype(0.75)), tolerance, tolerance)
    np.testing.assert_array_equal(z[:, -columns:], z[:, 1 : 1 + columns])
    assert np.isnan(z[0]).any()


def test_interpreted_twins():
    """The whole test again in a process without a compiler."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        return
    arguments = [sys.executable, "-m", "pytest", "-q", "-k", "operations", __file__]
    run = subprocess.run(arguments, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_edit_of_an_operation_is_noticed(monkeypatch):
    """The kernel cache must see through intrinsics: stale tile code once corrupted the heap."""
    import numbacnn.kernels.tile as tile

    before = digest(every_operation.func)
    monkeypatch.setattr(tile, "_barrier", lambda builder: None)
    assert digest(every_operation.func) != before
