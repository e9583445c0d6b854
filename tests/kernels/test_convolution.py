"""The convolution kernels against plain loops: odd shapes, groups, phases, padded blocks, and the same bits for any number of threads."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import reference

from numbacnn.convolutions import direct
from numbacnn.convolutions.problem import Convolution, Epilogue
from numbacnn.kernels.convolution import merged
from numbacnn.kernels.padding import borders, output_size
from numbacnn.kernels.tile import V, lanes

CASES = [  # height, width, channels, filters, kernel, strides, dilation, groups, padding
    (5, 7, 3, 17, (3, 3), (1, 1), (1, 1), 1, "same"),
    (1, 1, 1, 1, (3, 3), (1, 1), (1, 1), 1, "same"),
    (6, 5, 4, 6, (3, 2), (2, 2), (1, 1), 2, "same"),
    (7, 7, 5, 8, (3, 3), (2, 3), (1, 1), 1, "valid"),
    (7, 6, 6, 6, (2, 3), (1, 1), (2, 2), 6, "same"),
    (9, 9, 17, 35, (1, 1), (2, 2), (1, 1), 1, "same"),
    (2, 2, 3, 4, (5, 5), (3, 3), (1, 1), 1, "same"),
    (33, 32, 1, 3, (3, 3), (1, 1), (1, 1), 1, "valid"),
    (5, 6, 12, 18, (3, 3), (1, 2), (1, 1), 6, "same"),
    (9, 8, 2, 33, (3, 5), (2, 1), (2, 1), 1, "same"),
]


def guarded(shape, dtype, rng=None):
    """An array in the middle of NaN: whoever reads or leaves out what it should not is seen. Random values, or NaN inside too."""
    memory = np.full(np.prod(shape) + 256, np.nan, dtype)
    array = memory[128:-128].reshape(shape)
    if rng is not None:
        array[...] = rng.normal(size=shape)
    return memory, array


def untouched(memory):
    return np.isnan(memory[:128]).all() and np.isnan(memory[-128:]).all()


class Now:
    """Takes the place of a plan's step: what is noted runs at once."""

    def __init__(self, dtype):
        self.dtype, self.launches = dtype, []

    def new(self, *shape):
        return np.full(shape, np.nan, self.dtype)

    def constant(self, array):
        return np.asarray(array, self.dtype if np.asarray(array).dtype.kind == "f" else np.int64)

    def run(self, kernel, *inputs, out):
        self.launches.append(kernel.__name__)
        kernel(*(self.dtype(a) if isinstance(a, float) else a for a in inputs), *(out if isinstance(out, tuple) else (out,)))


def expected_moments(y, moments):
    """What `moments` should be: the pixels are cut into parts of the same size but for the last."""
    pixels, start, parts = y.reshape(-1, y.shape[3]).astype(float), 0, []
    for count in moments[:, 0, 0].astype(int):
        part, start = pixels[start : start + count], start + count
        mean = part.mean(0) if count else np.zeros(y.shape[3])
        parts.append([np.full(y.shape[3], count), mean, ((part - mean) ** 2).sum(0)])
    assert start == len(pixels)
    return np.array(parts)


