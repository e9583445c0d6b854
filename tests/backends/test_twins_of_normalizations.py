"""Normalizations on a simulated GPU with what stands around them folded in: statistics that a convolution hands over, a residual, a clamp."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.testing.twins import check_model_twin

pytestmark = pytest.mark.sim


def batch(x, a):
    return nn.ReLU()(nn.Add()([nn.BatchNormalization()(x), a]))


def clamped(x, a):
    return nn.Add()([nn.ReLU(max_value=0.7)(nn.BatchNormalization()(x)), a])


def groups(x, a):
    return nn.ReLU()(nn.Add()([nn.GroupNormalization(3)(x), a]))


def behind_a_convolution(x, a):
    return nn.ReLU()(nn.Add()([nn.BatchNormalization()(nn.Conv2D(3, 1, use_bias=False)(x)), a]))


@pytest.mark.parametrize("build", [batch, clamped, groups, behind_a_convolution], ids=lambda f: f.__name__)
@pytest.mark.parametrize("size", [(3, 5), (1, 1)], ids=str)
def test_folded(build, size):
    x = nn.Input((*size, 3))
    model = nn.Model(x, build(nn.Swish()(x), nn.Tanh()(x)), seed=3)
    for handle in model.layers:
        for name in handle.order():
            handle.put(name, handle.arrays[name] + np.float32(0.3) * np.random.default_rng(1).random(handle.arrays[name].shape, np.float32))
    check_model_twin(model)
