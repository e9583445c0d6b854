"""y = x where x > 0, else alpha * (e^x - 1)"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..layer import Elementwise, option


@dataclass(frozen=True)
class ELU(Elementwise):
    """Exponential linear unit.

    Shapes: (N, ...) -> the same.  Reference: Clevert, Unterthiner, Hochreiter: Fast and accurate deep network learning by ELUs, 2016.
    """

    alpha: float = option(1.0, low=0.0, high=2.0)

    kinks = (0.0,)

    @staticmethod
    def f(x, alpha):
        return x if x > 0.0 else alpha * math.expm1(x)

    @staticmethod
    def df(x, alpha):
        return 1.0 if x > 0.0 else alpha * math.exp(x)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(alpha=0.5), (1, 1, 5)
