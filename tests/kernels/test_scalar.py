"""Accuracy of the float32 functions over all float32 numbers, and what `localize` makes of a layer's scalar functions."""

import math
import os
import subprocess
import sys
from math import exp as exp_by_name

import numba
import numpy as np
import pytest
from scipy import special

from numbacnn import jit
from numbacnn.kernels import scalar
from numbacnn.kernels.scalar import localize

TINY = np.finfo(np.float32).tiny
# name: (float64 oracle, largest relative error that the docstring promises)
FUNCTIONS = {
    "exp": (np.exp, 1.1e-7),
    "expm1": (np.expm1, 2e-7),
    "log": (np.log, 1e-7),
    "log1p": (np.log1p, 2e-7),
    "tanh": (np.tanh, 3e-7),
    "erf": (special.erf, 2e-7),
    "sigmoid": (special.expit, 3e-7),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 3e-7),
}


def over(function):
    """`function` over an array, compiled."""

    def run(x, y):
        for i in range(y.size):
            y[i] = function(x[i])

    launch = jit.kernel(run, flat=True)

    def call(x):
        y = np.empty_like(x)
        launch(x, y)
        return y

    return call


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_over_all_float32_numbers(name):
    oracle, limit = FUNCTIONS[name]
    dense = [np.linspace(a, b, 200_001, dtype=np.float32) for a, b in ((-1, 1), (-20, 20), (-110, 110))]
    x = np.concatenate([np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32).view(np.float32), *dense])
    y = over(getattr(scalar, name))(x)
    with np.errstate(all="ignore"):
        wanted = oracle(x.astype(np.float64))
        rounded = wanted.astype(np.float32)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(y), np.isnan(wanted))
    np.testing.assert_array_equal(np.isinf(y), np.isinf(rounded))
    finite = np.isfinite(rounded)
    error = np.abs(y[finite] - wanted[finite]) / np.maximum(np.abs(wanted[finite]), TINY)
    worst = np.argmax(error)
    assert error[worst] <= limit, f"{name}({x[finite][worst]!r}) is off by {error[worst]:.2e}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends_of_the_range(dtype):
    inf, nan = math.inf, math.nan
    cases = {
        "exp": ([200 if dtype is np.float32 else 800, -200 if dtype is np.float32 else -800, inf, -inf, nan, 0], [inf, 0, inf, 0, nan, 1]),
        "expm1": ([1000, -1000, inf, -inf, nan, 0], [inf, -1, inf, -1, nan, 0]),
        "log": ([0, -1, inf, nan, 1], [-inf, nan, inf, nan, 0]),
        "log1p": ([-1, -2, inf, nan, 0], [-inf, nan, inf, nan, 0]),
        "tanh": ([1e4, -1e4, inf, -inf, nan, 0], [1, -1, 1, -1, nan, 0]),
        "erf": ([1e4, -1e4, inf, -inf, nan, 0], [1, -1, 1, -1, nan, 0]),
        "sigmoid": ([1e4, -1e4, inf, -inf, nan, 0], [1, 0, 1, 0, nan, 0.5]),
        "softplus": ([1e4, -1e4, inf, -inf, nan], [1e4, 0, inf, 0, nan]),
    }
    for name, (x, wanted) in cases.items():
        function, x = getattr(scalar, name), np.array(x, dtype)
        np.testing.assert_array_equal(over(function)(x), np.array(wanted, dtype), name)
        np.testing.assert_array_equal([function(v) for v in x], np.array(wanted, dtype), f"{name}, interpreted")


def test_float64_is_as_good_as_libm():
    x = np.concatenate([np.linspace(-30, 30, 10_001), np.random.default_rng(0).normal(size=10_000) * 1e-3])
    for name, (oracle, _) in FUNCTIONS.items():
        v = np.abs(x) if name.startswith("log") else x
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(over(getattr(scalar, name))(v), oracle(v), rtol=1e-14, atol=1e-300, err_msg=name)


