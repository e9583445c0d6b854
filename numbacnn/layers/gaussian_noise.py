"""Random numbers added while training"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..jit import kernel, prange
from ..kernels.random import normal
from ..layer import Layer, option, positive
from .identity import Identity


@kernel(flat=True, wide=True)
def add_noise(x, clock, stream, stddev, y):
    for i in prange(y.size):
        y[i] = x[i] + x.dtype.type(normal(i, stream, clock[1], clock[0])) * stddev


@dataclass(frozen=True)
class GaussianNoise(Layer):
    """In training, adds normal random numbers of mean 0 and standard deviation `stddev`; else nothing.

    Shapes: (N, ...) -> the same.  Raises ConfigError where stddev is negative.
    Reference: Bishop, Training with noise is equivalent to Tikhonov regularization, 1995.
    """

    stddev: float = option(low=0.0, high=1.0)

    def __post_init__(self):
        positive(self, "stddev", low=0)

    def inference(self) -> Layer:
        return Identity()

    def forward(self, step: Any) -> None:
        step.run(add_noise, step.x, step.clock, step.stream, float(self.stddev), out=step.y)

    def backward(self, step: Any) -> None:
        step.dx = step.dy

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(0.5), (4, 5, 3)
        yield cls(0.0), (7,)
