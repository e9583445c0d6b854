"""What is special to elementwise layers, softmax and dropout; oracles and gradients are in tests/test_every_layer.py."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from reference import philox_words

from numbacnn import registry
from numbacnn.errors import ConfigError, ShapeError, UnknownNameError
from numbacnn.graph import Node
from numbacnn.layer import Elementwise
from numbacnn.layers.activation import Activation
from numbacnn.layers.dropout import Dropout
from numbacnn.layers.identity import Identity
from numbacnn.layers.input import Input
from numbacnn.layers.leaky_relu import LeakyReLU
from numbacnn.layers.prelu import PReLU
from numbacnn.layers.relu import ReLU
from numbacnn.layers.softmax import Softmax
from numbacnn.layers.spatial_dropout2d import SpatialDropout2D
from numbacnn.plan.buffer import Buffer
from numbacnn.plan.step import Recorder, Step

ELEMENTWISE = ["ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "Sigmoid", "Tanh", "Swish", "HardSigmoid", "HardSwish", "GELU", "Softplus", "Softsign", "Mish"]


def run(layer, x, dy=None, weights=(), clock=(3, 1)):
    """Forward and backward of one layer, launch by launch: (y, dx, {weight: gradient})."""

    def given(array, name):
        buffer = Buffer(array.shape, array.dtype, name, "persistent")
        buffer.array = np.ascontiguousarray(array)
        return buffer

    dtype = x.dtype.type
    weights = dict(weights)
    w = {k: given(v.astype(dtype), k) for k, v in weights.items()}
    dw = {k: given(np.full(v.shape, np.nan, dtype), k) for k, v in weights.items()}
    recorder = Recorder(len(x), dtype, 2)
    recorder.clock.array = np.array(clock, np.uint64)
    step = Step(recorder, Node("it", layer, ("x",), stream=5), [given(x, "x")], layer.output_shape(x.shape[1:]), w.__getitem__, dw.__getitem__, list(w))
    kept = layer.forward(step) or ()
    if dy is not None:
        step.dy = given(dy, "dy")
        layer.backward(step, *kept)
    for launch in recorder.launches:
        for buffer in launch.roots:
            if buffer.array is None:
                buffer.array = np.full(buffer.shape, np.nan, buffer.dtype)
        launch.kernel(*(a.real() if isinstance(a, Buffer) else a for a in (*launch.args, *launch.out)))
    return step.y.real(), None if dy is None else step.dx.real(), {k: b.array for k, b in dw.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*ELEMENTWISE, "Softmax"])
def test_finite_and_right_far_out(name, dtype):
    for layer, *_ in registry.layers[name].examples():
        if name == "Softmax" and layer.axis != -1:
            continue
        x = np.array([[1e4, -1e4, 500, -500, 89, -89, 104, -104, 1e-30, -1e-30, 0]], dtype)
        y, dx, _ = run(layer, x, np.ones_like(x))
        assert y.dtype == dx.dtype == dtype
        assert np.isfinite(y).all() and np.isfinite(dx).all()
        if isinstance(layer, Elementwise):
            limits = {"Sigmoid": (1, 0), "Tanh": (1, -1), "HardSigmoid": (1, 0), "ReLU6": (6, 0)}.get(name)
            if limits:
                assert tuple(y[0, :2]) == limits
            assert np.isnan(run(layer, np.full((1, 3), np.nan, dtype))[0]).all(), "NaN must come through, or nobody sees it"
    if name in ("Swish", "GELU", "Softplus", "Mish"):
        assert y[0, 0] == dtype(1e4) and y[0, 1] == 0 and dx[0, 0] == 1 and dx[0, 1] == 0


def test_softmax_of_large_logits():
    y, dx, _ = run(Softmax(), np.array([[1e4, 1e4 - 1, -1e4]], np.float32), np.array([[1, 0, 0]], np.float32))
    p = 1 / (1 + math.exp(-1))
    np.testing.assert_allclose(y, [[p, 1 - p, 0]], rtol=1e-6)
    np.testing.assert_allclose(dx, [[p * (1 - p), -p * (1 - p), 0]], rtol=1e-6)


def test_relu_fields_as_in_keras():
    x = np.array([[-2.0, 0.0, 0.4, 0.5, 1.0, 3.0, 4.0]])
    y, _, _ = run(ReLU(max_value=3.0, negative_slope=0.1, threshold=0.5), x)
    np.testing.assert_allclose(y, [[-0.25, -0.05, -0.01, 0.5, 1.0, 3.0, 3.0]], rtol=1e-12)
    assert ReLU().clamp == (0, math.inf) and ReLU(6.0).clamp == (0, 6)
    assert ReLU(threshold=0.5).clamp is None and ReLU(negative_slope=0.1).clamp is None
    assert registry.layers["ReLU6"]().clamp == (0, 6)


def test_names_and_links():
    assert registry.layers["leaky_relu"].from_activation() == LeakyReLU(0.2)
    assert registry.layers["SiLU"] is registry.layers["swish"] and registry.layers["linear"] is Identity
    assert registry.layers["Sigmoid"].link == "sigmoid" and Softmax().link == "softmax" and Softmax(axis=1).link is None
    assert Activation("relu6").parts() == ((registry.layers["ReLU6"](), {}),)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ReLU(max_value=-1.0),
        lambda: ReLU(negative_slope=-0.1),
        lambda: LeakyReLU(-0.1),
        lambda: Dropout(1.0),
        lambda: Dropout(-0.1),
        lambda: Dropout(math.nan),
        lambda: SpatialDropout2D(1.5),
        lambda: Softmax(axis=0),
        lambda: PReLU(shared_axes=(0,)),
        lambda: Input((0, 4, 3)),
        lambda: Input(3),
        lambda: Activation(None),
        lambda: Activation("PReLU").parts(),
    ],
)
def test_bad_fields(make):
    with pytest.raises(ConfigError):
        make()


def test_bad_names_and_shapes():
    with pytest.raises(UnknownNameError, match="did you mean 'Mish'"):
        Activation("mihs")
    for layer, shape in (
        (Softmax(axis=4), (4, 5, 3)),
        (Softmax(axis=-4), (4, 5, 3)),
        (SpatialDropout2D(0.5), (3,)),
        (Dropout(0.5, noise_shape=(None, 2, 1)), (4, 3)),
        (Dropout(0.5, noise_shape=(None, 1)), (4, 3)),
        (PReLU(shared_axes=(4,)), (4, 5, 3)),
        (PReLU(), (None, None, 3)),
    ):
        with pytest.raises(ShapeError):
            layer.output_shape(shape)
    assert PReLU(shared_axes=(1, 2)).output_shape((None, None, 3)) == (None, None, 3)


def test_dropout_draws_by_philox_and_backward_repeats_it():
    x = np.random.default_rng(0).normal(size=(3, 5, 7))
    y, dx, _ = run(Dropout(0.3), x, np.ones_like(x))
    keep = np.array([philox_words(i // 4, 5, 1, 3)[i % 4] >= int(0.3 * 2**32) for i in range(x.size)]).reshape(x.shape)
    np.testing.assert_allclose(y, x * keep / 0.7, rtol=1e-12)
    np.testing.assert_allclose(dx, keep / 0.7, rtol=1e-12)


def test_dropout_statistics_and_clock():
    x = np.ones((10, 100, 101), np.float32)
    y, _, _ = run(Dropout(0.25), x)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.006  # four standard deviations
    again, other_step, other_seed = (run(Dropout(0.25), x, clock=c)[0] for c in ((3, 1), (3, 2), (4, 1)))
    assert (y == again).all() and (y != other_step).any() and (y != other_seed).any()
    assert run(Dropout(0.0), x)[0] is not None and (run(Dropout(0.0), x, x)[1] == x).all()
    assert isinstance(Dropout(0.5).inference(), Identity) and isinstance(SpatialDropout2D(0.5).inference(), Identity)


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (SpatialDropout2D(0.5), (1, 2)),
        (Dropout(0.5, (None, 1, None, 1)), (1, 3)),
        (Dropout(0.5, (1, None, None, None)), (0,)),
        (Dropout(0.5, (1, None, 1, None)), (0, 2)),
    ],
)
def test_noise_holds_for_whole_axes(layer, axes):
    x = np.ones((6, 5, 4, 7))
    y, dx, _ = run(layer, x, x)
    np.testing.assert_array_equal(y, dx)
    np.testing.assert_array_equal(y, np.broadcast_to(y.min(axis=axes, keepdims=True), y.shape))
    assert set(np.unique(y)) == {0, 2}


def test_prelu_shared_sums_are_exact_enough():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 9, 64, 64, 3)).astype(np.float32) + np.float32(1)
    _, _, dw = run(PReLU(shared_axes=(1, 2)), x, dy, {"alpha": np.zeros((1, 1, 3))})
    wanted = np.where(x > 0, 0, x.astype(float) * dy).sum((0, 1, 2))
    np.testing.assert_allclose(dw["alpha"][0, 0], wanted, rtol=1e-6)


def test_same_bits_for_any_number_of_threads():
    code = """
import numpy as np
from numbacnn.jit import set_threads
from numbacnn.layers.dropout import Dropout
from numbacnn.layers.mish import Mish
from numbacnn.layers.prelu import PReLU
from numbacnn.layers.softmax import Softmax
from test_elementwise import run
x, dy = np.random.default_rng(0).normal(size=(2, 3, 17, 13, 11)).astype(np.float32)
found = []
for threads in (1, 2):
    set_threads(threads)
    for layer, weights in ((Dropout(0.4), {}), (Mish(), {}), (Softmax(), {}), (PReLU(shared_axes=(1, 2)), {"alpha": np.full((1, 1, 11), 0.2)})):
        y, dx, dw = run(layer, x, dy, weights)
        found.append(b"".join(a.tobytes() for a in (y, dx, *dw.values())))
assert found[:4] == found[4:]
"""
    here = os.path.dirname(__file__)
    path = os.pathsep.join((here, os.path.dirname(here)))
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "2", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
