"""y = max(x, 0), with Keras' three options"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..layer import Elementwise, option, positive


@dataclass(frozen=True)
class ReLU(Elementwise):
    """Rectified linear unit: max_value where x ≥ max_value, x where x ≥ threshold, else negative_slope * (x - threshold).

    Shapes: (N, ...) -> the same.  Raises ConfigError where an option is negative.
    Reference: Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.
    """

    max_value: float | None = option(None, values=(None, 1.0, 6.0))
    negative_slope: float = option(0.0, low=0.0, high=1.0)
    threshold: float = option(0.0, low=0.0, high=1.0)

    def __post_init__(self):
        positive(self, "negative_slope", "threshold", low=0)
        if self.max_value is not None:
            positive(self, "max_value", low=0)

    @property
    def top(self) -> float:
        """The largest value."""
        return math.inf if self.max_value is None else self.max_value

    @property
    def clamp(self) -> tuple[float, float] | None:
        return (0.0, self.top) if self.negative_slope == 0 and self.threshold == 0 else None

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.threshold,) if self.max_value is None else (self.threshold, self.max_value)

    def functions(self) -> tuple[Callable, Callable]:
        return (clamped, clamped_df) if self.clamp else (general, general_df)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(max_value=1.0), (1, 1, 5)
        yield cls(max_value=1.5, negative_slope=0.1, threshold=0.25), (3, 7, 2)
        yield cls(negative_slope=0.2), (11,)


def clamped(x, top):  # comparisons, not min and max: NaN must come through
    return 0.0 if x < 0.0 else top if x > top else x


def clamped_df(y, top):
    return 1.0 if y > 0.0 and y < top else 0.0


def general(x, top, negative_slope, threshold):
    return top if x >= top else x if x >= threshold else negative_slope * (x - threshold)


def general_df(x, top, negative_slope, threshold):
    return 0.0 if x >= top else 1.0 if x >= threshold else negative_slope
