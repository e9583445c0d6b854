"""y = tanh(x)"""

import math
from dataclasses import dataclass

from ..layer import Elementwise


@dataclass(frozen=True)
class Tanh(Elementwise):
    """Hyperbolic tangent.  Shapes: (N, ...) -> the same."""

    @staticmethod
    def f(x):
        return math.tanh(x)

    @staticmethod
    def df(y):
        return 1.0 - y * y
