"""(prediction - target)²"""

from collections.abc import Iterator
from dataclasses import dataclass

from .base import Pointwise


@dataclass(frozen=True)
class MeanSquaredError(Pointwise):
    """Mean of (prediction - target)² over all elements.  Targets: values (N, *shape)."""

    @staticmethod
    def f(z, t):
        return (z - t) * (z - t)

    @staticmethod
    def df(z, t):
        return 2.0 * (z - t)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (1,)
        yield cls(), (3, 2, 5)
