"""Depthwise kernels against the definition in float64: strides, dilation, borders, residual, moments."""

import os
import subprocess
import sys

import numpy as np
import pytest

from numbacnn.kernels.depthwise import CACHE, JOBS, PIXELS, axis, axis_back, band_rows, depthwise, fold
from numbacnn.kernels.depthwise_weights import CHUNK, PARTS, add_parts, depthwise_weights, parts_shape
from numbacnn.kernels.padding import borders, output_size
from numbacnn.kernels.width import V, lanes

NARROW = V * lanes(np.float32)  # no fewer channels fill a tile, in either dtype

# images, height, width, more channels than a tile has, window, strides, dilation, padding
CASES = [
    (1, 1, 1, 0, (3, 3), (1, 1), (1, 1), "same"),
    (2, 5, 6, 3, (3, 2), (2, 1), (1, 1), "same"),
    (1, 9, PIXELS + 1, 19, (3, 3), (1, 1), (1, 1), "same"),
    (2, 9, 8, NARROW, (3, 3), (2, 2), (1, 1), "same"),
    (2, 9, 11, 8, (5, 3), (1, 1), (2, 2), "valid"),
    (1, 2 * JOBS + 1, 13, 1, (5, 5), (2, 3), (1, 1), "valid"),
    (1, 8, 8, 5, (3, 3), (3, 3), (1, 1), "same"),
    (1, 4, 4, 8, (1, 1), (2, 2), (1, 1), "valid"),
    (1, 2, 1, 1, (4, 4), (1, 1), (1, 1), "same"),
    (1, 7, 7, 4, (2, 2), (3, 3), (1, 1), "valid"),
    (3, PARTS // 2, 3, 0, (3, 3), (1, 1), (1, 1), "same"),  # parts that begin and end inside images
    (1, 2, CHUNK + 1, 0, (1, 3), (1, 1), (1, 1), "same"),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case, dtype):
    n, h, w, more, window, strides, dilation, padding = case
    channels, taps = NARROW + more, window[0] * window[1]
    draw = np.random.default_rng(1).standard_normal
    places = list(zip((h, w), window, strides, dilation, strict=True))
    (top, bottom), (left, right) = (borders(*p, padding) for p in places)
    rows, columns = (output_size(*p, padding) for p in places)
    shapes = (n, h, w, channels), (taps, channels), (channels,), (n, rows, columns, channels), (n, rows, columns, channels)
    x, kernel, bias, dy, residual = (draw(s).astype(dtype) for s in shapes)

    padded = np.pad(x.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)))
    dpadded, y, dkernel = np.zeros(padded.shape), bias + residual.astype(np.float64), np.zeros((taps, channels))
    for t in range(taps):
        i, j = t // window[1] * dilation[0], t % window[1] * dilation[1]
        met = np.s_[:, i : i + (rows - 1) * strides[0] + 1 : strides[0], j : j + (columns - 1) * strides[1] + 1 : strides[1]]
        y += padded[met] * kernel[t]
        dkernel[t] = (padded[met] * dy).sum((0, 1, 2))
        dpadded[met] += dy * kernel[t].astype(np.float64)

    def blank(*shape):
        return np.full(shape, np.nan, dtype)

    def close(found, wanted):
        assert np.abs(found - wanted).max() <= {np.float32: 3e-6, np.float64: 1e-13}[dtype] * max(1, np.abs(wanted).max())

    nothing, unwanted = np.zeros((0, 0, 0, 0), dtype), blank(0, 3, channels)
    forward = window, axis(strides[0], dilation[0], top), axis(strides[1], dilation[1], left)
    back = window, axis_back(strides[0], dilation[0], top), axis_back(strides[1], dilation[1], left)
    band = band_rows(x.shape, y.shape, x.itemsize)
    found, moments = blank(*y.shape), blank(n * -(-rows // band), 3, channels)
    depthwise(x, kernel, bias, residual, dtype(-1), dtype(2), *forward, band, found, moments)
    close(found, np.clip(y, -1, 2))
    counts, means, squares = moments.astype(np.float64).transpose(1, 0, 2)
    mean = (counts * means).sum(0) / counts.sum(0)
    close(counts.sum(0), np.full(channels, n * rows * columns))
    close(mean, np.clip(y, -1, 2).mean((0, 1, 2)))
    close((squares + counts * (means - mean) ** 2).sum(0), ((np.clip(y, -1, 2) - mean) ** 2).sum((0, 1, 2)))
    found = blank(*x.shape)
    band = band_rows(dy.shape, x.shape, x.itemsize)
    depthwise(dy, kernel, np.zeros(channels, dtype), nothing, dtype(-np.inf), dtype(np.inf), *back, band, found, unwanted)
    close(found, dpadded[:, top : top + h, left : left + w])
    part, found, dbias = blank(*parts_shape(dy.shape, taps, dtype)), blank(taps, channels), blank(channels)
    depthwise_weights(x, dy, *forward, part)
    add_parts(part, found, dbias)
    close(found, dkernel)
    close(dbias, dy.sum((0, 1, 2), dtype=np.float64))


@pytest.mark.parametrize(("images", "size", "channels"), [(16, 112, 96), (1, 112, 96), (1, 7, 1152), (3, 1, 32), (1, 300, 4000)])
def test_bands_fit_into_the_cache_and_keep_threads_busy(images, size, channels):
    shape = (images, size, size, channels)
    rows = band_rows(shape, shape, 4)
    assert 1 <= rows <= size
    assert rows == 1 or rows * size * channels * 8 <= CACHE
    assert images * -(-size // rows) >= min(JOBS, images * size) / 2


def test_fold():
    draw = np.random.default_rng(0).standard_normal
    kernel, bias, scale, shift = draw((9, 5)), draw(5), draw(5), draw(5)
    folded, folded_bias = np.full((9, 5), np.nan), np.full(5, np.nan)
    fold(kernel, bias, scale, shift, folded, folded_bias)
    assert np.allclose(folded, kernel * scale) and np.allclose(folded_bias, bias * scale + shift)


def test_nan_passes_the_clamp():
    x, y = np.full((1, 3, 3, NARROW), np.nan, np.float32), np.zeros((1, 3, 3, NARROW), np.float32)
    line, one, zero = axis(1, 1, 0), np.ones((1, NARROW), np.float32), np.zeros(NARROW, np.float32)
    nothing, unwanted = np.zeros((0, 0, 0, 0), np.float32), np.zeros((0, 3, NARROW), np.float32)
    depthwise(x, one, zero, nothing, np.float32(0), np.float32(6), (1, 1), line, line, 1, y, unwanted)
    assert np.isnan(y).all()


THREADS = """
import numpy as np
from numbacnn import jit
from numbacnn.kernels.depthwise import axis, axis_back, band_rows, depthwise
from numbacnn.kernels.depthwise_weights import add_parts, depthwise_weights, parts_shape

draw, channels = np.random.default_rng(0).standard_normal, 40
x, dy, kernel, bias = (draw(s, dtype=np.float32) for s in ((2, 21, 10, channels), (2, 21, 10, channels), (9, channels), (channels,)))
nothing, free = np.zeros((0, 0, 0, 0), np.float32), (np.float32(-np.inf), np.float32(np.inf))
band, line, back = band_rows(x.shape, dy.shape, 4), axis(1, 1, 1), axis_back(1, 1, 1)

def results():
    shapes = dy.shape, (2 * -(-21 // band), 3, channels), x.shape, (0, 3, channels), parts_shape(dy.shape, 9, np.float32), kernel.shape, bias.shape
    y, moments, dx, unwanted, part, dkernel, dbias = (np.empty(s, np.float32) for s in shapes)
    depthwise(x, kernel, bias, nothing, *free, (3, 3), line, line, band, y, moments)
    depthwise(dy, kernel, 0 * bias, nothing, *free, (3, 3), back, back, band, dx, unwanted)
    depthwise_weights(x, dy, (3, 3), line, line, part)
    add_parts(part, dkernel, dbias)
    return y, moments, dx, dkernel, dbias

runs = []
for threads in (1, 2, 3):
    assert jit.set_threads(threads) == threads
    runs.append(results())
assert all(np.array_equal(a, b) for run in runs for a, b in zip(runs[0], run))
"""


def test_same_bits_for_any_number_of_threads():
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "3"}
    subprocess.run([sys.executable, "-c", THREADS], check=True, env=env, timeout=300)
