"""The convolution kernels against plain loops: odd shapes, groups, phases, padded blocks, and the same bits for any number of threads."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import reference

from numbacnn.kernels.convolution import convolve, data_taps, forward_taps, pack, packed_shape, pad_columns
from numbacnn.kernels.convolution_weights import add_shares, shares, weight_gradient
from numbacnn.kernels.padding import borders, output_size

CASES = [  # height, width, channels, filters, kernel, strides, dilation, groups, padding
    (5, 7, 3, 17, (3, 3), (1, 1), (1, 1), 1, "same"),
    (1, 1, 1, 1, (3, 3), (1, 1), (1, 1), 1, "same"),
    (6, 5, 4, 6, (3, 2), (2, 2), (1, 1), 2, "same"),
    (7, 7, 5, 8, (3, 3), (2, 3), (1, 1), 1, "valid"),
    (7, 6, 6, 6, (2, 3), (1, 1), (2, 2), 6, "same"),
    (9, 9, 17, 35, (1, 1), (2, 2), (1, 1), 1, "same"),
    (2, 2, 3, 4, (5, 5), (3, 3), (1, 1), 1, "same"),
    (33, 32, 1, 3, (3, 3), (1, 1), (1, 1), 1, "valid"),
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


def run(x, w, bias, scale, shift, taps, groups, transposed, lo, hi, y):
    dtype = x.dtype.type
    count = w.shape[0] * w.shape[1]
    shape = packed_shape(count, w.size // (count * y.shape[3]), y.shape[3], groups, dtype)
    packed, packed_bias = np.full(shape, np.nan, dtype), np.full(shape[0] * shape[1] * shape[4], np.nan, dtype)
    pack(w, bias, scale, shift, transposed, packed, packed_bias)
    convolve(x, packed, packed_bias, *taps, dtype(lo), dtype(hi), y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_passes(case, dtype):
    h, w, channels, filters, kernel_size, strides, dilation, groups, padding = case
    rng, n = np.random.default_rng(0), 2
    oh, ow = (output_size(*facts, padding) for facts in zip((h, w), kernel_size, strides, dilation, strict=True))
    low = tuple(borders(*facts, padding)[0] for facts in zip((h, w), kernel_size, strides, dilation, strict=True))
    layer = SimpleNamespace(strides=strides, dilation_rate=dilation, padding=padding, groups=groups)

    def oracle(x, weights):
        return reference.Conv2D(layer, {"kernel": weights}, np.asarray(x, float))

    _, x = guarded((n, h, w, channels), dtype, rng)
    _, weights = guarded((*kernel_size, channels // groups, filters), dtype, rng)
    _, dy = guarded((n, oh, ow, filters), dtype, rng)
    bias, scale, shift = (rng.normal(size=filters).astype(dtype) for _ in range(3))
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    taps = forward_taps(kernel_size, strides, dilation, low)

    memory, y = guarded(dy.shape, dtype)
    run(x, weights, bias, scale, shift, taps, groups, 0, -1.5, 2.0, y)
    expected = (oracle(x, weights) + bias) * scale.astype(float) + shift
    np.testing.assert_allclose(y, np.clip(expected, -1.5, 2.0), 0, tolerance * max(1, abs(expected).max()))
    assert untouched(memory)

    memory, dx = guarded(x.shape, dtype)
    zeros = np.zeros(channels, dtype)
    run(dy, weights, zeros, zeros + 1, zeros, data_taps(kernel_size, strides, dilation, low), groups, 1, -np.inf, np.inf, dx)
    v = rng.normal(size=x.shape)
    size = np.linalg.norm(oracle(v, weights)) * np.linalg.norm(dy)
    assert abs(np.vdot(oracle(v, weights), dy) - np.vdot(v, dx)) <= tolerance * size
    assert untouched(memory)

    for parts in (1, 3):
        (memory, dws), (_, dbs) = guarded((parts, *weights.shape), dtype), guarded((parts, filters), dtype)
        dw, db = np.full_like(weights, np.nan), np.full_like(bias, np.nan)
        weight_gradient(x, dy, *taps, groups, parts, dws, dbs)
        add_shares(dws, dbs, dw, db)
        v = rng.normal(size=weights.shape)
        size = np.linalg.norm(oracle(x, v)) * np.linalg.norm(dy)
        assert abs(np.vdot(oracle(x, v), dy) - np.vdot(v, dw)) <= tolerance * size
        np.testing.assert_allclose(db, dy.sum((0, 1, 2), dtype=float), 0, tolerance * abs(dy).sum())
        assert untouched(memory)


def test_long_sums_stay_accurate():
    """A single chain of 300,000 float32 additions of 0.1 is off by 1 %; sums of sums are not."""
    n = 75
    x, dy = np.ones((n, 64, 64, 1), np.float32), np.full((n, 64, 64, 32), 0.1, np.float32)
    parts = shares(n * 64 * 64, 32, 1, np.float32)
    dws, dbs, dw, db = np.empty((parts, 32), "f4"), np.empty((parts, 32), "f4"), np.empty((1, 1, 1, 32), "f4"), np.empty(32, "f4")
    weight_gradient(x, dy, *forward_taps((1, 1), (1, 1), (1, 1), (0, 0)), 1, parts, dws, dbs)
    add_shares(dws, dbs, dw, db)
    np.testing.assert_allclose(dw.reshape(-1), n * 64 * 64 * np.float64(np.float32(0.1)), 1e-5)
    np.testing.assert_allclose(db, n * 64 * 64 * np.float64(np.float32(0.1)), 1e-5)


def test_nan_reaches_only_what_it_touches():
    x, w, y = np.zeros((1, 5, 5, 8)), np.ones((3, 3, 8, 3)), np.empty((1, 5, 5, 3))
    x[0, 0, 0, 2] = np.nan
    zeros = np.zeros(3)
    run(x, w, zeros, zeros + 1, zeros, forward_taps((3, 3), (1, 1), (1, 1), (1, 1)), 1, 0, 0.0, 6.0, y)
    assert np.isnan(y[0, :2, :2]).all() and np.isnan(y).sum() == 12


def test_joined_columns():
    """A kernel's row as one tap over the padded input is the same convolution."""
    rng = np.random.default_rng(1)
    x, w, zeros, y = rng.normal(size=(2, 6, 9, 3)), rng.normal(size=(3, 4, 3, 5)), np.zeros(5), np.full((2, 6, 5, 5), np.nan)
    padded = np.full((2, 6, 12, 3), np.nan)
    pad_columns(x, 1, padded)
    np.testing.assert_array_equal(padded, np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 0))))
    run(padded, w.reshape(3, 1, 12, 5), zeros, zeros + 1, zeros, forward_taps((3, 1), (1, 2), (1, 1), (1, 0)), 1, 0, -np.inf, np.inf, y)
    expected = reference.Conv2D(SimpleNamespace(strides=(1, 2), dilation_rate=(1, 1), padding="same", groups=1), {"kernel": w}, x)
    np.testing.assert_allclose(y, expected, 1e-12, 1e-12)


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
import hashlib, numba, numpy as np
from numbacnn.kernels.convolution import convolve, data_taps, forward_taps, pack, packed_shape
from numbacnn.kernels.convolution_weights import add_shares, weight_gradient
rng = np.random.default_rng(0)
x, w, y = rng.random((1, 13, 11, 9), "f4"), rng.random((3, 3, 9, 40), "f4"), np.empty((1, 13, 11, 40), "f4")
one, dx, dws, dbs, dw, db = np.ones(40, "f4"), np.empty_like(x), np.empty((2, *w.shape), "f4"), np.empty((2, 40), "f4"), np.empty_like(w), np.empty(40, "f4")
facts, inf, digests = ((3, 3), (1, 1), (1, 1), (1, 1)), np.float32(np.inf), set()
for threads in (1, 2):
    numba.set_num_threads(threads)
    for source, out, taps, transposed in ((x, y, forward_taps(*facts), 0), (y, dx, data_taps(*facts), 1)):
        n = out.shape[3]
        shape = packed_shape(9, source.shape[3], n, 1, np.float32)
        packed, bias = np.empty(shape, "f4"), np.empty(shape[1] * shape[4], "f4")
        pack(w, one[:n], one[:n], one[:n], transposed, packed, bias)
        convolve(source, packed, bias, *taps, -inf, inf, out)
    weight_gradient(x, y, *forward_taps(*facts), 1, 2, dws, dbs)
    add_shares(dws, dbs, dw, db)
    digests.add(hashlib.sha256(b"".join(a.tobytes() for a in (y, dx, dw, db))).hexdigest())
    y[:], dx[:], dw[:], db[:] = np.nan, np.nan, np.nan, np.nan
assert len(digests) == 1, "results depend on the number of threads"
"""


def test_same_bits_for_one_and_two_threads():
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", THREADS], env=env, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
