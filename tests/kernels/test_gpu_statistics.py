"""Twins of sums and statistics of channels, simulated, against float64: accuracy over many pixels, far from zero, and in parts of any size."""

import numpy as np
import pytest

from numbacnn.kernels.normalize_backward import coefficients, gradient_sums
from numbacnn.kernels.reduce import _partial_sums, blocks, fold
from numbacnn.kernels.statistics import partial_moments, statistics

pytestmark = pytest.mark.sim

SHAPES = [(1, 1, 1), (1, 7, 3), (2, 5, 17), (1, 90, 35), (3, 40, 12), (1, 3, 300)]  # samples, pixels, channels


def values(samples, pixels, channels, offset=0.0, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((samples, pixels, channels)) * 2 + offset + np.arange(channels) % 5).astype(np.float32)


def moments_of(x, backwards=False):
    samples, _, channels = x.shape
    cut = blocks(samples, x.size, channels)
    moments = np.full((samples * (cut.count + (cut.size % cut.width > 0)), 3, cut.width), np.nan, np.float32)
    partial_moments.on_gpu.simulate((x.reshape(-1), cut.size, cut.width, cut.block, cut.count, moments), backwards)
    return moments


def statistics_of(moments, samples, channels, groups):
    gamma, found = np.linspace(0.5, 2, channels).astype(np.float32), np.full((3, samples, channels), np.nan, np.float32)
    statistics.on_gpu.simulate((moments, gamma, np.float32(1e-3), groups, *found))
    return gamma, *found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("depth", [1, 0], ids=["each channel", "all together"])
def test_statistics(shape, depth):
    x = values(*shape)
    samples, _, channels = shape
    moments = moments_of(x)
    assert np.array_equal(moments, moments_of(x, backwards=True))
    assert moments[:, 0].sum() == samples * shape[1] * channels
    gamma, mean, variance, scale = statistics_of(moments, samples, channels, channels if depth else 1)
    axis = 1 if depth else (1, 2)
    wide = x.astype(np.float64)
    expected = [np.broadcast_to(f(wide, axis=axis, keepdims=True), (samples, 1, channels))[:, 0] for f in (np.mean, np.var)]
    np.testing.assert_allclose(mean, expected[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(variance, expected[1], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(scale, gamma / np.sqrt(expected[1] + 1e-3), rtol=2e-6)


@pytest.mark.parametrize(("offset", "tolerance"), [(0.0, 1e-6), (1000.0, 1e-5)], ids=str)
def test_accuracy_over_many_pixels(offset, tolerance):
    """200,000 pixels, where sums of squares would have lost all digits far from zero."""
    x = values(1, 200_000, 1, offset)
    wide = x.astype(np.float64)
    _, mean, variance, _ = statistics_of(moments_of(x), 1, 1, 1)
    assert abs(mean[0, 0] - wide.mean()) <= 1e-7 * max(1, offset)
    assert abs(variance[0, 0] / wide.var() - 1) <= tolerance


def test_parts_that_hold_nothing_count_nothing():
    moments = np.zeros((3, 3, 2), np.float32)
    moments[1] = [[4, 4], [5, -1], [2, 8]]
    _, mean, variance, _ = statistics_of(moments, 1, 2, 2)
    assert mean.tolist() == [[5, -1]] and variance.tolist() == [[0.5, 2]]


def test_sums_over_many_pixels():
    x = values(1, 200_000, 1, 3.0)
    cut = blocks(1, x.size, 1)
    partial, total = np.full(cut.count * cut.width, np.nan, np.float32), np.full(1, np.nan, np.float32)
    _partial_sums.on_gpu.simulate((x.reshape(-1), cut.width, cut.block, partial))
    fold.on_gpu.simulate((partial, total))
    assert abs(total[0] / x.astype(np.float64).sum() - 1) <= 1e-7


@pytest.mark.parametrize("clamp", [(-np.inf, np.inf), (0.0, 0.5)], ids=["open", "clamped"])
@pytest.mark.parametrize("shape", [(1, 20_000, 2), (2, 40, 17)], ids=str)
def test_sums_of_gradients(shape, clamp):
    samples, pixels, channels = shape
    x, dy = values(*shape), values(*shape, seed=1)
    centre, gamma, shift = x.mean(1), np.linspace(0.5, 2, channels).astype(np.float32), np.full(channels, 0.1, np.float32)
    variance = x.var(1)
    scale = (gamma / np.sqrt(variance + 1e-3)).astype(np.float32)
    cut, none = blocks(samples, x.size, channels), np.zeros(0, np.float32)
    partial = np.full((samples * cut.count, 2, cut.width), np.nan, np.float32)
    flat = (a.reshape(-1) for a in (x, none, dy, centre, scale, shift))
    gradient_sums.on_gpu.simulate((*flat, *map(np.float32, clamp), *cut, none, partial))
    found = np.full((5, samples, channels), np.nan, np.float32)
    coefficients.on_gpu.simulate((partial, gamma, variance, np.float32(1e-3), channels, cut.size, *found))
    d = x.astype(np.float64) - centre[:, None]
    value = ((x - centre[:, None]) * scale[:, None] + shift).astype(np.float32)
    g = np.where((value > clamp[0]) & (value < clamp[1]), dy.astype(np.float64), 0)
    inverse = 1 / np.sqrt(variance.astype(np.float64) + 1e-3)
    dbeta, dgamma = g.sum(1), (g * d).sum(1) * inverse
    size = np.abs(g).sum(1).max()
    np.testing.assert_allclose(found[4], dbeta, rtol=1e-6, atol=2e-7 * size)
    np.testing.assert_allclose(found[3], dgamma, rtol=1e-6, atol=2e-7 * size)
    np.testing.assert_allclose(found[0], gamma * inverse, rtol=1e-6)
    np.testing.assert_allclose(found[1], -gamma * dgamma / pixels * inverse**2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[2], -gamma * dbeta / pixels * inverse, rtol=1e-5, atol=1e-6)
