"""y = a * b * …"""

from dataclasses import dataclass
from typing import Any

from ..jit import compiled
from .merging import Merge, merge, shrink


@compiled
def product(a, b):
    return a * b


@dataclass(frozen=True)
class Multiply(Merge):
    """Product of two or more inputs.

    Shapes: (N, ...) each, axes equal or 1 -> (N, ...); (N, 1, 1, C) times (N, H, W, C) scales channels
    (squeeze-and-excite; Hu et al., 2018).
    """

    def forward(self, step: Any) -> tuple:
        products = [step.xs[0]]
        for x in step.xs[1:]:
            products.append(merge(step, product, products[-1], x))
        step.y = products.pop()
        return tuple(products)

    def backward(self, step: Any, *products: Any) -> None:
        dy = step.dy  # by the product of all inputs up to i; no division: an input may be 0
        for i in reversed(range(1, len(step.xs))):
            before, x = products[i - 1], step.xs[i]
            step.dxs[i] = shrink(step, merge(step, product, dy, before), x)
            dy = shrink(step, merge(step, product, dy, x), before)
        step.dxs[0] = dy
