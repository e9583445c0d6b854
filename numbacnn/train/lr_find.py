"""The learning-rate range test: how the loss goes while the rate grows with each batch (Smith, Cyclical learning rates, 2017)."""

import csv
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.arrays import as_data, for_plans
from ..errors import ConfigError, DataError
from .goals import Totals
from .session import Session

SMOOTHING = 0.98  # of the running mean of losses, whose start at zero is corrected
DIVERGED = 4.0  # times the smallest loss
FEWEST = 5  # points from which a suggestion can be made
WITHOUT_PLOT = "for a picture in its place: pip install 'numbacnn[plot]'"


@dataclass(frozen=True)
class LearningRates:
    """The curve of a range test: rates[i] (the head's) and the smoothed losses[i] of the batch trained with it."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def steepest(self) -> float:
        """The rate at which the loss falls the fastest in its descent, by the logarithm of the rate."""
        first, last = self._descent
        return self.rates[first + int(np.argmin(np.gradient(self.losses)[first : last + 1]))]

    @property
    def valley(self) -> float:
        """Half way down the longest descent of the curve, rises between its points left out: a rate that learns and is far from diverging."""
        first, last = self._descent
        return self.rates[(first + last) // 2]

    @property
    def _descent(self) -> tuple[int, int]:
        """First and last index of the longest descent. The first tenth does not count: there the smoothed loss is that of few batches, and jumps."""
        skipped = len(self.losses) // 10
        first, last = _longest_descent(self.losses[skipped:])
        return first + skipped, last + skipped

    @property
    def suggestion(self) -> float:
        """What to begin with: the valley."""
        return self.valley

    def __repr__(self):
        return f"<LearningRates of {len(self.rates)} steps: suggestion {self.suggestion:.2g}, steepest {self.steepest:.2g}>"

    def save(self, path: str | Path) -> Path:
        """Draw the curve into a picture (.png, .svg, .pdf), with matplotlib (`pip install 'numbacnn[plot]'`); returns the file.

        Without matplotlib, or for a name that ends in .csv, it becomes a table, beside where the picture would be: rate, loss.
        """
        path = Path(path)
        path = path if path.suffix else path.with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".csv":
            try:
                return self._draw(path)
            except ImportError:
                path = path.with_suffix(".csv")
                print(f"matplotlib is not installed: the curve is in {path}; {WITHOUT_PLOT}")
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("learning_rate", "loss"))
            writer.writerows(zip(self.rates, self.losses, strict=True))
        return path

    def _draw(self, path: Path) -> Path:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        axes.semilogx(self.rates, self.losses)
        for name, rate in (("valley", self.valley), ("steepest", self.steepest)):
            axes.plot([rate], [self.losses[self.rates.index(rate)]], "o", label=f"{name} {rate:.2g}")
        low, high = min(self.losses), max(self.losses[: int(np.argmin(self.losses)) + 1])
        edge = 0.1 * ((high - low) or 1.0)
        axes.set_ylim(low - edge, high + 3 * edge)  # where the loss diverges, the curve may leave the picture: the descent is what counts
        axes.set_xlabel("learning rate (of the head)")
        axes.set_ylabel("loss (smoothed)")
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(path, dpi=120)
        return path


def _longest_descent(losses: tuple[float, ...]) -> tuple[int, int]:
    """First and last index of the longest sequence of points, not necessarily neighbours, of which each is below the one before."""
    length, begins = [1] * len(losses), list(range(len(losses)))
    for i, loss in enumerate(losses):
        for j in range(i):
            if loss < losses[j] and length[j] + 1 >= length[i]:
                length[i], begins[i] = length[j] + 1, begins[j]
    last = int(np.argmax(length))
    return begins[last], last


def find(model: Any, session: Session, x: Any, y: Any, start: float, end: float, steps: int, batch_size: int, seed: int) -> LearningRates:
    """Run the test. Raises ConfigError for a range that cannot work, or where the loss diverges at once."""
    if not 0 < start < end < math.inf:
        raise ConfigError(f"start={start!r}, end={end!r}: the first rate must be above 0 and below the last")
    if not isinstance(steps, int) or steps < FEWEST:
        raise ConfigError(f"steps={steps!r} must be at least {FEWEST}: so many rates are tried")
    if isinstance(x, Iterator):
        raise DataError("lr_find would use up an iterator of batches: give arrays, a dataset or a list of batches")
    data = as_data(x, y, batch_size=batch_size, shuffle=True, seed=seed)
    tried = start * (end / start) ** (np.arange(steps) / (steps - 1))
    weights, state = model.get_weights(), session.state()
    kept = {name: getattr(session, name) for name in ("step", "updates", "waiting", "seed", "factor", "momentum", "scale", "learning_rates")}
    head = session.learning_rates[0]
    ratios = [rate / head if head else 1.0 for rate in session.learning_rates]
    rates: list[float] = []
    losses: list[float] = []
    mean, best = 0.0, math.inf
    session.begin(seed, False)
    session.factor, session.momentum = 1.0, None
    try:
        for i, (rate, batch) in enumerate(zip(tried.tolist(), _endless(data), strict=False), 1):
            session.learning_rates = [rate * ratio for ratio in ratios]
            totals = Totals()
            if not session.attempt(batch, totals):
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * totals.loss / totals.samples
            loss = mean / (1 - SMOOTHING**i)
            if not loss <= DIVERGED * best:
                break
            best = min(best, loss)
            rates.append(rate)
            losses.append(loss)
    finally:
        for name, value in kept.items():
            setattr(session, name, value)
        model.set_weights(weights)
        session.restore(state)
    if len(rates) < FEWEST:
        raise ConfigError(f"the loss diverged after {len(rates)} steps, at a learning rate of {tried[len(rates)]:.2g}: begin lower than start={start:g}")
    return LearningRates(tuple(rates), tuple(losses))


def _endless(data: Any) -> Iterator[Any]:
    """Batches of epoch after epoch."""
    for number in itertools.count():
        yield from for_plans(data, number)
