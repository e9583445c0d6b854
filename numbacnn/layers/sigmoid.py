"""y = 1 / (1 + e^-x)"""

from dataclasses import dataclass

from ..kernels.scalar import sigmoid
from ..layer import Elementwise


@dataclass(frozen=True)
class Sigmoid(Elementwise):
    """Logistic function, without overflow for any x. Losses work from the logits before it.

    Shapes: (N, ...) -> the same.
    """

    link = "sigmoid"

    @staticmethod
    def f(x):
        return sigmoid(x)

    @staticmethod
    def df(y):
        return y * (1.0 - y)
