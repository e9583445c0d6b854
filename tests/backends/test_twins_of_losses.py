"""Every registered loss on a simulated GPU beside the CPU: each sample's loss and the gradient."""

import pytest

from numbacnn import registry
from numbacnn.testing.twins import check_loss_twin

pytestmark = pytest.mark.sim

CLASSES = sorted({registry.losses[name] for name in registry.losses}, key=lambda c: c.__name__)
EXAMPLES = [pytest.param(loss, shape, id=f"{cls.__name__}-{i}") for cls in CLASSES for i, (loss, shape) in enumerate(cls.examples())]
# a row's threads: a part of a warp, one warp, a block; and rows that fill no block
WIDTHS = (2, 17, 33, 129, 300)


@pytest.mark.parametrize(("loss", "shape"), EXAMPLES)
def test_a_loss(loss, shape):
    check_loss_twin(loss, shape)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_rows_of_any_width(cls):
    loss = next(cls.examples())[0]
    for width in WIDTHS:
        check_loss_twin(loss, (width,), batch=1 if width > 33 else 5, seed=width)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_logits_far_from_zero(cls):
    check_loss_twin(next(cls.examples())[0], (5,), size=300.0)
