"""y = x * min(max(x / 6 + 1/2, 0), 1)"""

from dataclasses import dataclass

from ..layer import Elementwise


@dataclass(frozen=True)
class HardSwish(Elementwise):
    """Swish with a sigmoid made of straight lines, also called hard SiLU.

    Shapes: (N, ...) -> the same.  Reference: Howard et al., Searching for MobileNetV3, 2019.
    """

    kinks = (-3.0, 3.0)

    @staticmethod
    def f(x):
        s = x * (1.0 / 6.0) + 0.5
        return x * (0.0 if s < 0.0 else 1.0 if s > 1.0 else s)

    @staticmethod
    def df(x):
        return 0.0 if x < -3.0 else 1.0 if x > 3.0 else x * (1.0 / 3.0) + 0.5
