"""y = x * sigmoid(x)"""

from dataclasses import dataclass

from ..kernels.scalar import sigmoid
from ..layer import Elementwise


@dataclass(frozen=True)
class Swish(Elementwise):
    """Swish, also called SiLU.

    Shapes: (N, ...) -> the same.
    Reference: Hendrycks and Gimpel, 2016 (SiLU); Ramachandran, Zoph, Le: Searching for activation functions, 2017.
    """

    @staticmethod
    def f(x):
        return x * sigmoid(x)

    @staticmethod
    def df(x):
        s = sigmoid(x)
        return s * (1.0 + x * (1.0 - s))
