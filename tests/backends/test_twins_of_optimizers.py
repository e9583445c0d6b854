"""Every registered optimizer on a simulated GPU beside the CPU: weights and slots after some steps, over groups, decay and ways of clipping."""

import pytest

from numbacnn import registry
from numbacnn.testing.twins import check_optimizer_twin

pytestmark = pytest.mark.sim

CASES = [pytest.param(optimizer, id=f"{name}-{i}") for name in registry.optimizers for i, optimizer in enumerate(registry.optimizers[name].examples())]


@pytest.mark.parametrize("optimizer", CASES)
def test_an_optimizer(optimizer):
    check_optimizer_twin(optimizer)
