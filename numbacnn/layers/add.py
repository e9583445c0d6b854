"""y = a + b + …"""

from dataclasses import dataclass
from typing import Any

from ..jit import compiled
from .merging import Merge, merge, shrink


@compiled
def clamped_sum(a, b, lo, hi):
    s = a + b
    return lo if s < lo else hi if s > hi else s  # NaN stays NaN


@dataclass(frozen=True)
class Add(Merge):
    """Sum of two or more inputs.

    Shapes: (N, ...) each, axes equal or 1 -> (N, ...).  Reference: the shortcut of He et al., 2015.
    """

    adds = True
    takes_clamp = True

    def forward(self, step: Any) -> None:
        y, *others = step.xs
        for i, x in enumerate(others, 1):
            y = merge(step, clamped_sum, y, x, *(step.clamp if i == len(others) else (-float("inf"), float("inf"))))
        step.y = y

    def backward(self, step: Any) -> None:
        for i, x in enumerate(step.xs):
            step.dxs[i] = shrink(step, step.dy, x)
