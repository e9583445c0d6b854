"""Depthwise kernels against the definition in float64: tiles, plain loops, strides, dilation, borders."""

import os
import subprocess
import sys

import numpy as np
import pytest

from numbacnn.kernels.depthwise import BAND, axis, axis_back, depthwise, depthwise_weights, fold, parts_shape
from numbacnn.kernels.padding import borders, output_size

# images, height, width, channels, multiplier, window, strides, dilation, padding
CASES = [
    (1, 1, 1, 1, 1, (3, 3), (1, 1), (1, 1), "same"),
    (2, 5, 6, 3, 2, (3, 2), (2, 1), (1, 1), "same"),
    (1, 9, 8, 19, 1, (3, 3), (1, 1), (1, 1), "same"),
    (2, 9, 8, 32, 1, (3, 3), (2, 2), (1, 1), "same"),
    (2, 9, 11, 40, 1, (5, 3), (1, 1), (2, 2), "valid"),
    (1, BAND * 2 + 1, 13, 17, 1, (5, 5), (2, 3), (1, 1), "valid"),
    (1, 8, 8, 9, 1, (3, 3), (3, 3), (1, 1), "same"),
    (1, 6, 6, 16, 3, (3, 3), (1, 1), (2, 1), "same"),
    (1, 4, 4, 24, 1, (1, 1), (2, 2), (1, 1), "valid"),
    (1, 2, 1, 33, 1, (4, 4), (1, 1), (1, 1), "same"),
    (1, 7, 7, 36, 1, (2, 2), (3, 3), (1, 1), "valid"),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case, dtype):
    n, h, w, channels, multiplier, window, strides, dilation, padding = case
    draw = np.random.default_rng(1).standard_normal
    places = list(zip((h, w), window, strides, dilation, strict=True))
    (top, bottom), (left, right) = (borders(*p, padding) for p in places)
    rows, columns = (output_size(*p, padding) for p in places)
    outputs, taps = channels * multiplier, window[0] * window[1]
    x, kernel, bias, dy = (draw(s).astype(dtype) for s in ((n, h, w, channels), (taps, outputs), (outputs,), (n, rows, columns, outputs)))

    padded = np.pad(x.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)))
    dpadded, y, dkernel = np.zeros(padded.shape), bias + np.zeros((n, rows, columns, outputs)), np.zeros((taps, outputs))
    for t in range(taps):
        i, j = t // window[1] * dilation[0], t % window[1] * dilation[1]
        met = np.s_[:, i : i + (rows - 1) * strides[0] + 1 : strides[0], j : j + (columns - 1) * strides[1] + 1 : strides[1]]
        spread = np.repeat(padded[met], multiplier, axis=3)
        y += spread * kernel[t]
        dkernel[t] = (spread * dy).sum((0, 1, 2))
        dpadded[met] += (dy * kernel[t].astype(np.float64)).reshape(n, rows, columns, channels, multiplier).sum(4)

    def blank(*shape):
        return np.full(shape, np.nan, dtype)

    def close(found, wanted):
        assert np.abs(found - wanted).max() <= {np.float32: 2e-6, np.float64: 1e-13}[dtype] * max(1, np.abs(wanted).max())

    forward = window, axis(strides[0], dilation[0], top), axis(strides[1], dilation[1], left)
    back = window, axis_back(strides[0], dilation[0], top), axis_back(strides[1], dilation[1], left)
    found = blank(*y.shape)
    depthwise(x, kernel, bias, dtype(-1), dtype(2), *forward, multiplier, 1, found)
    close(found, np.clip(y, -1, 2))
    found = blank(*x.shape)
    depthwise(dy, kernel, np.zeros(channels, dtype), dtype(-np.inf), dtype(np.inf), *back, multiplier, 0, found)
    close(found, dpadded[:, top : top + h, left : left + w])
    found, dbias = blank(taps, outputs), blank(outputs)
    depthwise_weights(x, dy, *forward, multiplier, blank(*parts_shape(dy.shape, taps, dtype)), found, dbias)
    close(found, dkernel)
    close(dbias, dy.sum((0, 1, 2), dtype=np.float64))


def test_fold():
    draw = np.random.default_rng(0).standard_normal
    kernel, bias, scale, shift = draw((9, 5)), draw(5), draw(5), draw(5)
    folded, folded_bias = np.full((9, 5), np.nan), np.full(5, np.nan)
    fold(kernel, bias, scale, shift, folded, folded_bias)
    assert np.allclose(folded, kernel * scale) and np.allclose(folded_bias, bias * scale + shift)


@pytest.mark.parametrize("channels", [3, 40])
def test_nan_passes_the_clamp(channels):
    x, y = np.full((1, 3, 3, channels), np.nan, np.float32), np.zeros((1, 3, 3, channels), np.float32)
    line = axis(1, 1, 0)
    depthwise(x, np.ones((1, channels), np.float32), np.zeros(channels, np.float32), np.float32(0), np.float32(6), (1, 1), line, line, 1, 1, y)
    assert np.isnan(y).all()


THREADS = """
import numpy as np
from numbacnn import jit
from numbacnn.kernels.depthwise import axis, axis_back, depthwise, depthwise_weights, parts_shape

def results(channels):
    draw = lambda *shape: np.random.default_rng(channels).standard_normal(shape, dtype=np.float32)
    x, dy, kernel, bias = draw(2, 21, 10, channels), draw(2, 21, 10, channels), draw(9, channels), draw(channels)
    y, dx, dkernel, dbias, part = (np.empty(s, np.float32) for s in (dy.shape, x.shape, kernel.shape, bias.shape, parts_shape(dy.shape, 9, np.float32)))
    free, line, back = (np.float32(-np.inf), np.float32(np.inf)), axis(1, 1, 1), axis_back(1, 1, 1)
    depthwise(x, kernel, bias, *free, (3, 3), line, line, 1, 1, y)
    depthwise(dy, kernel, 0 * bias, *free, (3, 3), back, back, 1, 0, dx)
    depthwise_weights(x, dy, (3, 3), line, line, 1, part, dkernel, dbias)
    return y, dx, dkernel, dbias

runs = []
for threads in (1, 2, 3):
    assert jit.set_threads(threads) == threads
    runs.append([*results(5), *results(40)])
assert all(np.array_equal(a, b) for run in runs for a, b in zip(runs[0], run))
"""


def test_same_bits_for_any_number_of_threads():
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "3"}
    subprocess.run([sys.executable, "-c", THREADS], check=True, env=env, timeout=300)
