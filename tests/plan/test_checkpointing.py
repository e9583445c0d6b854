"""Computing outputs again instead of keeping them: the same bits, in less memory."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.backends import open_backend
from numbacnn.errors import ConfigError, UnknownNameError
from numbacnn.plan import Plan

SHAPE = (16, 16, 3)


def model():
    x = y = nn.Input(SHAPE, name="image")
    for i in range(6):
        z = nn.ReLU(name=f"relu{i}")(nn.BatchNormalization(name=f"bn{i}")(nn.Conv2D(8, 3, padding="same", name=f"conv{i}")(y)))
        y = z if i == 0 else nn.ReLU(name=f"out{i}")(nn.Add(name=f"add{i}")([nn.Dropout(0.2, name=f"drop{i}")(z), y]))
    return nn.Model(x, nn.Dense(4, name="dense")(nn.GlobalAveragePooling2D(name="pool")(y)), seed=3)


def trained(checkpointing):
    made = model()
    weights = made.network.weights()
    plan = Plan(made.graph, 4, weights, open_backend("cpu"), training=True, trainable=frozenset(made.handles), checkpointing=checkpointing)
    images = np.random.default_rng(0).standard_normal((4, *SHAPE)).astype(np.float32)
    for step in range(2):  # running statistics must move once a step
        y = plan.run([images], shares=[np.ones((4, 4))], clock=(5, step)).outputs[0]
    results = {"y": y, "dx": plan.input_gradient("image"), **{p: plan.weight_gradient(p) for p in plan.trace.weight_gradients}, **weights}
    return results, plan


@pytest.mark.parametrize("cuts", [True, ["out1", "out3"], ["relu0"], ["image", "pool"]])
def test_the_same_bits_in_less_memory(cuts):
    expected, whole = trained(False)
    results, plan = trained(cuts)
    for name, value in expected.items():
        assert np.array_equal(results[name], value), name
    if cuts is True or (len(cuts) > 1 and "image" not in cuts):
        assert plan.arena_bytes < 0.8 * whole.arena_bytes
        assert len(plan.launches) > len(whole.launches)


def test_a_cut_must_be_a_layer_with_an_output():
    with pytest.raises(UnknownNameError, match="out9"):
        trained(["out9"])
    with pytest.raises(ConfigError, match="'bn1' is computed together with"):
        trained(["bn1"])
