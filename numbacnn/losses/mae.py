"""|prediction - target|"""

from collections.abc import Iterator
from dataclasses import dataclass

from .base import Pointwise


@dataclass(frozen=True)
class MeanAbsoluteError(Pointwise):
    """Mean of |prediction - target| over all elements; its gradient is 0 where they are equal.  Targets: values (N, *shape)."""

    kinks = (0.0,)  # of prediction - target

    @staticmethod
    def f(z, t):
        return abs(z - t)

    @staticmethod
    def df(z, t):
        return 1.0 if z > t else -1.0 if z < t else z - t

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (1,)
        yield cls(), (3, 2, 5)
