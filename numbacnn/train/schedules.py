"""How the learning rate goes through training: a factor for each step, by name or as a frozen dataclass."""

import math
from dataclasses import dataclass

from ..errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class Schedule:
    """factor(progress) multiplies every group's learning rate; progress runs from 0 (first step) to 1 (end of training)."""

    def factor(self, progress: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """The learning rate as it is."""

    def factor(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to the full rate along a cosine, then down to almost nothing (Smith and Topin, 2018; fastai's defaults).

    start: fraction of training spent on the way up; div, div_final: the rate begins at rate / div and ends at rate / div_final.
    """

    start: float = 0.25
    div: float = 25.0
    div_final: float = 1e5

    def __post_init__(self):
        if not 0 <= self.start < 1 or self.div < 1 or self.div_final < 1:
            raise ConfigError(f"OneCycle: start={self.start} must lie in [0, 1), div={self.div} and div_final={self.div_final} be at least 1")

    def factor(self, progress: float) -> float:
        if progress < self.start:
            return _cosine(1 / self.div, 1.0, progress / self.start)
        return _cosine(1.0, 1 / self.div_final, (progress - self.start) / (1 - self.start))


@dataclass(frozen=True)
class Cosine(Schedule):
    """Down along half a cosine to `end` times the rate (Loshchilov and Hutter, 2017)."""

    end: float = 0.0

    def factor(self, progress: float) -> float:
        return _cosine(1.0, self.end, progress)


def _cosine(first: float, last: float, t: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(max(t, 0.0), 1.0))) / 2


NAMES = {"constant": Constant, "one_cycle": OneCycle, "cosine": Cosine}


def get(spec: "str | Schedule | None") -> Schedule:
    """The schedule that a name or a Schedule means; None is constant."""
    if spec is None:
        return Constant()
    if isinstance(spec, Schedule):
        return spec
    if spec not in NAMES:
        raise UnknownNameError("schedule", spec, NAMES)
    return NAMES[spec]()
