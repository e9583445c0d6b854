"""Initializers: Keras' formulas by their statistics, orthogonality, seeds and names."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numbacnn import init
from numbacnn.errors import ConfigError, ShapeError, UnknownNameError

SHAPE = (3, 3, 40, 60)  # HWIO
FAN_IN, FAN_OUT = 9 * 40, 9 * 60


def draw(spec, shape=SHAPE, seed=0):
    return init.initialize(spec, shape, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / (FAN_IN + FAN_OUT)),
        ("glorot_normal", 2 / (FAN_IN + FAN_OUT)),
        ("he_uniform", 2 / FAN_IN),
        ("he_normal", 2 / FAN_IN),
        ("lecun_uniform", 1 / FAN_IN),
        ("lecun_normal", 1 / FAN_IN),
        (init.VarianceScaling(3.0), 3 / FAN_IN),
        (init.VarianceScaling(2.0, "fan_out"), 2 / FAN_OUT),
        (init.VarianceScaling(1 / 3, "fan_avg", "uniform"), 2 / 3 / (FAN_IN + FAN_OUT)),
    ],
)
def test_scaled_by_fan(name, variance):
    values = draw(name)
    assert values.dtype == np.float32 and values.shape == SHAPE
    assert abs(values.mean()) < 4 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=0.03)
    limit = math.sqrt(3 * variance) if "uniform" in str(name) else 2 * math.sqrt(variance) / 0.87962566103423978
    assert 0.97 * limit < np.abs(values).max() <= limit * (1 + 1e-6)


def test_normal_has_the_shape_of_a_bell():
    values = draw("he_normal").ravel() / (math.sqrt(2 / FAN_IN) / 0.87962566103423978)
    inside = (math.erf(1 / math.sqrt(2))) / math.erf(math.sqrt(2))
    assert np.mean(np.abs(values) < 1) == pytest.approx(inside, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), (1, 1)), ((7,), (7, 7)), ((5, 6), (5, 6)), ((3, 2, 4, 8), (24, 48)), ((3, 3, 10, 2), (90, 18))],  # last: depthwise (kh, kw, C, m)
)
def test_fans(shape, expected):
    assert init.fans(shape) == expected


@pytest.mark.parametrize(
    ("spec", "mean", "deviation"),
    [
        (init.RandomNormal(0.5, 0.1), 0.5, 0.1),
        (init.RandomUniform(-1.0, 3.0), 1.0, 4 / math.sqrt(12)),
        (init.TruncatedNormal(-0.2, 0.1), -0.2, 0.087962566103423978),
        ("random_normal", 0.0, 0.05),
        ("random_uniform", 0.0, 0.1 / math.sqrt(12)),
        ("truncated_normal", 0.0, 0.05 * 0.87962566103423978),
    ],
)
def test_plain_distributions(spec, mean, deviation):
    values = draw(spec)
    assert values.mean() == pytest.approx(mean, abs=5 * deviation / math.sqrt(values.size))
    assert values.std() == pytest.approx(deviation, rel=0.03)


@pytest.mark.parametrize(("spec", "value"), [("zeros", 0), ("ones", 1), ("constant", 0), (init.Constant(2.5), 2.5)])
def test_fixed_values(spec, value):
    assert (draw(spec, (2, 3)) == value).all()
    assert draw(spec, ()).shape == ()


@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.sampled_from([1.0, 0.5, 2.0]), st.integers(0, 9))
def test_orthogonal(shape, gain, seed):
    matrix = draw(init.Orthogonal(gain), tuple(shape), seed).reshape(-1, shape[-1]).astype(np.float64) / gain
    gram = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6)


def test_orthogonal_needs_two_axes():
    with pytest.raises(ShapeError, match=r"two axes, not shape \(5,\)"):
        draw("orthogonal", (5,))


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "orthogonal", "random_normal"])
def test_the_generator_decides(name):
    np.testing.assert_array_equal(draw(name, (4, 5), 7), draw(name, (4, 5), 7))
    assert not np.array_equal(draw(name, (4, 5), 7), draw(name, (4, 5), 8))


def test_names():
    assert init.get("GlorotUniform") == init.get("glorot_uniform") == init.GlorotUniform()
    with pytest.raises(UnknownNameError, match=r"unknown initializer 'he_norml'; did you mean 'he_normal'"):
        init.get("he_norml")
    with pytest.raises(ConfigError, match="initializer 3 must be a name"):
        init.get(3)


def test_infinite_values_are_refused():
    with pytest.raises(ConfigError, match="not finite"):
        draw(init.Constant(math.inf), (2,))
