"""y = max(a, b, …)"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ..jit import compiled, kernel, prange
from .merging import Merge, merge, shrink


@compiled
def larger(a, b):
    return b if b > a or b != b else a  # NaN in either is NaN


@compiled
def first_wins(a, b):
    return not (b > a or b != b)


@kernel(flat=True)
def split(wins, dy, da, db):
    """The winner gets the gradient, the other one 0."""
    zero = dy.dtype.type(0)
    for i in prange(dy.size):
        first, g = wins[i] > zero, dy[i]
        da[i] = g if first else zero
        db[i] = zero if first else g


@dataclass(frozen=True)
class Extreme(Merge):
    """One of the inputs, place by place: the base of Maximum and Minimum."""

    pick: ClassVar[Callable]  # compiled: the one of two values
    first_wins: ClassVar[Callable]  # compiled: whether that is the first

    def forward(self, step: Any) -> tuple:
        best = [step.xs[0]]
        for x in step.xs[1:]:
            best.append(merge(step, self.pick, best[-1], x))
        step.y = best.pop()
        return tuple(best)

    def backward(self, step: Any, *best: Any) -> None:
        dy = step.dy  # by the best of all inputs up to i
        for i in reversed(range(1, len(step.xs))):
            before, x = best[i - 1], step.xs[i]
            wins = merge(step, self.first_wins, before, x)
            da, db = step.like(dy), step.like(dy)
            step.run(split, wins, dy, out=(da, db))
            step.dxs[i] = shrink(step, db, x)
            dy = shrink(step, da, before)
        step.dxs[0] = dy


@dataclass(frozen=True)
class Maximum(Extreme):
    """Largest of two or more inputs, place by place; of equal ones the first gets the gradient.

    Shapes: (N, ...) each, axes equal or 1 -> (N, ...).  Reference: maxout; Goodfellow et al., 2013.
    """

    pick = staticmethod(larger)
    first_wins = staticmethod(first_wins)
