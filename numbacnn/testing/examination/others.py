"""What is checked of losses, optimizers, metrics, augmentations, models and commands: what a test of them calls, on what they say of themselves."""

from collections.abc import Iterable
from typing import Any

from ...errors import ShapeError
from ..augmentations import check_augmentation
from ..commands import check_command
from ..losses import check_loss
from ..metrics import check_metric
from ..models import check_model
from ..optimizers import check_optimizer

SIDES = (32, 96, 224)  # of the images that a model is tried on, the first that are large enough for it


def loss(cls: type) -> str:
    """Values, gradients, float32, extremes, for every example."""
    return _all((check_loss(one, shape) for one, shape in cls.examples()))


def optimizer(cls: type) -> str:
    return _all(check_optimizer(one) for one in cls.examples())


def metric(cls: type) -> str:
    return _all(check_metric(one) for one in _examples(cls))


def augmentation(cls: type) -> str:
    return _all(check_augmentation(one) for one in _examples(cls))


def model(function: Any) -> str:
    """With its default options, on the smallest images that it takes."""
    for side in SIDES[:-1]:
        try:
            check_model(function, (side, side, 3))
        except ShapeError:
            continue
        return f"{side} x {side} pixels"
    check_model(function, (SIDES[-1], SIDES[-1], 3))
    return f"{SIDES[-1]} x {SIDES[-1]} pixels"


def command(name: str) -> str:
    check_command(name)
    return ""


def _examples(cls: type) -> Iterable[Any]:
    return cls.examples() if hasattr(cls, "examples") else (cls(),)


def _all(done: Iterable) -> str:
    count = sum(1 for _ in done)
    assert count, "examples() yields nothing"
    return f"{count} examples"
