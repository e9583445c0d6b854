"""Twins of kernels that move, pool and resize, on the simulated GPU, where the layers' examples do not go: channels beside 32, NaN, ties, long rows."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.kernels.resample import between, reached, weight
from numbacnn.layers.global_max_pooling2d import global_max, global_max_backward
from numbacnn.layers.max_pooling2d import max_backward, max_forward
from numbacnn.layers.resizing import place
from numbacnn.testing.twins import check_twin

pytestmark = pytest.mark.sim

LAYERS = [
    (nn.MaxPooling2D(3, strides=2, padding="same"), (3, 5, 17)),
    (nn.AveragePooling2D((2, 3), strides=(3, 1)), (4, 3, 1)),
    (nn.GlobalAveragePooling2D(), (5, 7, 33)),
    (nn.GlobalMaxPooling2D(), (5, 7, 33)),
    (nn.UpSampling2D((3, 2), "bilinear"), (2, 3, 17)),
    (nn.Resizing(9, 3, "nearest"), (4, 7, 3)),
    (nn.Resizing(2, 11), (7, 3, 1)),
    (nn.ZeroPadding2D(1), (1, 1, 70)),
    (nn.Permute((3, 1, 2)), (3, 2, 33)),
    (nn.Dropout(0.4), (67, 5)),
    (nn.Dropout(0.4), (7, 37, 2)),
]


@pytest.mark.parametrize("layer, shape", LAYERS, ids=lambda v: str(v) if isinstance(v, tuple) else type(v).__name__)
def test_shapes(layer, shape):
    check_twin(layer, shape, batch=2 if len(shape) == 2 else 1)


def both(kernel, *args):
    """Results on the CPU and on the simulated GPU, in both orders of the threads; the last argument is the output."""
    found = []
    for run in (kernel, lambda *a: kernel.on_gpu.simulate(a), lambda *a: kernel.on_gpu.simulate(a, True)):
        out = np.full_like(args[-1], np.nan)
        run(*args[:-1], out)
        found.append(out)
    assert np.array_equal(found[1], found[2], equal_nan=True)
    return found[:2]


def hard_images():
    """Small whole numbers, so that windows have ties, some NaN and infinities."""
    random = np.random.default_rng(3)
    x = random.integers(-2, 2, (2, 5, 6, 3)).astype(np.float32)
    x[0, 1, 2, 0] = x[0, 1, 3, 0] = x[1, 4, 5, 2] = np.nan
    x[0, 0, 0, 1], x[1, 2, 2, 1] = np.inf, -np.inf
    return x, random


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 0), (0, 2))])
def test_max_pooling_of_ties_and_nan(padding):
    x, random = hard_images()
    low = tuple(side[0] for side in padding)
    geometry = (3, 2, 2, 1, *low, *sum(padding, ()))
    y = np.empty((2, (5 + sum(padding[0]) - 3) // 2 + 1, 6 + sum(padding[1]) - 1, 3), np.float32)
    cpu, gpu = both(max_forward, x, *geometry, y)
    assert np.array_equal(cpu, gpu, equal_nan=True) and np.isnan(cpu).any()
    dy = random.standard_normal(y.shape).astype(np.float32)
    dx, dx_gpu = both(max_backward, x, cpu, dy, *geometry, 2, np.empty_like(x))
    assert np.array_equal(dx, dx_gpu)


def test_global_max_of_ties_and_nan():
    x, random = hard_images()
    x = x.reshape(2, 30, 3)
    y, y_gpu = both(global_max, x, np.empty((2, 3), np.float32))
    assert np.array_equal(y, y_gpu, equal_nan=True)
    dx, dx_gpu = both(global_max_backward, x, y, random.standard_normal(y.shape).astype(np.float32), np.empty_like(x))
    assert np.array_equal(dx, dx_gpu) and (dx != 0).sum() == 6


@pytest.mark.parametrize("bilinear", [0, 1])
def test_whole_numbers_say_what_floats_say(bilinear):
    """`between` finds the same pixels and shares as the CPU's `place`, and `reached` leaves no output pixel out."""
    for size in (1, 2, 3, 5, 8, 13):
        for length in (1, 2, 3, 4, 7, 24):
            weights = np.zeros((size, length))
            for o in range(length):
                first, second, share = place(o, size, length, bilinear)
                a, b, part, whole = between(o, size, length, bilinear)
                expected, found = np.zeros(size), np.zeros(size)
                expected[first] += 1 - share
                expected[second] += share
                found[a] += 1 - part / whole
                found[b] += part / whole
                assert np.allclose(expected, found, atol=1e-12), (o, size, length)
                weights[:, o] = found
            for i in range(size):
                start, end = reached(i, size, length)
                row = np.array([weight(i, o, size, length, bilinear, 1.0) if start <= o < end else 0.0 for o in range(length)])
                assert np.allclose(row, weights[i], atol=1e-12), (i, size, length)
