"""A compiled model: optimizer and goals at work on a network, one batch at a time."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConfigError, NotFiniteError
from ..plan import Flat, Plan, Result
from .diagnose import diagnose
from .goals import Goals, Totals
from .network import Network


@dataclass(frozen=True, eq=False)
class _Step:
    """A step under way. totals: what its results are added to; before: the session's step, updates and waiting, without it."""

    network: Network
    result: Callable[[], Result]
    xs: list
    targets: list
    shares: list
    totals: Totals
    before: tuple[int, int, int]


class Session(Goals):
    """groups: owner -> learning-rate group, by which learning_rates are numbered."""

    def __init__(
        self,
        network: Network,
        optimizer: Any,
        losses: list,
        loss_weights: list[float],
        metrics: list[list],
        groups: dict[str, int],
        learning_rates: list[float],
    ):
        super().__init__(network.graph.outputs, network.links, losses, loss_weights, metrics)
        self.network, self.optimizer = network, optimizer
        self.lock = threading.RLock()  # threads that train one model take turns
        self.groups, self.learning_rates = groups, learning_rates
        self.factor = 1.0  # what a schedule multiplies all learning rates by
        self.momentum: float | None = None  # what a schedule puts in the place of the optimizer's
        self.scale = 1.0  # what callbacks multiply them by (ReduceLROnPlateau)
        self.step, self.seed = 0, 0  # batches trained on: with the seed, what random numbers depend on
        self.updates = 0  # of the weights, since the optimizer's state was empty
        self.waiting = 0  # samples whose gradients wait for an update
        self.evaluated: Totals | None = None  # the last evaluation's
        self.under_way: deque[_Step] = deque()  # steps that the device was given, and whose results nobody has seen
        self.flat: Flat | None = None
        self.saved: dict[tuple[str, str], np.ndarray] = {}  # (slot, path of the weight) -> state of weights that are not trained now

    # ---- one batch

    def train(self, batch: Sequence[Any], totals: Totals, class_weight: dict[int, float] | None = None, waits: bool | None = None) -> None:
        """One step: forward, backward, update. Raises NotFiniteError before a loss that is NaN can reach the weights.

        Where the device works on by itself, the results are added to the totals when the next step is under way, those of the first one at once;
        `settle` waits for the rest, and is to be called before the totals count or anything else is done with the model. So a NaN may be found by
        a later call: its error's `later` says how many steps later, and those have changed nothing either.

        waits: the gradients wait for those of the next batch (True), or complete those that wait, for one update with the mean over
        all their samples (False); None: the batch stands alone.
        """
        with self.lock:
            self._start(batch, totals, class_weight, waits)
            self._collect(self.network.backend.ahead if totals.samples else 0)

    def train_alone(self, batch: Sequence[Any], class_weight: dict[int, float] | None = None) -> Totals:
        """One step, and its results."""
        totals = Totals()
        with self.lock:
            try:
                self.train(batch, totals, class_weight)
                self.settle()
            except BaseException:
                self.abandon()
                raise
        return totals

    def settle(self) -> None:
        """Wait for all steps that `train` has started. Raises NotFiniteError like it."""
        with self.lock:
            self._collect(0)

    def abandon(self) -> None:
        """Wait for steps under way whose results nobody wants."""
        with self.lock:
            for step in self.under_way:
                if not step.result().is_finite:
                    self._undo(step)
                    break
            self.under_way.clear()

    def attempt(self, batch: Sequence[Any], totals: Totals) -> bool:
        """`train` and `settle`, but where the loss is not finite nobody asks why: whether it is."""
        with self.lock:
            self._start(batch, totals, None, None)
            return self._look(0) is None

    def _start(self, batch: Sequence[Any], totals: Totals, class_weight: dict[int, float] | None, waits: bool | None) -> None:
        xs, targets, weights = self._batch(batch, class_weight)
        with self.network.lock:
            self.prepare()
            plan = self.plan(xs, waits is not None)
            shares = self.shares(weights)
            optimizer, moved = self.optimizer, self.optimizer.momentum_name
            if self.momentum is not None and moved:
                optimizer = replace(optimizer, **{moved: self.momentum})
            rates = [optimizer.rates(rate * self.factor * self.scale, self.updates + 1) for rate in self.learning_rates]
            together = self.waiting + len(xs[0])
            gather = None if waits is None else (len(xs[0]), float(self.waiting > 0), 0.0 if waits else 1 / together)
            result = plan.start(xs, targets, shares, (self.seed, self.step), rates, gather)
            self.under_way.append(_Step(self.network, result, xs, targets, shares, totals, (self.step, self.updates, self.waiting)))
            self.step += 1
            self.waiting = together if waits else 0
            self.updates += not waits
            self.network.touch()

    def _collect(self, most: int) -> None:
        if (failed := self._look(most)) is not None:
            step, later = failed
            raise NotFiniteError(diagnose(self, step.network, step.xs, step.targets, step.shares), later)

    def _look(self, most: int) -> "tuple[_Step, int] | None":
        """Add results of steps under way until at most so many are left. Where a loss is not finite: the step, and how many were started after it."""
        while len(self.under_way) > most:
            result = self.under_way[0].result()  # an interrupted wait leaves the step to `abandon`
            step = self.under_way.popleft()
            later = len(self.under_way)
            if not self.add(step.totals, result, step.targets, step.shares, training=True):
                self._undo(step)
                return step, later
        return None

    def _undo(self, step: _Step) -> None:
        """Go on as if this step, whose loss was not finite, and those behind it had not been: they have changed nothing."""
        self.under_way.clear()
        self.step, self.updates, self.waiting = step.before
        if self.flat is not None:
            with self.network.lock:
                self.network.fetch()
                self.flat.permission[...] = 1
                self.network.send()

    def begin(self, seed: int, resuming: bool) -> None:
        """Before a fit: what the last one left behind goes, unless this one goes on with it."""
        self.seed, self.waiting = seed, 0
        self.scale = self.scale if resuming else 1.0

    @property
    def learning_rate(self) -> float:
        """The head's rate in the last step."""
        return self.learning_rates[0] * self.factor * self.scale

    def warm(self, shape: tuple[int, ...], gathering: bool = False) -> None:
        """Make the plan of a training step for batches of this shape, so that its kernels are there when the first batch is."""
        with self.network.lock:
            self.prepare()
            self.plan(self.network.inputs(np.zeros(shape, np.float32)), gathering)

    def plan(self, xs: list[np.ndarray], gathering: bool = False) -> Plan:
        """The plan of a training step on inputs of these shapes."""
        kind = "train, gathering" if gathering else "train"
        return self.network.plan(kind, xs, training=True, losses=self.losses, optimizer=self.optimizer, flat=self.flat, gathering=gathering)

    @contextmanager
    def on(self, network: Network) -> Iterator[None]:
        """Inside the `with`, steps run on another network that has the same outputs and trained weights."""
        own, self.network = self.network, network
        try:
            yield
        finally:
            self.network = own

    def evaluate(self, batch: Sequence[Any], totals: Totals) -> Callable[[], Result]:
        """Start on losses and metrics of one batch, with all weights at rest; what is returned waits for them and adds them up."""
        xs, targets, weights = self._batch(batch, None)
        network, shares = self.network, self.shares(weights)
        with network.lock:
            result = network.plan("evaluate", xs, losses=self.losses).start(xs, targets, shares)

        def wait() -> Result:
            self.add(totals, result(), targets, shares)
            return result()

        return wait

    def prepare(self) -> None:
        """Lay the trained weights side by side with the optimizer's state."""
        if self.flat is not None and self.network.in_place(self.flat):
            return
        self.saved = self.state()
        self.flat = self.network.flatten(self.groups, len(self.learning_rates), self.optimizer.slots)
        if not self.flat.layout.segments:
            raise ConfigError("no weight can be trained: every layer with weights is frozen (set layer.trainable = True)")
        for segment in self.flat.layout.segments:
            for slot, flat in self.flat.slots.items():
                value = self.saved.pop((slot, segment.path), None)
                if value is not None and value.size == segment.stop - segment.start:
                    flat[segment.start : segment.stop] = value

    def regroup(self, optimizer: Any, groups: dict[str, int], learning_rates: list[float]) -> None:
        """Other learning rates, perhaps for other groups; the optimizer (of the same kind) keeps its state."""
        if groups != self.groups or len(learning_rates) != len(self.learning_rates):
            self.saved, self.flat = self.state(), None  # laid out anew before the next step
        self.optimizer, self.groups, self.learning_rates = optimizer, groups, learning_rates

    def clear(self) -> None:
        """The optimizer begins anew: its state is empty, as if no step had been made."""
        self.saved, self.flat, self.updates, self.waiting = {}, None, 0, 0

    def state(self) -> dict[tuple[str, str], np.ndarray]:
        """A copy of the optimizer's state: (slot, path of the weight) -> its flat array; of frozen weights, too, as it was when they were trained."""
        self.network.fetch()
        state = dict(self.saved)
        for segment in self.flat.layout.segments if self.flat else ():
            state |= {(slot, segment.path): flat[segment.start : segment.stop].copy() for slot, flat in self.flat.slots.items()}
        return state

    def restore(self, state: dict[tuple[str, str], np.ndarray]) -> None:
        """Go on from a `state`."""
        self.network.fetch()
        self.saved = dict(state)
        for segment in self.flat.layout.segments if self.flat else ():
            for slot, flat in self.flat.slots.items():
                flat[segment.start : segment.stop] = self.saved.pop((slot, segment.path), 0)
        self.network.send()

    def counts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the optimizer's state."""
        return {"step": self.step, "updates": self.updates, "scale": self.scale}

    def export(self) -> tuple[dict[str, np.ndarray], list]:
        """The optimizer's state for a file: {slot: flat array}, and where each weight lies in them as [path, start, stop]."""
        state = self.state()
        paths = list(dict.fromkeys(path for _, path in state))
        slots = {slot: np.concatenate([state[slot, path] for path in paths]) for slot in dict.fromkeys(slot for slot, _ in state)}
        stops = np.cumsum([next(a.size for (_, p), a in state.items() if p == path) for path in paths]).tolist()
        return slots, [[path, start, stop] for path, start, stop in zip(paths, [0, *stops], stops, strict=False)]

    def adopt(self, slots: dict[str, np.ndarray], places: list) -> None:
        """Keep state from `export` for the weights that will be trained."""
        self.saved |= {(slot, path): flat[start:stop] for slot, flat in slots.items() for path, start, stop in places}

    def _batch(self, batch: Sequence[Any], class_weight: dict[int, float] | None) -> tuple[list, list, list]:
        """(inputs, targets, weights of samples) from what users give."""
        x, y, weight = (*batch, None)[:3]
        xs = self.network.inputs(x)
        targets, weights = self.aims(y, weight, len(xs[0]), self.network.shapes(xs), class_weight)
        if self.network.backend.ahead:  # who makes batches may use the memory again before the targets count
            targets = [None if t is None else t.copy() for t in targets]
        return xs, targets, weights
