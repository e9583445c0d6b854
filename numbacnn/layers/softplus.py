"""y = ln(1 + e^x)"""

from dataclasses import dataclass

from ..kernels.scalar import sigmoid, softplus
from ..layer import Elementwise


@dataclass(frozen=True)
class Softplus(Elementwise):
    """A smooth ReLU, without overflow for any x.

    Shapes: (N, ...) -> the same.  Reference: Dugas et al., Incorporating second-order functional knowledge, 2001.
    """

    @staticmethod
    def f(x):
        return softplus(x)

    @staticmethod
    def df(x):
        return sigmoid(x)
