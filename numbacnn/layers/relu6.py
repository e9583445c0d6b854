"""y = min(max(x, 0), 6)"""

from dataclasses import dataclass

from ..layer import Elementwise


@dataclass(frozen=True)
class ReLU6(Elementwise):
    """ReLU that ends at 6.

    Shapes: (N, ...) -> the same.  Reference: Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010.
    """

    clamp = (0.0, 6.0)
    kinks = (0.0, 6.0)

    @staticmethod
    def f(x):
        return 0.0 if x < 0.0 else 6.0 if x > 6.0 else x

    @staticmethod
    def df(y):
        return 1.0 if y > 0.0 and y < 6.0 else 0.0
