"""What is special to poolings: ties, NaN, infinities, windows that overlap or do not fit, threads."""

import os
import subprocess
import sys

import numpy as np
import pytest
import reference

import numbacnn as nn
from numbacnn import testing
from numbacnn.backends import open_backend
from numbacnn.errors import ConfigError, ShapeError
from numbacnn.layers.average_pooling2d import AveragePooling2D
from numbacnn.layers.global_average_pooling2d import GlobalAveragePooling2D
from numbacnn.layers.global_max_pooling2d import GlobalMaxPooling2D
from numbacnn.layers.max_pooling2d import MaxPooling2D
from numbacnn.plan import Plan


def trained(layer, x, dy):
    plan = testing.plan_of(layer, [x.shape[1:]], len(x), {}, training=True, dtype=x.dtype)
    y = plan.run([x], shares=[np.broadcast_to(dy, plan.trace.seeds[0].shape)]).outputs[0]
    return y, plan.input_gradient("x0")


def test_the_first_of_equal_values_takes_the_gradient():
    x = np.zeros((1, 4, 4, 3), np.float32)
    dx = trained(MaxPooling2D(2), x, 1.0)[1]
    expected = np.zeros_like(x)
    expected[:, ::2, ::2] = 1
    assert np.array_equal(dx, expected)
    assert trained(GlobalMaxPooling2D(), x, 2.0)[1].reshape(16, 3).tolist() == [[2.0] * 3] + [[0.0] * 3] * 15


def test_a_tie_across_the_rows_of_two_jobs_is_given_once():
    x = np.zeros((1, 24, 3, 1), np.float32)  # jobs own 8 rows each; windows of 5 rows reach over the edges
    dx = trained(MaxPooling2D((5, 1), strides=1, padding="same"), x, 1.0)[1]
    assert dx[0, :, 0, 0].tolist() == [3.0] + [1.0] * 21 + [0.0] * 2


@pytest.mark.parametrize(
    "layer", [MaxPooling2D(2), MaxPooling2D(3, strides=1, padding="same"), AveragePooling2D(2), GlobalMaxPooling2D(), GlobalAveragePooling2D()]
)
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (1, 0), (3, 2)])
def test_nan_is_not_lost(layer, place):
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 9)).astype(np.float32)
    x[0, *place, 4] = np.nan
    y, dx = trained(layer, x, 1.0)
    assert np.array_equal(np.isnan(y), np.isnan(getattr(reference, type(layer).__name__)(layer, {}, x)))
    if "Max" in type(layer).__name__:
        assert dx[0, *place, 4] == np.isnan(y).sum() and np.isfinite(dx).all()  # the NaN made those outputs


