"""y = min(max(slope * x + 1/2, 0), 1)"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ConfigError
from ..layer import Elementwise, option


@dataclass(frozen=True)
class HardSigmoid(Elementwise):
    """Sigmoid made of three straight lines. The slope of the middle one is 1/6 in Keras 3, and was 0.2 before.

    Shapes: (N, ...) -> the same.  Raises ConfigError where the slope is not positive.
    Reference: Howard et al., Searching for MobileNetV3, 2019.
    """

    slope: float = option(1.0 / 6.0, low=0.1, high=0.5)

    def __post_init__(self):
        if not self.slope > 0:
            raise ConfigError(f"HardSigmoid: slope={self.slope!r} must be greater than 0")

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-0.5 / self.slope, 0.5 / self.slope)

    @staticmethod
    def f(x, slope):
        y = x * slope + 0.5
        return 0.0 if y < 0.0 else 1.0 if y > 1.0 else y

    @staticmethod
    def df(y, slope):
        return slope if y > 0.0 and y < 1.0 else 0.0

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(slope=0.2), (1, 1, 5)
        yield cls(slope=0.4), (11,)
