"""What is special to normalizations: statistics over many blocks and far from zero, moving averages, threads, refusals."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import numbacnn as nn
from numbacnn import registry, testing
from numbacnn.backends import open_backend
from numbacnn.errors import ConfigError, ShapeError
from numbacnn.kernels.normalize import FAR, normalized
from numbacnn.kernels.reduce import blocks, channel_sums
from numbacnn.kernels.statistics import statistics
from numbacnn.layers.batch_normalization import BatchNormalization
from numbacnn.layers.group_normalization import GroupNormalization
from numbacnn.layers.layer_normalization import LayerNormalization
from numbacnn.layers.normalization import Normalization
from numbacnn.layers.rescaling import Rescaling
from numbacnn.plan import Plan

LARGE = [(1, 1), (3, 5), (1, 16385), (129, 257), (20000, 1), (7001, 3), (900, 65), (40, 2048), (333, 130)]  # rows, channels


def trained(layer, x, dy, weights, **options):
    """Output, gradient by the input, gradients by the weights, all from one run of a training plan."""
    weights = {f"layer/{k}": v.copy() for k, v in weights.items()}
    plan = testing.plan_of(layer, [x.shape[1:]], len(x), weights, training=True, dtype=x.dtype, **options)
    y = plan.run([x], shares=[dy]).outputs[0]
    gradients = {p.partition("/")[2]: plan.weight_gradient(p) for p in plan.trace.weight_gradients}
    return y, plan.input_gradient("x0"), gradients, {k.partition("/")[2]: v for k, v in weights.items()}


def fresh(layer, shape, dtype=np.float32):
    """Weights as they start."""
    ones = ("gamma", "variance", "moving_variance")
    return {n: np.full(s.shape, n in ones, dtype) for n, s in layer.weights(shape).items()}


@pytest.mark.parametrize(("rows", "channels"), LARGE)
def test_blocks_cover_a_sample_with_whole_rows(rows, channels):
    cut = blocks(1, rows * channels, channels)
    assert cut.width % channels == 0 and cut.block % cut.width == 0
    assert (cut.count - 1) * cut.block < rows * channels <= cut.count * cut.block


@pytest.mark.parametrize(("rows", "channels"), LARGE)
def test_channel_sums(rows, channels):
    x = np.random.default_rng(0).standard_normal((rows, channels)).astype(np.float32) + 1
    total = np.full(channels, np.nan, np.float32)
    step = SimpleNamespace(new=lambda *shape: np.full(shape, np.nan, np.float32), run=lambda k, *args, out: k(*args, out))
    channel_sums(step, x, total)
    np.testing.assert_allclose(total, x.sum(0, dtype=np.float64), rtol=2e-6, atol=2e-6 * np.sqrt(rows))


@pytest.mark.parametrize(("rows", "channels"), [shape for shape in LARGE if shape[0] > 1])
def test_batch_normalization_of_many_rows(rows, channels):
    generator = np.random.default_rng(1)
    x, dy = generator.standard_normal((2, rows, channels))
    layer = BatchNormalization()
    weights = {n: np.asarray(generator.uniform(0.5, 1.5, channels)) for n in layer.weights((channels,))}
    y, dx, gradients, _ = trained(layer, x, dy, weights)
    inverse = 1 / np.sqrt(x.var(0) + 1e-3)
    normal = (x - x.mean(0)) * inverse
    np.testing.assert_allclose(y, normal * weights["gamma"] + weights["beta"], atol=1e-11)
    np.testing.assert_allclose(gradients["beta"], dy.sum(0), atol=1e-10)
    np.testing.assert_allclose(gradients["gamma"], (dy * normal).sum(0), atol=1e-10)
    np.testing.assert_allclose(dx, weights["gamma"] * inverse * (dy - dy.mean(0) - normal * (dy * normal).mean(0)), atol=1e-11)


def test_group_normalization_of_large_images():
    generator = np.random.default_rng(1)
    x, dy = generator.standard_normal((2, 3, 90, 77, 6)) + 0.5
    layer = GroupNormalization(groups=2)
    weights = {n: np.asarray(generator.uniform(0.5, 1.5, 6)) for n in layer.weights(x.shape[1:])}
    y, dx, gradients, _ = trained(layer, x, dy, weights)
    groups, shared = x.reshape(3, -1, 2, 3), dict(axis=(1, 3), keepdims=True)
    inverse = 1 / np.sqrt(groups.var(**shared) + 1e-3)
    normal = (groups - groups.mean(**shared)) * inverse
    g = (dy * weights["gamma"]).reshape(groups.shape)
    np.testing.assert_allclose(y, normal.reshape(x.shape) * weights["gamma"] + weights["beta"], atol=1e-11)
    np.testing.assert_allclose(gradients["gamma"], (dy * normal.reshape(x.shape)).sum((0, 1, 2)), atol=1e-9)
    np.testing.assert_allclose(dx.reshape(groups.shape), inverse * (g - g.mean(**shared) - normal * (g * normal).mean(**shared)), atol=1e-11)


@pytest.mark.parametrize("layer", [BatchNormalization(), GroupNormalization(groups=2)], ids=lambda layer: type(layer).__name__)
def test_variance_does_not_cancel_far_from_zero(layer):
    x = (np.random.default_rng(2).standard_normal((1, 60, 91, 4)) + 5000).astype(np.float32)
    y = trained(layer, x, np.zeros_like(x), fresh(layer, x.shape[1:]))[0]
    exact = x.astype(np.float64).reshape(-1, 2 if isinstance(layer, GroupNormalization) else 4, order="C")
    if isinstance(layer, GroupNormalization):
        exact = x.astype(np.float64).reshape(-1, 2, 2)
        expected = (exact - exact.mean((0, 2), keepdims=True)) / np.sqrt(exact.var((0, 2), keepdims=True) + 1e-3)
    else:
        expected = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-3)
    assert np.abs(y - expected.reshape(x.shape)).max() < 5e-4  # float32 itself rounds 5000 by 2.4e-4; E[x²] - E[x]² would be off by 1


def test_moving_statistics_follow_the_batch():
    x = np.random.default_rng(3).standard_normal((8, 5, 4, 3)).astype(np.float32) * 2 + 1
    layer = BatchNormalization(momentum=0.75)
    weights = trained(layer, x, np.zeros_like(x), fresh(layer, x.shape[1:]))[3]
    np.testing.assert_allclose(weights["moving_mean"], 0.25 * x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(weights["moving_variance"], 0.75 + 0.25 * x.var((0, 1, 2)), rtol=1e-5)  # biased


@pytest.mark.parametrize("layer", [BatchNormalization(), GroupNormalization(groups=1)], ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("clamp", [(None, None), (0.0, None), (0.0, 1.0)])
@pytest.mark.parametrize("added", [True, False])
def test_sum_and_clamp_fold_into_the_layer(layer, clamp, added):
    """One unit, the same values and gradients; 130 channels leave a rest behind whole vectors, 3 make lines of many pixels."""
    for shape in ((5, 7, 3), (3, 3, 130)):
        x, other = nn.Input(shape, name="x"), nn.Input(shape, name="other")
        own = replace(layer)  # layers are told apart by identity
        y = nn.Add()([other, own(x)]) if added else own(x)
        y = y if clamp[0] is None else nn.ReLU(max_value=clamp[1])(y)
        model = nn.Model([x, other], y) if added else nn.Model(x, y)
        weights = {k: v.astype(np.float64) + 0.25 for k, v in model.network.weights().items()}
        data, results = np.random.default_rng(0).standard_normal((3, 4, *shape)), []
        for folding in (True, False):
            copies = {k: v.copy() for k, v in weights.items()}
            trainable = frozenset(h.name for h in model.layers)
            options = dict(training=True, trainable=trainable, dtype=np.float64, folding=folding, input_gradients=True)
            plan = Plan(model.graph, 4, copies, open_backend("cpu"), **options)
            y = plan.run(list(data[: 1 + added]), shares=[data[2]]).outputs[0]
            gradients = {n: plan.input_gradient(n) for n in plan.trace.input_gradients} | {p: plan.weight_gradient(p) for p in plan.trace.weight_gradients}
            results.append((len(plan.units), y, gradients))
        assert results[0][0] == 2 + added and results[1][0] == results[0][0] + added + (clamp[0] is not None)
        np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-12)
        assert set(results[0][2]) == set(results[1][2])
        for name, gradient in results[0][2].items():
            np.testing.assert_allclose(gradient, results[1][2][name], atol=1e-11, err_msg=name)


def test_moments_of_a_convolution_are_taken():
    """As many parts as there are pixels: what is put together is the variance of all."""
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32) + 100
    moments = np.stack([np.ones_like(x), x, np.zeros_like(x)], 1)
    mean, variance, scale = (np.full((1, 4), np.nan, np.float32) for _ in range(3))
    statistics(moments, np.full(4, 2, np.float32), np.float32(1e-3), 4, mean, variance, scale)
    np.testing.assert_allclose(mean[0], x.mean(0, dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(variance[0], x.astype(np.float64).var(0), rtol=1e-6)
    np.testing.assert_allclose(scale[0], 2 / np.sqrt(x.astype(np.float64).var(0) + 1e-3), rtol=1e-6)


def test_a_frozen_layer_passes_the_gradient_and_keeps_its_statistics():
    generator = np.random.default_rng(4)
    x, dy = generator.standard_normal((2, 2, 4, 5, 3)).astype(np.float32)
    layer = BatchNormalization()
    weights = {f"layer/{n}": generator.uniform(0.5, 1.5, 3).astype(np.float32) for n in layer.weights((4, 5, 3))}
    before = {k: v.copy() for k, v in weights.items()}
    graph = testing.graph_of(layer, (4, 5, 3))
    plan = Plan(graph, 2, weights, open_backend("cpu"), training=True, trainable=frozenset())
    y = plan.run([x], shares=[dy]).outputs[0]
    scale = before["layer/gamma"] / np.sqrt(before["layer/moving_variance"] + 1e-3)
    np.testing.assert_allclose(y, (x - before["layer/moving_mean"]) * scale + before["layer/beta"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(plan.input_gradient("x0"), dy * scale, rtol=1e-5, atol=1e-6)
    assert all(np.array_equal(weights[k], before[k]) for k in weights)


@pytest.mark.parametrize("layer", [BatchNormalization(), GroupNormalization(groups=1), LayerNormalization()], ids=lambda layer: type(layer).__name__)
def test_a_constant_input_is_finite(layer):
    x = np.full((2, 3, 3, 4), 1e4, np.float32)
    y, dx, *_ = trained(layer, x, np.ones_like(x), fresh(layer, x.shape[1:]))
    assert np.abs(y).max() == 0 and np.isfinite(dx).all()


@pytest.mark.parametrize(
    "layer", [BatchNormalization(), GroupNormalization(groups=1), LayerNormalization(), Rescaling(2.0)], ids=lambda layer: type(layer).__name__
)
def test_nan_is_not_lost(layer):
    x = np.zeros((2, 3, 3, 4), np.float32)
    x[1, 2, 1, 3] = np.nan
    assert np.isnan(trained(layer, x, np.zeros_like(x), fresh(layer, x.shape[1:]))[0][1, 2, 1, 3])


def test_statistics_of_data():
    data = np.random.default_rng(5).integers(0, 256, (6, 4, 5, 3)).astype(np.uint8)
    found = Normalization.statistics(data)
    assert found["count"] == 120 and found["mean"].dtype == np.float64
    np.testing.assert_allclose(found["mean"], data.mean((0, 1, 2)))
    np.testing.assert_allclose(found["variance"], data.var((0, 1, 2)))


def test_a_variance_of_zero_is_divided_by_with_care():
    layer = Normalization(mean=3.0, variance=0.0)
    plan = testing.plan_of(layer, [(2,)], 1, {})
    np.testing.assert_allclose(plan.run([np.array([[3, 4]])]).outputs[0], [[0, 1e7]], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchNormalization(momentum=1.5), "momentum=1.5 must be between 0 and 1"),
        (lambda: BatchNormalization(epsilon=0.0), "epsilon=0.0"),
        (lambda: GroupNormalization(groups=0), "groups=0 must be at least 1, or -1"),
        (lambda: Normalization(mean=1.0), "mean=1.0 and variance=None must be given both"),
        (lambda: Normalization(mean=1.0, variance=(1.0, -1.0)), "must not be negative"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (BatchNormalization(axis=1), (4, 5, 3), "axis=1 is not the last one"),
        (LayerNormalization(axis=2), (4, 5, 3), "axis=2 is not the last one"),
        (BatchNormalization(), (4, None), "must be known"),
        (GroupNormalization(groups=4), (4, 5, 6), "6 channels cannot be divided into groups=4"),
        (Normalization(mean=(1.0, 2.0), variance=1.0), (4, 5, 3), "mean has 2 values for 3 channels"),
        (Rescaling((1.0, 2.0)), (4, 5, 3), "scale has 2 values for 3 channels"),
    ],
)
def test_bad_shapes_are_refused(layer, shape, message):
    with pytest.raises(ShapeError, match=message):
        layer.output_shape(shape)


def test_images_of_any_size():
    assert all(layer.output_shape((None, None, 4)) == (None, None, 4) for layer in (BatchNormalization(), GroupNormalization(groups=2), Rescaling(1.0)))


THREADS = """
import hashlib, numpy as np
import numbacnn as nn
from numbacnn import registry, testing
from numbacnn.backends import open_backend
from numbacnn.plan import Plan
generator = np.random.default_rng(0)
x, dy = generator.standard_normal((2, 3, 61, 47, 13)).astype(np.float32)
for name, fields in (("BatchNormalization", {}), ("GroupNormalization", {"groups": 13}), ("LayerNormalization", {})):
    digests = set()
    for threads in (1, 2, 2):
        layer = registry.layers[name](**fields)
        weights = {f"layer/{n}": np.ones(s.shape, np.float32) for n, s in layer.weights(x.shape[1:]).items()}
        plan = Plan(testing.graph_of(layer, x.shape[1:]), 3, weights, open_backend("cpu", threads), training=True, trainable=frozenset({"layer"}))
        y = plan.run([x], shares=[dy]).outputs[0]
        arrays = [y, plan.input_gradient("x0"), *(plan.weight_gradient(p) for p in sorted(plan.trace.weight_gradients)), *weights.values()]
        digests.add(hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest())
    print(name, len(digests))
"""


def test_same_bits_with_one_and_two_threads():
    environment = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "2"}
    shown = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, timeout=300)
    assert shown.stdout.split("\n")[:3] == ["BatchNormalization 1", "GroupNormalization 1", "LayerNormalization 1"], shown.stderr


def test_the_resting_form_is_not_registered():
    assert "RestingBatchNormalization" not in registry.layers


def test_large_results_are_written_past_the_caches():
    place = np.full(FAR // 4 + 1000, np.nan, np.float32)
    for start in (-place.ctypes.data % 64 // 4, -place.ctypes.data % 64 // 4 + 1):  # on a cache line, and beside one
        for columns in (130, 128):  # lines of whole cache lines or not
            x = np.random.default_rng(0).standard_normal((FAR // 4 // columns + 5, columns)).astype(np.float32)
            y = place[start : start + x.size]
            one, none = np.ones(columns, np.float32), np.zeros(0, np.float32)
            normalized(x, 2 * one, 3 * one, one, none, np.float32(-9), np.float32(np.inf), *blocks(1, x.size, columns), y)
            np.testing.assert_allclose(y.reshape(x.shape), np.maximum((x - 2) * 3 + 1, -9), rtol=1e-6, atol=1e-5)