def test_interpreted_agrees_with_compiled():
    x = np.concatenate([np.linspace(-100, 100, 401), np.linspace(-1, 1, 100)]).astype(np.float32)
    for name in FUNCTIONS:
        function = getattr(scalar, name)
        interpreted = [function(v) for v in x]
        assert all(isinstance(v, np.float32) for v in interpreted), name
        np.testing.assert_allclose(over(function)(x), np.array(interpreted), rtol=4e-7, err_msg=name)


SLOPE = 0.25


def helper(v):
    return v * 1.5 if v > 0 else SLOPE * v


def closure(x):
    factor = 0.1

    def f(x):
        return factor * x

    return f(x)


def made(factor):
    return lambda x: factor * x


SCALARS = {
    "math": (lambda x: x * math.tanh(math.log1p(math.exp(-abs(x)))), lambda x: x * np.tanh(np.log1p(np.exp(-abs(x))))),
    "integers": (lambda x: max(x, 0) * 2 + 1 / (3 - 1 * x), lambda x: max(x, 0) * 2 + 1 / (3 - x)),
    "powers": (lambda x: 2 * x**2 + x**3 - 3.0, lambda x: 2 * x**2 + x**3 - 3),
    "constants": (lambda x: x * math.pi + math.e, lambda x: x * np.pi + np.e),
    "helper and global": (lambda x: helper(x) + SLOPE, lambda x: helper(x) + 0.25),
    "inner function": (closure, lambda x: 0.1 * x),
    "closure cell": (made(0.3), lambda x: 0.3 * x),
    "default": (lambda x, a=0.7: a * x, lambda x: 0.7 * x),
    "imported by name": (lambda x: exp_by_name(x), np.exp),
    "ours": (lambda x: scalar.sigmoid(x) + scalar.softplus(x), lambda x: special.expit(x) + np.logaddexp(0, x)),
    "sqrt, sin": (lambda x: math.sqrt(abs(x)) + math.sin(x), lambda x: np.sqrt(abs(x)) + np.sin(x)),
}


def made_plain(function):
    return lambda x: function(x)


@pytest.mark.parametrize("name", SCALARS)
def test_localize_stays_in_its_dtype(name):
    function, oracle = SCALARS[name]
    for dtype, tolerance in ((np.float32, 5e-7), (np.float64, 1e-14)):
        local = numba.njit(made_plain(localize(function, dtype)))
        for x in (1.25, -0.5):
            assert abs(local(dtype(x)) - oracle(x)) <= tolerance * max(1, abs(oracle(x)))
        (signature,) = local.nopython_signatures
        assert str(signature.return_type) == np.dtype(dtype).name
        if dtype is np.float32:
            (code,) = local.inspect_llvm().values()
            wide = [line for line in code.splitlines() if " double" in line and "PyFloat" not in line]
            assert len(wide) == 2, wide  # both of the wrapper that Python calls: it takes and gives a Python float


def test_digest_sees_changes_in_the_functions(monkeypatch):
    def run(x, y):
        y[0] = scalar.exp(x[0])

    before, local = jit.digest(run), jit.digest(localize(SCALARS["math"][0], np.float32))
    monkeypatch.setattr(scalar, "EXP", scalar.EXP[:-1])
    assert jit.digest(run) != before
    assert jit.digest(localize(SCALARS["math"][0], np.float32)) != local


def test_without_compiler():
    code = """
import warnings; warnings.simplefilter("error")
import math, numpy as np
from numbacnn.kernels import scalar, random
from numbacnn.kernels import elementwise
from numbacnn.layers import mish
local = scalar.localize(lambda x: 1.0 / (1.0 + math.exp(x)), np.float32)
assert local(np.float32(200)) == 0 and local(np.float32(0)).dtype == np.float32
assert scalar.exp(np.float32(200)) == np.inf and scalar.exp(np.float64(800)) == np.inf
assert 0 <= random.uniform(1, 2, 3, 4) < 1
x = np.linspace(-100, 100, 41).astype(np.float32); y = np.empty_like(x)
elementwise.forward((mish.Mish.f,), "Mish", np.float32)(x, (), y)
np.testing.assert_allclose(y, x * np.tanh(np.logaddexp(0, x.astype(float))), rtol=1e-6, atol=1e-30)
"""
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
