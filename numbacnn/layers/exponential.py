"""y = e^x"""

import math
from dataclasses import dataclass

from ..layer import Elementwise


@dataclass(frozen=True)
class Exponential(Elementwise):
    """The exponential function.  Shapes: (N, ...) -> the same."""

    @staticmethod
    def f(x):
        return math.exp(x)

    @staticmethod
    def df(y):
        return y
