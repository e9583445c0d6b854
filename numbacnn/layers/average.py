"""y = (a + b + …) / inputs"""

from dataclasses import dataclass
from typing import Any

from ..jit import compiled
from ..kernels.broadcast import times
from .merging import Merge, merge, shrink


@compiled
def scaled_sum(a, b, scale):
    return (a + b) * scale


@dataclass(frozen=True)
class Average(Merge):
    """Mean of two or more inputs.  Shapes: (N, ...) each, axes equal or 1 -> (N, ...)."""

    def forward(self, step: Any) -> None:
        y, *others = step.xs
        for i, x in enumerate(others, 1):
            y = merge(step, scaled_sum, y, x, 1 / len(step.xs) if i == len(others) else 1.0)
        step.y = y

    def backward(self, step: Any) -> None:
        share = step.run(times, step.dy, 1 / len(step.xs), out=step.like(step.dy))
        for i, x in enumerate(step.xs):
            step.dxs[i] = shrink(step, share, x)
