"""A graph with its weights and its plans: what training, evaluation and prediction share."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends import open_backend
from ..backends.derived import Derived
from ..errors import ConfigError, ShapeError
from ..functional import Handle
from ..graph import Graph, Shape
from ..plan import Flat, Layout, Plan, Result, choices
from ..plan.bind import Progress
from ..plan.expand import expand
from .ahead import in_turn

PLANS = 8  # kept a model: one for each mode and batch shape; the least recently used goes


PRECISIONS = ("float64", "float32", "tf32", "bf16")


@dataclass(frozen=True)
class How:
    """How plans compute: winograd, checkpointing and precision as for Plan; with "float64" all arrays are float64."""

    winograd: bool = True
    checkpointing: bool | Sequence[str] = False
    precision: str = "float32"

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision={self.precision!r} must be one of {', '.join(map(repr, PRECISIONS))}")

    @property
    def dtype(self) -> type:
        """Of weights and all that is computed from them."""
        return np.float64 if self.precision == "float64" else np.float32


class Network:
    """Plans are made when they are first needed and kept; whatever was derived from weights is derived again when those change."""

    def __init__(self, graph: Graph, handles: dict[str, Handle]):
        self.graph, self.handles = graph, handles
        self.backend = open_backend("auto")
        self.lock = threading.RLock()  # a plan has one memory: calls from several Python threads take turns
        self.progress: Progress | None = None
        self.how = How()
        self.choices: dict[str, str] = {}  # {key of a problem: algorithm} that plans took, so that later ones take the same
        self.suggestions: dict[str, str] = {}  # those of a model file: taken where nothing was measured on this machine
        self._shapes: tuple[tuple[Shape, ...], dict[str, Shape]] = (), {}  # of inputs that were asked about last, and what follows from them
        self._sent = 0  # changes of weights that the device knows of
        self._plans: OrderedDict[tuple, tuple[Plan, int]] = OrderedDict()
        last = {n.name: n for n in expand(graph).nodes}
        self.links = [last[name].layer.link for name in graph.outputs]  # what the model's own last layers make of logits

    def weights(self) -> dict[str, np.ndarray]:
        """Every weight's array by its path."""
        return {f"{owner}/{name}": array for owner, h in self.handles.items() for name, array in h.arrays.items()}

    def trainable(self) -> frozenset[str]:
        """Owners whose weights are trained."""
        return frozenset(owner for owner, h in self.handles.items() if h.trainable)

    def version(self, training: bool = False) -> int:
        """Grows whenever any weight changes that a plan may derive something from; a training plan knows what it changes itself."""
        return sum(h.version + (0 if training and h.trainable else h.steps) for h in self.handles.values())

    def touch(self) -> None:
        """Weights were changed in place by a step of training: whatever other plans derived from them is stale."""
        for h in self.handles.values():
            if h.trainable:
                h.steps += 1
            if self.backend.separate:
                h.away = self.fetch  # running statistics of layers that are not trained, too
        self._sent = self._changes()

    def fetch(self) -> None:
        """Bring home the weights, and the optimizer's state, that a device with memory of its own has changed."""
        with self.lock:
            self.backend.pull()
            for h in self.handles.values():
                h.away = None

    def send(self) -> None:
        """The host has changed weights or the optimizer's state: a device with memory of its own gets them."""
        with self.lock:
            self.weights()  # of layers that another model trains too
            self.backend.push()
            self._sent = self._changes()

    def _changes(self) -> int:
        return sum(h.version + h.steps for h in self.handles.values())

    def use(self, device: str, threads: int | None = None) -> None:
        """Run on another device or with another number of threads; plans are made anew."""
        with self.lock:
            self.forget()
            self.backend = open_backend(device, threads)

    def settle(self, how: How) -> None:
        """How plans compute from now on; algorithms are chosen anew."""
        with self.lock:
            self.forget()
            self.how, self.choices = how, {}
            for h in self.handles.values():
                h.homes.update((name, array.astype(how.dtype)) for name, array in h.homes.items() if array.dtype != how.dtype)

    def forget(self) -> None:
        """Drop all plans."""
        with self.lock:
            self.fetch()
            self._plans.clear()
            self.backend.release()

    def plan(self, kind: str, xs: Sequence[np.ndarray], **options: Any) -> Plan:
        """The plan for inputs of these shapes; `kind` tells plans with different options apart."""
        if self.backend.separate and self._sent != self._changes():
            self.send()
        homes = tuple(id(a) for h in self.handles.values() for a in h.homes.values())
        key = (kind, len(xs[0]), tuple(x.shape[1:] for x in xs), hash(homes), self.trainable() if options else None)
        found = self._plans.pop(key, None)
        version = self.version(bool(options.get("training")))
        if found is None:
            found = self.make([x.shape for x in xs], self.suggestions | choices.tuned() | self.choices, **options), version
            self.choices |= {c.key: c.name for c in found[0].choices}
        plan, seen = found
        if seen != version:
            plan.stale = True
        self._plans[key] = (plan, version)
        while len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        return plan

    def make(self, shapes: Sequence[tuple[int, ...]], preferred: dict[str, str], **options: Any) -> Plan:
        """A new plan for inputs of these shapes, batch first, that takes the preferred algorithms; it is not kept."""
        sizes = dict(zip(self.graph.inputs, (s[1:] for s in shapes), strict=True))
        return Plan(
            self.graph,
            shapes[0][0],
            self.weights(),
            self.backend,
            trainable=self.trainable(),
            shapes=sizes,
            preferred=preferred,
            dtype=self.how.dtype,
            precision=self.how.precision,
            winograd=self.how.winograd,
            checkpointing=self.how.checkpointing,
            progress=self.progress,
            **options,
        )

    def predict(self, xs: Sequence[np.ndarray], batch_size: int) -> list[np.ndarray]:
        """Each output for all samples, batch by batch; the arrays are the caller's own."""
        started = (self._start([a[at : at + batch_size] for a in xs]) for at in range(0, len(xs[0]), batch_size))
        parts = [result.outputs for result in in_turn(started, self.backend.ahead)]
        return [np.concatenate(p) if len(p) > 1 else p[0] for p in zip(*parts, strict=True)]

    def _start(self, batch: list[np.ndarray]) -> Callable[[], Result]:
        with self.lock:
            return self.plan("predict", batch).start(batch)

    def shapes(self, xs: Sequence[Any]) -> dict[str, Shape]:
        """Shape of every node's output for these inputs, without the batch axis."""
        sizes = tuple(x.shape[1:] for x in xs)
        if self._shapes[0] != sizes:  # every step asks, mostly about the same
            self._shapes = sizes, self.graph.shapes(dict(zip(self.graph.inputs, sizes, strict=True)))
        return self._shapes[1]

    def inputs(self, x: Any) -> list[np.ndarray]:
        """What users give as x, as one array (or what stands for it) for each input, checked against the graph."""
        names = self.graph.inputs
        if isinstance(x, dict):
            missing = [n for n in names if n not in x]
            if missing or len(x) != len(names):
                raise ShapeError(f"the model's inputs are {', '.join(names)}; given: {', '.join(map(str, x))}")
            x = [x[n] for n in names]
        several = isinstance(x, (list, tuple)) and (len(names) > 1 or (len(x) == 1 and np.ndim(x[0]) > len(self.graph[names[0]].layer.shape)))
        given = list(x) if several else [x]
        if len(given) != len(names):
            raise ShapeError(f"the model has {len(names)} inputs ({', '.join(names)}), {len(given)} were given")
        arrays = [a if isinstance(a, Derived) else np.asarray(a, self.how.dtype) for a in given]
        for name, array in zip(names, arrays, strict=True):
            shape = self.graph[name].layer.shape
            fits = array.ndim == len(shape) + 1 and all(s in (None, n) for s, n in zip(shape, array.shape[1:], strict=True))
            if not fits:
                raise ShapeError(f"input {name!r} takes {(None, *shape)}, given {array.shape}")
            if not len(array):
                raise ShapeError(f"input {name!r} has no samples: shape {array.shape}")
        if len({len(a) for a in arrays}) > 1:
            raise ShapeError(f"inputs have different numbers of samples: {', '.join(str(len(a)) for a in arrays)}")
        return arrays

    def flatten(self, group_of: dict[str, int], groups: int, slots: Sequence[str]) -> Flat:
        """Move the trained weights into one flat array, group by group; handles then hold views of it."""
        with self.lock:
            trained = {f"{owner}/{name}": (owner, name) for owner, name in self._trained()}
            specs = {path: self.handles[owner].specs[name] for path, (owner, name) in trained.items()}
            rows = [(path, spec.shape, group_of.get(trained[path][0], 0), spec.decay) for path, spec in specs.items()]
            flat = Flat(Layout.of(rows, groups), slots, self.how.dtype)
            for segment in flat.layout.segments:
                owner, name = trained[segment.path]
                view = flat.view(segment)
                view[...] = self.handles[owner].arrays[name]
                self.handles[owner].homes[name] = view
            self.forget()
            return flat

    def in_place(self, flat: Flat) -> bool:
        """Whether the trained weights still are exactly those that lie in `flat`."""
        trained = {f"{owner}/{name}": self.handles[owner].homes[name] for owner, name in self._trained()}
        return trained.keys() == {s.path for s in flat.layout.segments} and all(array.base is flat.weights for array in trained.values())

    def _trained(self) -> list[tuple[str, str]]:
        """(owner, weight) of every weight that is trained now, in the graph's order."""
        return [(owner, name) for owner, h in self.handles.items() if h.trainable for name, spec in h.specs.items() if spec.trainable]
