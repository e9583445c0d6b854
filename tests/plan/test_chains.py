"""Elementwise layers that follow each other run in one pass in each direction, and give the same bits."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn import testing
from numbacnn.backends import open_backend
from numbacnn.plan import Plan

SHAPE = (5, 7, 3)
CHAINS = {
    "fields on every layer": (nn.LeakyReLU(0.1), nn.ELU(0.7), nn.ReLU(max_value=2.0, negative_slope=0.2, threshold=0.1)),
    "derivatives of y": (nn.Tanh(), nn.Sigmoid(), nn.Tanh()),
    "derivatives of x": (nn.Mish(), nn.GELU(), nn.Softplus()),
    "two": (nn.Swish(), nn.HardSwish()),
}


def run(layers, folding, keep=()):
    x = y = nn.Input(SHAPE, name="x")
    for i, layer in enumerate(layers):
        y = layer(y)
        y.call.handle.name = f"layer{i}"
    graph = nn.Model(x, y).graph
    plan = Plan(graph, 2, {}, open_backend("cpu"), training=True, folding=folding, keep=keep)
    random = np.random.default_rng(0)
    outputs = plan.run([2 * random.standard_normal((2, *SHAPE))], shares=[random.standard_normal((2, *SHAPE))]).outputs
    return plan, outputs[0], plan.input_gradient("x")


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
def test_one_pass_gives_the_same_bits(layers):
    alone, y, dx = run(layers, folding=False)
    chain, y_chain, dx_chain = run(layers, folding=True)
    assert (len(alone.launches), len(chain.launches)) == (2 * len(layers), 2)
    assert np.array_equal(y, y_chain) and np.array_equal(dx, dx_chain)


def test_a_value_that_is_kept_or_read_twice_ends_a_chain():
    layers = (nn.Tanh(), nn.Swish(), nn.Softplus())
    kept, _, _ = run(layers, folding=True, keep=("layer1",))
    assert len(kept.launches) == 4
    x = nn.Input(SHAPE, name="x")
    y = nn.Tanh(name="tanh")(x)
    graph = nn.Model(x, nn.Add(name="sum")([nn.Swish(name="swish")(y), y])).graph
    plan = Plan(graph, 2, {}, open_backend("cpu"))
    assert [launch.node for launch in plan.launches] == ["tanh", "swish", "sum"]


def test_a_last_sigmoid_stays_the_loss_s():
    x = nn.Input((4,), name="x")
    model = nn.Model(x, nn.Sigmoid(name="probability")(nn.Tanh(name="tanh")(nn.Dense(1, name="dense")(x))), seed=0)
    model.compile("sgd", "binary_cross_entropy")
    model.train_on_batch(np.full((2, 4), 1e3), np.array([0, 1]))
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("layers", [CHAINS["derivatives of x"], (nn.LeakyReLU(0.1), nn.Tanh(), nn.Swish())], ids=["smooth", "kinks first"])
def test_gradient(layers):
    first, *others = layers
    chain = first
    for layer in others:
        chain = chain.before(layer)
    testing.check_gradient(chain, SHAPE)