def test_padding_never_wins():
    x = np.full((1, 5, 5, 2), -np.inf, np.float32)
    x[0, 0, 0] = -1e30
    y = trained(MaxPooling2D(3, strides=2, padding="same"), x, 0.0)[0]
    assert (y[0, 0, 0] == np.float32(-1e30)).all() and np.isneginf(y[0, 1:]).all()
    assert trained(AveragePooling2D(3, strides=2, padding="same"), np.ones_like(x), 0.0)[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("zeros", [((1, 1), (1, 1)), ((0, 2), (3, 0)), ((4, 3), (0, 1))])
@pytest.mark.parametrize("layer", [MaxPooling2D(3, strides=2), MaxPooling2D(2), MaxPooling2D((2, 3), strides=1, padding="same")])
def test_a_zero_padding_folds_into_the_layer(layer, zeros):
    generator = np.random.default_rng(0)
    x = nn.Input((9, 7, 5), name="x")
    model = nn.Model(x, layer(nn.ZeroPadding2D(zeros)(x)))
    image = generator.standard_normal((2, 9, 7, 5)).astype(np.float32) - 0.5
    image[0, 0, 0], image[1, 8, 6] = -np.inf, np.nan
    results = []
    for folding in (True, False):
        plan = Plan(model.graph, 2, {}, open_backend("cpu"), training=True, trainable=frozenset(), folding=folding)
        dy = np.random.default_rng(1).standard_normal(plan.trace.seeds[0].shape)
        results.append((len(plan.units), plan.run([image], shares=[dy]).outputs[0], plan.input_gradient("x")))
    assert results[0][0] == results[1][0] - 1
    np.testing.assert_array_equal(results[0][1], results[1][1])
    np.testing.assert_allclose(results[0][2], results[1][2], atol=1e-6)


@pytest.mark.parametrize("pool", [1, 2, 3, (5, 2)])
@pytest.mark.parametrize("strides", [1, 2, (3, 4)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("cls", [MaxPooling2D, AveragePooling2D])
def test_tall_images(cls, pool, strides, padding):
    """More rows than a job owns: the gradient is the transpose of the (locally) linear forward pass, exactly once."""
    layer = cls(pool, strides=strides, padding=padding)
    generator = np.random.default_rng(1)
    x = generator.permutation(2 * 29 * 9 * 3).reshape(2, 29, 9, 3) / 100.0
    y, _ = trained(layer, x, 0.0)
    np.testing.assert_allclose(y, getattr(reference, cls.__name__)(layer, {}, x), rtol=1e-12)
    dy, direction = generator.standard_normal(y.shape), generator.standard_normal(x.shape) * 1e-4
    dx = trained(layer, x, dy)[1]
    assert (dx * direction).sum() == pytest.approx((dy * (trained(layer, x + direction, 0.0)[0] - y)).sum(), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("layer", [MaxPooling2D(3), AveragePooling2D((3, 1))])
def test_a_window_that_does_not_fit_is_refused(layer):
    with pytest.raises(ShapeError, match=r"pool_size=\(3, \d\) is larger than the image of 2x5 pixels"):
        layer.output_shape((2, 5, 3))
    with pytest.raises(ShapeError, match="height, width, channels"):
        layer.output_shape((5,))


def test_bad_values_are_refused():
    for make in (lambda: MaxPooling2D(0), lambda: AveragePooling2D(2, strides=(1, 2, 3)), lambda: MaxPooling2D(padding="full")):
        with pytest.raises(ConfigError):
            make()


def test_strides_are_the_window_by_default():
    assert MaxPooling2D(3).strides == (3, 3) and MaxPooling2D().output_shape((7, 8, 2)) == (3, 4, 2)


def test_images_of_any_size():
    assert MaxPooling2D(2).output_shape((None, 8, 4)) == (None, 4, 4)
    assert AveragePooling2D(2, padding="same").output_shape((None, None, 4)) == (None, None, 4)
    assert GlobalAveragePooling2D().output_shape((None, None, 4)) == (4,)
    assert GlobalMaxPooling2D(keepdims=True).output_shape((None, None, 4)) == (1, 1, 4)


def test_a_long_mean_is_accurate():
    x = np.full((1, 300, 300, 1), 0.1, np.float32)
    assert trained(GlobalAveragePooling2D(), x, 0.0)[0][0, 0] == np.float32(0.1)


THREADS = """
import hashlib, numpy as np
from numbacnn import registry, testing
from numbacnn.backends import open_backend
from numbacnn.plan import Plan
generator = np.random.default_rng(0)
x = generator.standard_normal((2, 37, 23, 5)).astype(np.float32)
cases = {"MaxPooling2D": dict(pool_size=3, strides=2), "AveragePooling2D": dict(pool_size=3, strides=1), "GlobalAveragePooling2D": {}, "GlobalMaxPooling2D": {}}
for name, fields in cases.items():
    digests = set()
    for threads in (1, 2, 2):
        plan = Plan(testing.graph_of(registry.layers[name](**fields), x.shape[1:]), 2, {}, open_backend("cpu", threads), training=True)
        dy = np.random.default_rng(1).standard_normal(plan.trace.seeds[0].shape)
        y = plan.run([x], shares=[dy]).outputs[0]
        digests.add(hashlib.sha256(y.tobytes() + plan.input_gradient("x0").tobytes()).hexdigest())
    print(name, len(digests))
"""


def test_same_bits_with_one_and_two_threads():
    environment = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "2"}
    shown = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, timeout=300)
    assert [line.split()[-1] for line in shown.stdout.splitlines()] == ["1"] * 4, shown.stderr
