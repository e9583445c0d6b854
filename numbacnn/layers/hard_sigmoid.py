"""y = min(max(x / 6 + 1/2, 0), 1)"""

from dataclasses import dataclass

from ..layer import Elementwise


@dataclass(frozen=True)
class HardSigmoid(Elementwise):
    """Sigmoid made of three straight lines, as in Keras 3: 0 below -3, 1 above 3.

    Shapes: (N, ...) -> the same.  Reference: Howard et al., Searching for MobileNetV3, 2019.
    """

    kinks = (-3.0, 3.0)

    @staticmethod
    def f(x):
        y = x * (1.0 / 6.0) + 0.5
        return 0.0 if y < 0.0 else 1.0 if y > 1.0 else y

    @staticmethod
    def df(y):
        return 1.0 / 6.0 if y > 0.0 and y < 1.0 else 0.0
