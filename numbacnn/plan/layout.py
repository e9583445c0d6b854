"""Where trained weights lie: one flat array, group by group, so that an optimizer is one launch and a group one piece of memory."""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

CHUNK = 16_384  # elements of one job: fixed, so that partial sums don't depend on the number of threads
PAD = 16  # elements: every weight starts on a cache line


@dataclass(frozen=True)
class Segment:
    """One weight in the flat array."""

    path: str
    start: int
    shape: tuple[int, ...]
    group: int
    decay: bool

    @property
    def stop(self) -> int:
        return self.start + math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """The segments of all trained weights. `size` is the length of the flat arrays, padding included."""

    segments: tuple[Segment, ...]
    groups: int
    size: int

    @classmethod
    def of(cls, weights: list[tuple[str, tuple[int, ...], int, bool]], groups: int) -> "Layout":
        """From (path, shape, group, decay) of each weight; groups come one after another, weights in the given order."""
        segments, at = [], 0
        for path, shape, group, decay in sorted(weights, key=lambda w: w[2]):
            segments.append(Segment(path, at, tuple(shape), group, decay))
            at = -(-segments[-1].stop // PAD) * PAD
        return cls(tuple(segments), groups, at)

    def jobs(self) -> np.ndarray:
        """int64 [J, 4]: start, stop, segment, group, in chunks of at most CHUNK elements."""
        rows = [(a, min(a + CHUNK, s.stop), i, s.group) for i, s in enumerate(self.segments) for a in range(s.start, s.stop, CHUNK)]
        return np.array(rows, np.int64).reshape(-1, 4)

    def decays(self) -> np.ndarray:
        """1 for each segment that weight decay applies to, else 0."""
        return np.array([float(s.decay) for s in self.segments])


class Flat:
    """The memory behind a layout: the weights and the optimizer's slots, shared by the plans of all batch sizes.

    permission: 0 from the first loss that is not finite until the host writes 1 again (plan/guard.py).
    """

    def __init__(self, layout: Layout, slots: Iterable[str], dtype: type = np.float32):
        self.layout = layout
        self.weights = np.zeros(layout.size, dtype)
        self.slots = {name: np.zeros(layout.size, dtype) for name in slots}
        self.permission = np.ones(1, dtype)

    @functools.cached_property
    def sums(self) -> np.ndarray:
        """Gradients of several batches, added up for one update."""
        return np.zeros(self.layout.size, self.weights.dtype)

    def view(self, segment: Segment) -> np.ndarray:
        """The weight of one segment, in place."""
        return self.weights[segment.start : segment.stop].reshape(segment.shape)
