"""Penalties on the size of weights, by Keras' names: `kernel_regularizer="l2"` or `kernel_regularizer=nn.L2(1e-4)`."""

from dataclasses import dataclass
from typing import ClassVar

from .errors import UnknownNameError


@dataclass(frozen=True)
class Regularizer:
    """Adds l1 * sum(|w|) + l2 * sum(w²) to the loss."""

    l1: ClassVar[float] = 0.0
    l2: ClassVar[float] = 0.0


@dataclass(frozen=True)
class L1(Regularizer):
    """l1 * sum(|w|): drives weights to zero (lasso; Tibshirani, 1996)."""

    l1: float = 0.01


@dataclass(frozen=True)
class L2(Regularizer):
    """l2 * sum(w²): keeps weights small (ridge; Keras' l2, without the half)."""

    l2: float = 0.01


@dataclass(frozen=True)
class L1L2(Regularizer):
    """Both penalties (elastic net; Zou and Hastie, 2005)."""

    l1: float = 0.01
    l2: float = 0.01


_NAMES = {"l1": L1, "l2": L2, "l1l2": L1L2, "l1_l2": L1L2}


def get(spec: "str | Regularizer | None") -> Regularizer | None:
    """The regularizer that a layer's field names."""
    if spec is None or isinstance(spec, Regularizer):
        return spec
    if spec not in _NAMES:
        raise UnknownNameError("regularizer", spec, _NAMES)
    return _NAMES[spec]()
