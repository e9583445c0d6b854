"""y = scale * x where x > 0, else scale * alpha * (e^x - 1)"""

import math
from dataclasses import dataclass

from ..layer import Elementwise


@dataclass(frozen=True)
class SELU(Elementwise):
    """Scaled exponential linear unit, whose two constants keep mean 0 and variance 1 from layer to layer.

    Shapes: (N, ...) -> the same.  Reference: Klambauer et al., Self-normalizing neural networks, 2017.
    """

    kinks = (0.0,)

    @staticmethod
    def f(x):
        return x * 1.0507009873554805 if x > 0.0 else 1.7580993408473766 * math.expm1(x)

    @staticmethod
    def df(x):
        return 1.0507009873554805 if x > 0.0 else 1.7580993408473766 * math.exp(x)
