"""Layers on simulated tensor cores, through the whole plan, against the CPU, which rounds the same factors."""

import pytest

from numbacnn.layers.conv2d import Conv2D
from numbacnn.layers.conv2d_transpose import Conv2DTranspose
from numbacnn.layers.dense import Dense
from numbacnn.testing.twins import check_twin

pytestmark = pytest.mark.sim

LAYERS = [
    (Conv2D(5, 3, padding="same", activation="relu"), (5, 7, 3)),
    (Conv2D(17, (3, 2), 2, "same", use_bias=False), (6, 5, 1)),
    (Conv2D(4, 2, dilation_rate=(2, 1)), (4, 5, 17)),
    (Conv2D(8, 1), (4, 3, 4)),
    (Conv2DTranspose(4, 3, 2, "same"), (3, 2, 8)),
    (Dense(19, activation="relu"), (5, 3)),
]


CASES = [(layer, shape, precision) for i, (layer, shape) in enumerate(LAYERS) for precision in (("tf32", "bf16") if i < 2 else ("tf32", "bf16")[i % 2 :][:1])]


@pytest.mark.parametrize("layer, shape, precision", CASES, ids=lambda value: value if isinstance(value, str) else type(value).__name__)
def test_a_layer_on_tensor_cores_is_what_the_cpu_makes(layer, shape, precision):
    check_twin(layer, shape, batch=1, tolerance=1e-5, precision=precision)
