"""y = x where x > 0, else negative_slope * x"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..layer import Elementwise, option, positive


@dataclass(frozen=True)
class LeakyReLU(Elementwise):
    """ReLU with a small slope below zero. `activation="leaky_relu"` means a slope of 0.2, as in Keras.

    Shapes: (N, ...) -> the same.  Raises ConfigError where the slope is negative.
    Reference: Maas, Hannun, Ng: Rectifier nonlinearities improve neural network acoustic models, 2013.
    """

    negative_slope: float = option(0.3, low=0.0, high=1.0)

    kinks = (0.0,)

    def __post_init__(self):
        positive(self, "negative_slope", low=0)

    @staticmethod
    def f(x, negative_slope):
        return x if x > 0.0 else x * negative_slope

    @staticmethod
    def df(y, negative_slope):  # y has the sign of x
        return 1.0 if y > 0.0 else negative_slope

    @classmethod
    def from_activation(cls) -> "LeakyReLU":
        return cls(0.2)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(negative_slope=0.0), (1, 1, 5)
