"""y = x * tanh(softplus(x))"""

import math
from dataclasses import dataclass

from ..layer import Elementwise


@dataclass(frozen=True)
class Mish(Elementwise):
    """Mish.  Shapes: (N, ...) -> the same.  Reference: Misra, Mish: a self regularized non-monotonic activation function, 2019.

    With e = exp(-|x|), tanh(softplus(x)) is a / (a + b), where a = 1 + 2e and b = 2e² for x ≥ 0, else a = e (e + 2) and b = 2:
    one exponential and one division, no overflow and no cancellation.
    """

    @staticmethod
    def f(x):
        e = math.exp(-abs(x))
        a = 1.0 + 2.0 * e if x >= 0.0 else e * (e + 2.0)
        b = 2.0 * e * e if x >= 0.0 else 2.0
        return x * (a / (a + b))

    @staticmethod
    def df(x):
        e = math.exp(-abs(x))
        a = 1.0 + 2.0 * e if x >= 0.0 else e * (e + 2.0)
        b = 2.0 * e * e if x >= 0.0 else 2.0
        c = 4.0 * e * (1.0 + e) * (e if x >= 0.0 else 1.0)  # (1 - tanh²) * sigmoid = c / (a + b)²
        w = 1.0 / (a + b)
        return a * w + x * c * w * w
