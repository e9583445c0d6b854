"""y = min(a, b, …)"""

from dataclasses import dataclass
from typing import Any

from ..jit import compiled
from .maximum import split
from .merging import Merge, merge, shrink


@compiled
def smaller(a, b):
    return b if b < a or b != b else a  # NaN in either is NaN


@compiled
def first_is_least(a, b):
    return not (b < a or b != b)


@dataclass(frozen=True)
class Minimum(Merge):
    """Smallest of two or more inputs, place by place; of equal ones the first gets the gradient.

    Shapes: (N, ...) each, axes equal or 1 -> (N, ...).
    """

    def forward(self, step: Any) -> tuple:
        smallest = [step.xs[0]]
        for x in step.xs[1:]:
            smallest.append(merge(step, smaller, smallest[-1], x))
        step.y = smallest.pop()
        return tuple(smallest)

    def backward(self, step: Any, *smallest: Any) -> None:
        dy = step.dy  # by the smallest of all inputs up to i
        for i in reversed(range(1, len(step.xs))):
            before, x = smallest[i - 1], step.xs[i]
            wins = merge(step, first_is_least, before, x)
            da, db = step.like(dy), step.like(dy)
            step.run(split, wins, dy, out=(da, db))
            step.dxs[i] = shrink(step, db, x)
            dy = shrink(step, da, before)
        step.dxs[0] = dy
