"""Every layer on a simulated GPU beside the CPU: forward, gradients, running statistics. `make sim` runs this folder by itself."""

import pytest

from numbacnn import registry
from numbacnn.testing.twins import check_twin

pytestmark = pytest.mark.sim

CASES = [
    pytest.param(layer, shapes, id=f"{name}-{i}")
    for name in registry.layers
    if name == registry.layers[name].__name__ != "Input"
    for i, (layer, *shapes) in enumerate(registry.layers[name].examples())
]


@pytest.mark.parametrize(("layer", "shapes"), CASES)
def test_a_layer(layer, shapes):
    check_twin(layer, *shapes)
