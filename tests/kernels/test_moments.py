"""Moments of blocks of pixels against NumPy in float64: any channels, pieces of them, pixels by number and by address."""

import numpy as np
import pytest

from numbacnn.jit import kernel
from numbacnn.kernels.moments import moments_of, moments_of_places


@kernel(parallel=False)
def by_number(y, channels, first, count, c0, c1, moments):
    for part in range(moments.shape[0]):
        moments_of(y, channels, first + part * count, count, c0, c1, moments, part)


@kernel(parallel=False)
def by_address(y, places, count, c0, c1, nowhere, moments):
    moments_of_places(y, places, count, c0, c1, moments, 0, nowhere)


def expected(pixels):
    """[3, C] of pixels [n, C], in float64."""
    x = pixels.astype(np.float64)
    mean = x.mean(0) if len(x) else np.zeros(x.shape[1])
    return np.stack([np.full(x.shape[1], len(x)), mean, ((x - mean) ** 2).sum(0)])


def check(moments, pixels, rtol):
    wanted = expected(pixels)
    np.testing.assert_array_equal(moments[0], wanted[0])
    scale = np.abs(pixels).max(initial=1)
    np.testing.assert_allclose(moments[1], wanted[1], rtol, rtol * scale)
    np.testing.assert_allclose(moments[2], wanted[2], 10 * rtol, 0.3 * rtol * scale * np.sqrt(wanted[2].max()))  # the mean is rounded


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("channels", "c0", "c1"), [(1, 0, 1), (3, 0, 3), (13, 0, 13), (17, 0, 17), (40, 3, 40), (64, 32, 48), (70, 0, 70)])
@pytest.mark.parametrize("mean", [0, 1000])
def test_moments_of_pixels(dtype, channels, c0, c1, mean):
    rtol = 1e-6 if dtype == np.float32 else 1e-14
    y = (mean + np.random.default_rng(channels).normal(size=(29, channels))).astype(dtype)
    moments = np.full((2, 3, channels), 7, dtype)
    by_number(y.reshape(-1), channels, 3, 13, c0, c1, moments)
    for part in range(2):
        check(moments[part, :, c0:c1], y[3 + 13 * part : 16 + 13 * part, c0:c1], rtol)
    assert (moments[:, :, :c0] == 7).all() and (moments[:, :, c1:] == 7).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("channels", "c0", "c1"), [(3, 0, 3), (70, 5, 64)])
@pytest.mark.parametrize("nowhere", [0, 99])
def test_moments_of_places(dtype, channels, c0, c1, nowhere):
    y = np.random.default_rng(channels).normal(5, 1, (30, channels)).astype(dtype)
    chosen = np.array([3, 0, 29, 7, 8, 11, 2, 20, 21, 5, 1, 17, 28])
    places = y.ctypes.data + chosen.astype(np.int64) * channels * y.itemsize
    moments = np.full((1, 3, channels), 7, dtype)
    for missing in ([], [0], [5, 6], list(range(13))):
        kept = [i for i in range(13) if i not in missing]
        given = places.copy()
        given[missing] = nowhere
        by_address(y.reshape(-1), given, 13, c0, c1, nowhere, moments)
        check(moments[0, :, c0:c1], y[chosen[kept], c0:c1], 1e-6 if dtype == np.float32 else 1e-14)
    assert (moments[:, :, :c0] == 7).all() and (moments[:, :, c1:] == 7).all()


def test_equal_values_have_no_variance():
    for value in (1000.1, -1e-20, 3e20):
        y, moments = np.full((100, 20), value, np.float32), np.empty((1, 3, 20), np.float32)
        by_number(y.reshape(-1), 20, 0, 100, 0, 20, moments)
        np.testing.assert_array_equal(moments[0, 1], np.float32(value))
        np.testing.assert_array_equal(moments[0, 2], 0)


def test_nan_and_infinity_spread_to_their_channel_alone():
    y, moments = np.ones((10, 20), np.float32), np.empty((1, 3, 20), np.float32)
    y[3, 4], y[5, 18] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        by_number(y.reshape(-1), 20, 0, 10, 0, 20, moments)
    assert set(np.flatnonzero(~np.isfinite(moments[0, 1:]).all(0))) == {4, 18}
    assert np.isnan(moments[0, 2, 4]) and np.isnan(moments[0, 2, 18])
