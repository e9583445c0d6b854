"""Elementwise layers with a number a channel that learns, as a plugin would write them; LayerScale is in tests/test_every_layer.py."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

import numbacnn as nn
from numbacnn import testing
from numbacnn.kernels.scalar import sigmoid


@dataclass(frozen=True)
class Slope(nn.Elementwise):
    """PReLU with a slope a channel."""

    kinks = (0.0,)
    alpha = nn.PerChannel()

    @staticmethod
    def f(x, alpha):
        return x if x > 0.0 else alpha * x

    @staticmethod
    def df(x, alpha):
        return 1.0 if x > 0.0 else alpha

    @staticmethod
    def df_alpha(x):
        return 0.0 if x > 0.0 else x


@dataclass(frozen=True)
class LearnedSwish(nn.Elementwise):
    """x * sigmoid(beta * x)"""

    beta = nn.PerChannel("ones", regularizer="l2")

    @staticmethod
    def f(x, beta):
        return x * sigmoid(beta * x)

    @staticmethod
    def df(x, beta):
        s = sigmoid(beta * x)
        return s * (1.0 + beta * x * (1.0 - s))

    @staticmethod
    def df_beta(x, beta):
        s = sigmoid(beta * x)
        return x * x * s * (1.0 - s)


@dataclass(frozen=True)
class Scaled(nn.Elementwise):
    """factor * high * tanh(x) + low + fixed: two weights that learn, one that does not, a field, and derivatives of x, of y and of nothing."""

    factor: float = nn.option(0.5, low=0.1, high=2.0)

    low = nn.PerChannel()
    high = nn.PerChannel("ones")
    fixed = nn.PerChannel("ones", trainable=False)

    @staticmethod
    def f(x, high, factor, low, fixed):
        return factor * high * math.tanh(x) + low + fixed

    @staticmethod
    def df(x, factor, high):
        t = math.tanh(x)
        return factor * high * (1.0 - t * t)

    @staticmethod
    def df_low():
        return 1.0

    @staticmethod
    def df_high(y, low, high, fixed):
        return (y - low - fixed) / high

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)


@dataclass(frozen=True)
class Shifted(nn.Elementwise):
    """x + by, where by never learns"""

    by = nn.PerChannel(trainable=False)

    @staticmethod
    def f(x, by):
        return x + by

    @staticmethod
    def df():
        return 1.0


ORACLES = {
    Shifted: lambda layer, w, x, training: x + w["by"],
    Slope: lambda layer, w, x, training: np.where(x > 0, x, w["alpha"] * x),
    LearnedSwish: lambda layer, w, x, training: x / (1 + np.exp(-w["beta"] * x)),
    Scaled: lambda layer, w, x, training: layer.factor * w["high"] * np.tanh(x) + w["low"] + w["fixed"],
}
SHAPES = [(4, 5, 3), (1, 1, 5), (3, 35), (2, 2, 300), (1,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layer", [Slope(), LearnedSwish(), Scaled(0.7), Shifted()], ids=str)
def test_values_and_gradients(layer, shape):
    testing.check_layer(layer, shape, oracle=lambda it, *args, **how: ORACLES[type(it)](it, *args, **how))


@pytest.mark.parametrize("shape", [(61, 53, 3), (9, 7, 300)], ids=str)  # several blocks, several pieces of a line
def test_gradient_over_many_blocks(shape):
    testing.check_gradient(Scaled(), shape, batch=7)


def test_starts_and_is_kept(tmp_path):
    x = nn.Input((None, None, 3))
    model = nn.Model(x, LearnedSwish(name="swish")(x))
    assert [w.tolist() for w in model.get_weights()] == [[1, 1, 1]]
    model.set_weights([np.array([0, 1, 2])])
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 3)).astype(np.float32)
    assert np.allclose(model.predict(x), x / (1 + np.exp(-x * np.array([0, 1, 2]))), atol=1e-6)


def test_learns():
    random = np.random.default_rng(0)
    x = random.standard_normal((64, 4, 4, 3)).astype(np.float32)
    wanted = np.where(x > 0, x, np.array([0.1, 0.2, -0.3], np.float32) * x)
    source = nn.Input((4, 4, 3))
    model = nn.Model(source, Slope()(source))
    model.compile(nn.SGD(0.3), "mse")
    model.fit(x, wanted, epochs=40, batch_size=16)
    assert np.allclose(model.get_weights()[0], [0.1, 0.2, -0.3], atol=1e-3)


def test_what_is_missing_is_named():
    @dataclass(frozen=True)
    class Forgetful(nn.Elementwise):
        gain = nn.PerChannel()

        @staticmethod
        def f(x, gain):
            return x * gain

        @staticmethod
        def df(gain):
            return gain

    with pytest.raises(nn.ConfigError, match=r"Forgetful learns 'gain' but has no df_gain: add f's derivative by it, or trainable=False"):
        testing.check_gradient(Forgetful(), (4, 3))
    with pytest.raises(nn.ShapeError, match="number of channels"):
        Slope().output_shape((4, 5, None))


def test_same_bits_for_any_number_of_threads():
    code = """
import numpy as np
from numbacnn.backends import cpu
from numbacnn import testing
from test_per_channel import LearnedSwish, Scaled
cpu.SMALL = 0
found = []
for threads in (1, 2):
    cpu.jit.available_threads = lambda threads=threads: threads
    for layer in (LearnedSwish(), Scaled()):
        generator = np.random.default_rng(0)
        shape = (33, 29, 11)
        weights = testing.draw_weights(layer, (shape,), generator, np.float32)
        xs = [x.astype(np.float32) for x in testing.draw_inputs((shape,), 5, generator)]
        plan = testing.plan_of(layer, (shape,), 5, weights, training=True)
        result = plan.run(xs, shares=[generator.standard_normal(plan.trace.seeds[0].shape)])
        found.append(result.outputs[0].tobytes() + b"".join(plan.weight_gradient(p).tobytes() for p in plan.trace.weight_gradients))
assert found[:2] == found[2:]
"""
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join((os.path.dirname(__file__), *sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
