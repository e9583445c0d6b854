"""The batches of a fit. What a frozen base makes of pictures that stay the same is computed once and kept."""

import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cache import cache_folder
from ..data.arrays import for_plans
from ..graph import Shape
from .ahead import in_turn
from .frozen import Frozen
from .goals import Totals
from .session import Session

MEMORY = 1 << 30  # bytes of features that are kept in memory, training and validation data together
DISK = 8 << 30  # bytes beyond that which are kept in a file, if they take no more than half of what is free


@dataclass(frozen=True)
class Item:
    """A batch whose samples are known by number; batch: None where nobody has read it, as features are there for all of it."""

    rows: np.ndarray
    batch: tuple | None = None


class Room:
    """How much may be kept."""

    def __init__(self) -> None:
        self.memory, self.disk = MEMORY, DISK

    def array(self, shape: Shape, in_file: bool) -> np.ndarray | None:
        """Room for float32 values: in memory, else (in_file) in a file of the cache folder that vanishes with the process; None where there is none."""
        size = 4 * math.prod(shape)
        if size <= self.memory:
            self.memory -= size
            return np.empty(shape, np.float32)
        if not in_file:
            return None
        folder = cache_folder() / "features"
        folder.mkdir(parents=True, exist_ok=True)
        if size > min(self.disk, shutil.disk_usage(folder).free // 2):
            return None
        self.disk -= size
        with tempfile.TemporaryFile(dir=folder) as file:  # without a name: nothing is left behind however the process ends
            return np.memmap(file, np.float32, "w+", shape=shape)


class Source:
    """Training or validation data as the steps of a session see it.

    A sample's features have the same bits wherever it stands in a batch, but not in batches of all sizes: other sizes may get other
    algorithms. So those in `features` are of whole batches, and a smaller last batch is computed anew, unless it is the same again.
    """

    def __init__(self, session: Session, data: Any):
        self.session, self.data = session, data
        self.frozen: Frozen | None = None
        self.features: list[np.ndarray] = []  # for each value at the boundary, of each sample

    def arrange(self, frozen: Frozen | None, room: Room) -> None:
        """From now on keep what this base makes of the data, if there is room for it and the data stays the same."""
        self.frozen, self.features = None, []
        if frozen is None or not getattr(self.data, "fixed", False):
            return
        inputs = [self.session.network.graph[name].layer.shape for name in self.session.network.graph.inputs]
        small = sum(map(math.prod, frozen.shapes)) <= sum(math.prod(n or 1 for n in shape) for shape in inputs)  # else reading them saves nothing
        arrays = [room.array((self.data.samples, *shape), small) for shape in frozen.shapes]
        if all(array is not None for array in arrays):
            self.frozen, self.features = frozen, arrays
            self.there = np.zeros(self.data.samples, bool)
            self.whole = max(len(rows) for rows in self.data.rows(0))  # samples of a batch
            self.smaller: tuple[np.ndarray, list[np.ndarray]] = (np.empty(0), [])  # the last smaller batch, and its features

    def epoch(self, number: int) -> Iterator[Any]:
        """An epoch's batches, as `train` and `evaluate` take them."""
        if self.frozen is None:
            return for_plans(self.data, number)
        if all(self.there[rows].all() for rows in self.data.rows(0)):
            return (Item(rows) for rows in self.data.rows(number))
        return (Item(rows, batch) for rows, batch in self.data.indexed(number))

    def train(self, item: Any, totals: Totals, class_weight: dict[int, float] | None, waits: bool | None) -> None:
        """A step of the session on a batch."""
        self._step(self.session.train, item, totals, class_weight, waits)

    def evaluate(self) -> dict[str, float]:
        """The session's losses and metrics over all of it."""
        totals = Totals()
        for _ in in_turn((self._step(self.session.evaluate, item, totals) for item in self.epoch(0)), self.session.network.backend.ahead):
            pass
        self.session.evaluated = totals
        return self.session.logs(totals)

    def _step(self, step: Any, item: Any, *args: Any) -> Any:
        if not isinstance(item, Item):
            return step(item, *args)
        values = self._features(item) if self.frozen.holds() else None
        if values is None:
            return step(item.batch or self.data.take(item.rows), *args)
        inputs = values[0] if len(values) == 1 else dict(zip(self.frozen.names, values, strict=True))
        with self.session.on(self.frozen.rest):
            return step((inputs, *self.data.answers(item.rows)), *args)

    def _features(self, item: Item) -> list[np.ndarray] | None:
        """What the base makes of a batch. None where that is not finite: the whole network then says why."""
        rows, there = item.rows, self.there[item.rows].all()
        if there and len(rows) == self.whole:
            return [array[rows] for array in self.features]
        if np.array_equal(rows, self.smaller[0]):
            return self.smaller[1]
        xs = self.session.network.inputs((item.batch or self.data.take(rows))[0])
        values = self.frozen.features(xs)
        if not all(np.isfinite(value).all() for value in values):
            return None
        if len(rows) < self.whole:
            self.smaller = rows, values
        if not there:  # samples of a smaller batch will come in whole ones
            again = np.arange(self.whole) % len(rows)
            full = values if len(rows) == self.whole else self.frozen.features([x[again] for x in xs])
            for array, value in zip(self.features, full, strict=True):
                array[rows] = value[: len(rows)]
            self.there[rows] = True
        return values


class Work:
    """What a fit trains on and validates with. keep: whether features may be kept at all."""

    def __init__(self, session: Session, data: Any, validation: Any, keep: bool):
        self.session, self.keep = session, keep
        self.train = Source(session, data)
        self.valid = None if validation is None else Source(session, validation)
        self.frozen: Frozen | None = None

    def arrange(self) -> None:
        """At the beginning of an epoch: see whether there is a frozen base, and whether it still is the one whose features are kept."""
        if not self.keep or (self.frozen is not None and self.frozen.holds()):
            return
        sources = [source for source in (self.train, self.valid) if source is not None]
        useful = any(getattr(source.data, "fixed", False) for source in sources)
        self.frozen, room = Frozen.of(self.session.network) if useful else None, Room()
        for source in sources:
            source.arrange(self.frozen, room)

    def warm(self, shape: tuple[int, ...], gathering: bool) -> None:
        """Make the plans of a training step, so that their kernels are there when the first batch is."""
        session, frozen = self.session, self.train.frozen
        if frozen is None:
            session.warm(shape, gathering)
            return
        frozen.base.progress = frozen.rest.progress = session.network.progress
        with session.network.lock:
            frozen.base.plan("predict", session.network.inputs(np.zeros(shape, np.float32)))
        with session.on(frozen.rest):
            session.warm((shape[0], *frozen.shapes[0]), gathering)

    def evaluate(self) -> dict[str, float]:
        """Loss and metrics over the validation data."""
        return self.valid.evaluate()
