"""Squared near zero, linear beyond."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..layer import option, positive
from .base import Pointwise


@dataclass(frozen=True)
class Huber(Pointwise):
    """Mean over all elements of e² / 2 where |e| ≤ delta, else delta (|e| - delta / 2), with e = prediction - target.

    Targets: values (N, *shape).  Reference: Huber, 1964.
    """

    delta: float = option(1.0, low=0.1, high=3.0)

    def __post_init__(self):
        positive(self, "delta", low=1e-12)

    @staticmethod
    def f(z, t, delta):
        e = abs(z - t)
        return 0.5 * e * e if e <= delta else delta * (e - 0.5 * delta)

    @staticmethod
    def df(z, t, delta):
        return min(max(z - t, -delta), delta) if z == z else z

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (1,)
        yield cls(0.3), (3, 2, 5)
