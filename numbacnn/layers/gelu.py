"""y = x * P(X ≤ x) for a standard normal X"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..kernels.scalar import sigmoid
from ..layer import Elementwise, option


@dataclass(frozen=True)
class GELU(Elementwise):
    """Gaussian error linear unit, exact (by erf) or with the tanh that approximates it.

    Shapes: (N, ...) -> the same.  Reference: Hendrycks and Gimpel, Gaussian error linear units, 2016.
    """

    approximate: bool = option(False, values=(False, True))

    def functions(self) -> tuple[Callable, Callable]:
        return (by_tanh, by_tanh_df) if self.approximate else (by_erf, by_erf_df)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(approximate=True), (1, 1, 5)


def by_erf(x):
    return 0.5 * x * (1.0 + math.erf(x * 0.7071067811865476))


def by_erf_df(x):
    density = 0.3989422804014327 * math.exp(-0.5 * x * x)
    return 0.5 * (1.0 + math.erf(x * 0.7071067811865476)) + x * density


def by_tanh(x):  # (1 + tanh(u)) / 2 = sigmoid(2 u), which is accurate in the tail too
    return x * sigmoid(1.5957691216057308 * x * (1.0 + 0.044715 * x * x))


def by_tanh_df(x):
    s = sigmoid(1.5957691216057308 * x * (1.0 + 0.044715 * x * x))
    return s + x * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * x * x)