def check_forward(way, problem, x, weights, epilogue, oracle, tolerance, dtype):
    """Once with what the epilogue says, and once in the residual's own memory, to the same bits."""
    memory, y = guarded((problem.batch, *problem.result), dtype)
    moments = way.note(Now(dtype), problem, x, weights, epilogue, y)
    scale, shift = epilogue.affine
    expected = (oracle + epilogue.bias) * scale.astype(float) + shift + (0 if epilogue.residual is None else epilogue.residual)
    np.testing.assert_allclose(y, np.clip(expected, *epilogue.clamp), 0, tolerance * max(1, abs(expected).max()))
    assert untouched(memory)
    if epilogue.moments:
        np.testing.assert_allclose(moments, expected_moments(y, moments), 1e-4 if dtype == np.float32 else 1e-12, tolerance)
    if epilogue.residual is not None:
        again = epilogue.residual.copy()
        way.note(Now(dtype), problem, x, weights, epilogue._replace(residual=again), again)
        np.testing.assert_array_equal(again, y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_passes(case, dtype):
    h, w, channels, filters, kernel_size, strides, dilation, groups, padding = case
    rng, n = np.random.default_rng(0), 2
    oh, ow = (output_size(*facts, padding) for facts in zip((h, w), kernel_size, strides, dilation, strict=True))
    low = tuple(borders(*facts, padding)[0] for facts in zip((h, w), kernel_size, strides, dilation, strict=True))
    problem = Convolution(n, (h, w, channels), (oh, ow, filters), kernel_size, strides, dilation, low, groups, np.dtype(dtype).name)
    layer = SimpleNamespace(strides=strides, dilation_rate=dilation, padding=padding, groups=groups)

    def oracle(x, weights):
        return reference.Conv2D(layer, {"kernel": weights}, np.asarray(x, float))

    _, x = guarded((n, h, w, channels), dtype, rng)
    _, weights = guarded((*kernel_size, channels // groups, filters), dtype, rng)
    _, dy = guarded((n, oh, ow, filters), dtype, rng)
    _, residual = guarded(dy.shape, dtype, rng)
    bias, scale, shift = (rng.normal(size=filters).astype(dtype) for _ in range(3))
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    plain = Epilogue(bias, (scale, shift), None, (-1.5, 2.0))

    ways = [way for way in direct.PRODUCTS if way.supports(problem) is None]
    for way in ways:
        for epilogue in (plain, plain._replace(residual=residual), plain._replace(moments=True), plain._replace(residual=residual, moments=True)):
            check_forward(way, problem, x, weights, epilogue, oracle(x, weights), tolerance, dtype)

    back = problem.transpose
    (way,) = (way for way in direct.PRODUCTS if way.supports(back) is None)
    for addend in (None, rng.normal(size=x.shape).astype(dtype)):
        memory, dx = guarded(x.shape, dtype)
        way.note(Now(dtype), back, dy, weights, Epilogue(residual=addend), dx)
        assert untouched(memory)
        dx = dx.astype(float) - (0 if addend is None else addend)
        v = rng.normal(size=x.shape)
        size = np.linalg.norm(oracle(v, weights)) * np.linalg.norm(dy) + np.linalg.norm(v)
        assert abs(np.vdot(oracle(v, weights), dy) - np.vdot(v, dx)) <= tolerance * size

    for way in (way for way in direct.WEIGHTS if way.supports(problem) is None):
        (memory, dw), (_, db) = guarded(weights.shape, dtype), guarded((filters,), dtype)
        way.note(Now(dtype), problem, x, dy, dw, db)
        v = rng.normal(size=weights.shape)
        size = np.linalg.norm(oracle(x, v)) * np.linalg.norm(dy)
        assert abs(np.vdot(oracle(x, v), dy) - np.vdot(v, dw)) <= tolerance * size
        np.testing.assert_allclose(db, dy.sum((0, 1, 2), dtype=float), 0, tolerance * abs(dy).sum())
        assert untouched(memory)


@pytest.mark.parametrize(("groups", "outputs"), [(1, 3), (6, 18), (4, 400), (32, 64), (7, 7), (17 * 19, 17 * 19)])
def test_groups_are_merged_as_far_as_a_tile_is_wide(groups, outputs):
    width, of_one = V * lanes(np.float32), outputs // groups
    left = merged(groups, outputs, np.float32)
    assert groups % left == 0
    assert left == groups or groups // left * of_one <= width


def test_long_sums_stay_accurate():
    """A single chain of 300,000 float32 additions of 0.1 is off by 1 %; sums of sums are not."""
    n = 75
    x, dy = np.ones((n, 64, 64, 1), np.float32), np.full((n, 64, 64, 32), 0.1, np.float32)
    dw, db, step = np.empty((1, 1, 1, 32), "f4"), np.empty(32, "f4"), Now(np.float32)
    direct.DirectWeights().note(step, Convolution(n, x.shape[1:], dy.shape[1:], (1, 1)), x, dy, dw, db)
    assert step.launches == ["weight_gradient", "add_shares"]
    np.testing.assert_allclose(dw.reshape(-1), n * 64 * 64 * np.float64(np.float32(0.1)), 1e-5)
    np.testing.assert_allclose(db, n * 64 * 64 * np.float64(np.float32(0.1)), 1e-5)


def test_nan_reaches_only_what_it_touches():
    x, w, y = np.zeros((1, 5, 5, 8)), np.ones((3, 3, 8, 3)), np.empty((1, 5, 5, 3))
    x[0, 0, 0, 2] = np.nan
    problem = Convolution(1, (5, 5, 8), (5, 5, 3), (3, 3), low=(1, 1), dtype="float64")
    direct.Direct().note(Now(np.float64), problem, x, w, Epilogue(clamp=(0, 6)), y)
    assert np.isnan(y[0, :2, :2]).all() and np.isnan(y).sum() == 12


@pytest.mark.parametrize(
    ("facts", "size", "sides"),
    [
        ((8, 3, 2, 1, "same"), 4, (0, 1)),
        ((9, 3, 2, 1, "same"), 5, (1, 1)),
        ((224, 7, 2, 1, "same"), 112, (2, 3)),
        ((5, 3, 1, 2, "same"), 5, (2, 2)),
        ((1, 4, 3, 1, "same"), 1, (1, 2)),
        ((7, 3, 2, 1, "valid"), 3, (0, 0)),
        ((7, 3, 1, 3, "valid"), 1, (0, 0)),
        ((2, 3, 1, 1, "valid"), 0, (0, 0)),
        ((None, 3, 1, 1, "same"), None, None),
    ],
)
def test_border_arithmetic(facts, size, sides):
    assert output_size(*facts) == size
    assert borders(*facts) == sides


THREADS = """
import hashlib, sys, numba, numpy as np
sys.path.insert(0, sys.argv[1])
from test_convolution import Convolution, Epilogue, Now, direct
rng, digests = np.random.default_rng(0), set()
x, w, y, residual = rng.random((1, 13, 11, 9), "f4"), rng.random((3, 3, 9, 40), "f4"), np.empty((1, 13, 11, 40), "f4"), rng.random((1, 13, 11, 40), "f4")
dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty(40, "f4")
problem = Convolution(1, (13, 11, 9), (13, 11, 40), (3, 3), low=(1, 1))
for threads in (1, 2):
    numba.set_num_threads(threads)
    moments = direct.Direct().note(Now(np.float32), problem, x, w, Epilogue(residual=residual, moments=True), y)
    direct.Direct().note(Now(np.float32), problem.transpose, y, w, Epilogue(), dx)
    direct.DirectWeights().note(Now(np.float32), problem, x, y, dw, db)
    digests.add(hashlib.sha256(b"".join(a.tobytes() for a in (y, moments, dx, dw, db))).hexdigest())
    y[:], dx[:], dw[:], db[:] = np.nan, np.nan, np.nan, np.nan
assert len(digests) == 1, "results depend on the number of threads"
"""


def test_same_bits_for_one_and_two_threads():
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", THREADS, os.path.dirname(__file__)], env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
