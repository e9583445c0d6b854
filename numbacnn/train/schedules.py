"""How the learning rate (and the momentum) goes through training: a factor for each step, by name or as a frozen dataclass."""

import math
from dataclasses import dataclass

from ..errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class Schedule:
    """factor(progress) multiplies every group's learning rate; progress runs from 0 (first step) to 1 (end of training)."""

    def factor(self, progress: float) -> float:
        raise NotImplementedError

    def momentum(self, progress: float) -> float | None:
        """What takes the place of the optimizer's momentum (of SGD and RMSprop, where they have one) or beta_1 (of Adam); None: its own."""
        return None


@dataclass(frozen=True)
class Constant(Schedule):
    """The learning rate as it is."""

    def factor(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to the full rate along a cosine, then down to almost nothing (Smith and Topin, 2018; fastai's defaults).

    start: fraction of training spent on the way up; div, div_final: the rate begins at rate / div and ends at rate / div_final.
    moms: the optimizer's momentum at the beginning, where the rate is the highest, and at the end, such as (0.95, 0.85, 0.95); None: it stays.
    """

    start: float = 0.25
    div: float = 25.0
    div_final: float = 1e5
    moms: tuple[float, float, float] | None = None

    def __post_init__(self):
        if self.moms is not None:
            object.__setattr__(self, "moms", _momentums(self.moms))
        if not 0 <= self.start < 1 or self.div < 1 or self.div_final < 1:
            raise ConfigError(f"OneCycle: start={self.start} must lie in [0, 1), div={self.div} and div_final={self.div_final} be at least 1")

    def factor(self, progress: float) -> float:
        if progress < self.start:
            return _cosine(1 / self.div, 1.0, progress / self.start)
        return _cosine(1.0, 1 / self.div_final, (progress - self.start) / (1 - self.start))

    def momentum(self, progress: float) -> float | None:
        if self.moms is None:
            return None
        first, lowest, last = self.moms
        if progress < self.start:
            return _cosine(first, lowest, progress / self.start)
        return _cosine(lowest, last, (progress - self.start) / (1 - self.start))


@dataclass(frozen=True)
class Cosine(Schedule):
    """Down along half a cosine to `end` times the rate (Loshchilov and Hutter, 2017)."""

    end: float = 0.0

    def factor(self, progress: float) -> float:
        return _cosine(1.0, self.end, progress)


@dataclass(frozen=True)
class Step(Schedule):
    """The rate falls to `drop` times itself at each of the fractions `at` of training (He et al., 2015: a tenth, at a half and three quarters)."""

    drop: float = 0.1
    at: tuple[float, ...] = (0.5, 0.75)

    def __post_init__(self):
        object.__setattr__(self, "at", tuple(map(float, self.at)))
        if not 0 < self.drop <= 1 or not all(0 <= t <= 1 for t in self.at):
            raise ConfigError(f"Step: drop={self.drop} must lie in (0, 1], and at={self.at} hold fractions of training, from 0 to 1")

    def factor(self, progress: float) -> float:
        return self.drop ** sum(progress >= t for t in self.at)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """From `start` times the rate straight up to all of it, over the first `share` of training; then another schedule, over the rest of it.

    then: a name or a Schedule (Goyal et al., 2017, Accurate, large minibatch SGD).
    """

    share: float = 0.1
    then: "str | Schedule | None" = "cosine"
    start: float = 0.0

    def __post_init__(self):
        if not 0 < self.share < 1 or not 0 <= self.start <= 1:
            raise ConfigError(f"WarmUp: share={self.share} must lie between 0 and 1 (a tenth of training: 0.1), start={self.start} in [0, 1]")
        object.__setattr__(self, "then", get(self.then))

    def factor(self, progress: float) -> float:
        if progress < self.share:
            return self.start + (1 - self.start) * progress / self.share
        return self.then.factor((progress - self.share) / (1 - self.share))

    def momentum(self, progress: float) -> float | None:
        return self.then.momentum(max(0.0, progress - self.share) / (1 - self.share))


@dataclass(frozen=True)
class Phases(Schedule):
    """One schedule after another: (where it ends, as a fraction of training; the schedule) of each, the last one's end being 1."""

    parts: tuple[tuple[float, Schedule], ...]

    def factor(self, progress: float) -> float:
        schedule, inside = self._part(progress)
        return schedule.factor(inside)

    def momentum(self, progress: float) -> float | None:
        schedule, inside = self._part(progress)
        return schedule.momentum(inside)

    def _part(self, progress: float) -> tuple[Schedule, float]:
        """The schedule that holds now, and how much of it is over."""
        begin = 0.0
        for end, schedule in self.parts:
            if progress < end:
                return schedule, (progress - begin) / (end - begin)
            begin = end
        return self.parts[-1][1], 1.0


def _momentums(moms: tuple[float, float, float]) -> tuple[float, float, float]:
    numbers = moms if isinstance(moms, (tuple, list)) else ()
    if len(numbers) != 3 or not all(isinstance(m, (int, float)) and not isinstance(m, bool) and 0 <= m < 1 for m in numbers):
        raise ConfigError(f"OneCycle: moms={moms!r} must be three momentums from 0 to below 1, such as (0.95, 0.85, 0.95), or None")
    return tuple(map(float, numbers))


def _cosine(first: float, last: float, t: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(max(t, 0.0), 1.0))) / 2


NAMES = {"constant": Constant, "one_cycle": OneCycle, "cosine": Cosine, "step": Step, "warm_up": WarmUp}


def get(spec: "str | Schedule | None") -> Schedule:
    """The schedule that a name or a Schedule means; None is constant."""
    if spec is None:
        return Constant()
    if isinstance(spec, Schedule):
        return spec
    if spec not in NAMES:
        raise UnknownNameError("schedule", spec, NAMES)
    return NAMES[spec]()
