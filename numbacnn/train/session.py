"""A compiled model: optimizer, losses and metrics at work on a network, one batch at a time."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError, NotFiniteError
from ..plan import Flat, Plan, Result
from .diagnose import diagnose
from .network import Network


@dataclass
class Totals:
    """Sums over the batches seen so far, from which losses and metrics follow."""

    samples: int = 0
    loss: float = 0.0
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    counts: dict[str, Any] = field(default_factory=dict)  # name of a metric -> what it has added up

    def to_json(self) -> dict:
        return {
            "samples": self.samples,
            "loss": self.loss,
            "losses": self.losses.tolist(),
            "counts": {k: np.asarray(v).tolist() for k, v in self.counts.items()},
        }

    @classmethod
    def from_json(cls, record: dict) -> "Totals":
        return cls(record["samples"], record["loss"], np.array(record["losses"]), {k: np.array(v) for k, v in record["counts"].items()})


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


class Session:
    """losses, weights: one for each output; metrics: for each output a list; groups: owner -> learning-rate group."""

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
        self.network, self.optimizer = network, optimizer
        self.lock = threading.RLock()  # threads that train one model take turns
        self.losses, self.loss_weights, self.metrics = losses, loss_weights, metrics
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
        self.names = [self._names(i, own) for i, own in enumerate(metrics)]
        for output, loss, link in zip(network.graph.outputs, losses, network.links, strict=True):
            if loss is not None and loss.link and link and link != loss.link:
                raise ConfigError(
                    f"output {output!r} ends in {link}, but loss {type(loss).__name__} goes with {loss.link}: change the last activation or the loss"
                )

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
            shares = self._shares(weights)
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
            if not self._add(step.totals, result, step.targets, step.shares, training=True):
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
        network, shares = self.network, self._shares(weights)
        with network.lock:
            result = network.plan("evaluate", xs, losses=self.losses).start(xs, targets, shares)

        def wait() -> Result:
            self._add(totals, result(), targets, shares)
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

    # ---- from users' batches to arrays

    def _batch(self, batch: Sequence[Any], class_weight: dict[int, float] | None) -> tuple[list, list, list]:
        x, y, weight = (*batch, None)[:3]
        xs = self.network.inputs(x)
        n, names = len(xs[0]), self.network.graph.outputs
        shapes = self.network.shapes(xs)
        if isinstance(y, dict):
            if unknown := set(y) - set(names):
                raise DataError(f"y names {', '.join(sorted(map(str, unknown)))}; the model's outputs are {', '.join(names)}")
            y = [y.get(name) for name in names]
        elif len(names) == 1:
            y = [y]
        if len(y) != len(names):
            raise DataError(f"the model has {len(names)} outputs ({', '.join(names)}), y has {len(y)} parts")
        targets, weights = [], []
        for name, value, loss in zip(names, y, self.losses, strict=True):
            if loss is None:
                targets.append(None)
                weights.append(None)
                continue
            if value is None:
                raise DataError(f"output {name!r} has a loss but y gives nothing for it")
            target = loss.target(np.asarray(value), shapes[name])
            if len(target) != n:
                raise DataError(f"x has {n} samples, y {len(target)}")
            w = np.ones(n) if weight is None else np.asarray(weight, np.float64)
            if w.shape != (n,):
                raise DataError(f"sample_weight has shape {w.shape}; it needs one number for each of the {n} samples")
            if class_weight is not None:
                w = w * self._class_weight(name, target, class_weight)
            targets.append(target.copy() if self.network.backend.ahead else target)  # who makes batches may use the memory again before they count
            weights.append(w)
        return xs, targets, weights

    @staticmethod
    def _class_weight(name: str, target: np.ndarray, class_weight: dict[int, float]) -> np.ndarray:
        if target.ndim != 2 or (target.shape[1] > 1 and not np.allclose(target.sum(1), 1)):
            raise ConfigError(f"class_weight goes with one label a sample, but output {name!r} has targets of shape {target.shape}")
        labels = target.argmax(1) if target.shape[1] > 1 else target[:, 0].astype(int)
        return np.array([class_weight.get(int(k), 1.0) for k in labels])

    def _shares(self, weights: list) -> list:
        return [None if w is None else w * (factor / len(w)) for w, factor in zip(weights, self.loss_weights, strict=True)]

    # ---- sums

    def _add(self, totals: Totals, result: Any, targets: list, shares: list, training: bool = False) -> bool:
        """Add a batch's result to the sums; whether its loss is finite: in training, metrics are not asked for where it is not."""
        n = len(result.outputs[0])
        each = np.array([0.0 if loss is None else float((loss.astype(np.float64) * s).sum()) for loss, s in zip(result.losses, shares, strict=True)])
        loss = float(each.sum()) + result.penalty
        totals.samples += n
        totals.loss += loss * n
        totals.losses = (totals.losses if len(totals.losses) else np.zeros(len(each))) + each * n
        fine = bool(np.isfinite(loss))
        for i, (output, target) in enumerate(zip(result.outputs, targets, strict=True)):
            if target is None or not self.metrics[i] or (training and not fine):
                continue
            loss_of, link = self.losses[i], self.network.links[i]
            prediction = output if link or not loss_of.link else loss_of.activate(output)
            for metric, key in zip(self.metrics[i], self.names[i], strict=True):
                if training and not metric.in_training:
                    continue
                counted = metric.count(target, prediction, np.ones(len(target)), loss_of.link or link)  # unweighted, as in Keras
                totals.counts[key] = metric.add(totals.counts.get(key), counted)
        return fine

    def _names(self, output: int, metrics: list) -> list[str]:
        """What columns call an output's metrics: several of one name become name, name_1, …, as in Keras."""
        outputs, names = self.network.graph.outputs, []
        for metric in metrics:
            base = metric.name if len(outputs) == 1 else f"{outputs[output]}_{metric.name}"
            names.append(next(n for i in range(len(metrics)) if (n := f"{base}_{i}" if i else base) not in names))
        return names

    def measured(self, training: bool = False) -> list[str]:
        """Names of the metrics that training or evaluation gives, without prefix. The first one of all tells which epoch is the best."""
        pairs = [pair for metrics, names in zip(self.metrics, self.names, strict=True) for pair in zip(metrics, names, strict=True)]
        return [name for metric, name in pairs if metric.in_training or not training]

    def logs(self, totals: Totals) -> dict[str, float]:
        """Loss and metrics of the batches summed so far."""
        n = max(totals.samples, 1)
        logs = {"loss": totals.loss / n}
        if len(self.losses) > 1:
            logs |= {
                f"{name}_loss": float(value / n)
                for name, value, loss in zip(self.network.graph.outputs, totals.losses, self.losses, strict=False)
                if loss is not None
            }
        for metrics, names in zip(self.metrics, self.names, strict=True):
            for metric, key in zip(metrics, names, strict=True):
                if key in totals.counts:
                    logs[key] = metric.result(totals.counts[key])
        return logs
