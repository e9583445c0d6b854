"""Entries of different contestants that compute the same: compared, then run in turns."""

import statistics
import time
from dataclasses import dataclass, field

import numpy as np

from .contestant import Contestant

TURN = 0.25  # seconds that a turn lasts, about
MOST = 250  # steps of a turn
PAUSE = 0.03  # seconds between turns: a contestant's threads go on spinning for a few milliseconds


@dataclass
class Entry:
    """One contestant's way of doing a case; `times` fills up while the match runs."""

    label: str
    contestant: Contestant
    key: str
    part: str | None = None
    times: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.times)

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    def to_json(self) -> dict:
        return {"label": self.label, "best_ms": round(self.best * 1e3, 4), "median_ms": round(self.median * 1e3, 4), "steps": len(self.times)}


def play(entries: list[Entry], rounds: int) -> None:
    """Let the entries run in turns, every other round in the opposite order. What one untimed step needs decides how long a turn is."""
    steps = [max(1, min(MOST, round(TURN / e.contestant.times(e.key, e.part)[0]))) for e in entries]
    for number in range(rounds):
        order = list(zip(entries, steps, strict=True))
        for entry, count in order[:: -1 if number % 2 else 1]:
            time.sleep(PAUSE)
            entry.times += entry.contestant.times(entry.key, entry.part, count)


def difference(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """By name, the relative difference of what two contestants show: |mine - theirs| / |theirs|, NaN where either holds one.

    What is small beside its kind (the first word of the name) is compared with the kind's size: some gradients are 0 but for rounding,
    as those of a shift right before a batch normalization.
    """
    if mine.keys() != theirs.keys():
        raise AssertionError(f"one shows {sorted(mine.keys() - theirs.keys())}, the other {sorted(theirs.keys() - mine.keys())}")
    kinds: dict[str, list[np.ndarray]] = {}
    for name, array in theirs.items():
        kinds.setdefault(name.split()[0], []).append(array.astype(np.float64).reshape(-1))
    size = {kind: float(np.sqrt(np.mean(np.square(np.concatenate(arrays))))) for kind, arrays in kinds.items()}
    return {name: _relative(mine[name], theirs[name], 0.01 * size[name.split()[0]]) for name in mine}


def _relative(a: np.ndarray, b: np.ndarray, least: float) -> float:
    """|a - b| / |b|, where b counts at least as if its elements were `least`."""
    if a.shape != b.shape:
        raise AssertionError(f"shapes {a.shape} and {b.shape}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), least * np.sqrt(b.size), 1e-300))


def agree(what: str, mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray], tolerances: dict[str, float]) -> float:
    """The largest relative difference; AssertionError where one is above its tolerance, by the first word of its name."""
    found = difference(mine, theirs)
    wrong = {name: error for name, error in found.items() if not error <= tolerances[name.split()[0]]}
    if wrong:
        worst = sorted(wrong.items(), key=lambda item: -item[1])[:5]
        raise AssertionError(f"{what}: results differ, nothing is timed: " + ", ".join(f"{name} by {error:.1e}" for name, error in worst))
    return max(found.values())
