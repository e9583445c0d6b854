"""Random factors around 1 while training"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..jit import kernel, prange
from ..kernels.random import normal
from ..layer import Layer, option
from .dropout import check_rate
from .identity import Identity


@kernel(flat=True, wide=True)
def times_noise(x, clock, stream, stddev, y):
    """y = x * (1 + stddev * normal). The numbers are made anew for backward: that is cheaper than keeping them."""
    one = x.dtype.type(1)
    for i in prange(y.size):
        y[i] = x[i] * (one + x.dtype.type(normal(i, stream, clock[1], clock[0])) * stddev)


@dataclass(frozen=True)
class GaussianDropout(Layer):
    """In training, multiplies each value by a normal random number of mean 1 and variance rate / (1 - rate), as dropout's; else nothing.

    rate   0 ≤ rate < 1

    Shapes: (N, ...) -> the same.  Raises ConfigError for a bad rate.
    Reference: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014, section 10.
    """

    rate: float = option(0.5, low=0.0, high=0.9)

    def __post_init__(self):
        check_rate(self)

    def inference(self) -> Layer:
        return Identity()

    def _note(self, step: Any, x: Any, y: Any) -> None:
        step.run(times_noise, x, step.clock, step.stream, math.sqrt(self.rate / (1 - self.rate)), out=y)

    def forward(self, step: Any) -> None:
        self._note(step, step.x, step.y)

    def backward(self, step: Any) -> None:
        self._note(step, step.dy, step.dx)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(rate=0.0), (7,)
        yield cls(rate=0.2), (1, 1, 11)
