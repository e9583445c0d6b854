"""y = x / (1 + |x|)"""

from dataclasses import dataclass

from ..layer import Elementwise


@dataclass(frozen=True)
class Softsign(Elementwise):
    """A sigmoid from -1 to 1 that saturates slowly.  Shapes: (N, ...) -> the same.  Reference: Glorot and Bengio, 2010."""

    @staticmethod
    def f(x):
        return x / (1.0 + abs(x))

    @staticmethod
    def df(y):  # 1 / (1 + |x|)²
        rest = 1.0 - abs(y)
        return rest * rest
