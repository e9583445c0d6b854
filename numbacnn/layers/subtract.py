"""y = a - b"""

from dataclasses import dataclass
from typing import Any

from ..jit import compiled
from ..kernels.broadcast import times
from .merging import Merge, merge, shrink


@compiled
def difference(a, b):
    return a - b


@dataclass(frozen=True)
class Subtract(Merge):
    """First input minus the second.  Shapes: (N, ...) twice, axes equal or 1 -> (N, ...)."""

    most = 2

    def forward(self, step: Any) -> None:
        step.y = merge(step, difference, *step.xs)

    def backward(self, step: Any) -> None:
        a, b = step.xs
        step.dxs[0] = shrink(step, step.dy, a)
        total = shrink(step, step.dy, b)
        step.dxs[1] = step.run(times, total, -1.0, out=step.like(b))
