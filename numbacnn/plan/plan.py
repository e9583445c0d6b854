"""expand -> still -> rest -> fold -> trace -> prune -> hoist -> join -> guard -> lives -> arena -> bind: a graph becomes a flat list of bound launches."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..graph import Graph, Shape
from . import blame, kernels
from .arena import arena
from .bind import Progress, bind, give_memory
from .buffer import Buffer
from .checkpoint import segments
from .expand import expand
from .fold import fold, rest
from .guard import guard
from .hoist import hoist
from .join import join
from .layout import Flat
from .lives import lives
from .prune import last, prune
from .step import Recorder
from .still import still
from .trace import Tracer
from .update import Update


@dataclass(frozen=True)
class Result:
    """What one run gave: outputs, each sample's loss by each output (None where it has none), and the regularizers' sum."""

    outputs: list[np.ndarray]
    losses: list[np.ndarray | None]
    penalty: float

    @property
    def is_finite(self) -> bool:
        """Whether the losses and the penalty are."""
        return math.isfinite(self.penalty) and all(loss is None or bool(np.isfinite(loss).all()) for loss in self.losses)


class Plan:
    """A graph for one batch size and mode, ready to be replayed.

    weights     {path: array}; on the CPU the plan works in their memory
    training    layers work as in training, and backward is planned; else they rest
    trainable   owners whose weights are trained
    shapes      input shapes that override the graph's (inputs of any size)
    losses      one for each output (None: no loss there); without losses, training takes `seeds`: the gradient by each output
    optimizer, flat     update the weights in the same run; the trained weights lie in `flat`
    gathering   an update takes the mean gradient of several runs, whose sum lies in `flat` (run's `gather`)
    dtype, precision    of all arrays; and what convolutions and dense layers round their factors to ("tf32", "bf16"; convolutions/problem.py)
    keep        nodes whose outputs and gradients survive the run (plan.value, plan.gradient)
    input_gradients     whether plans without an optimizer compute them
    preferred, winograd {key of a convolution: name of its algorithm} to take first; whether Winograd's algorithms may be taken
    checkpointing       outputs inside of segments are computed again instead of kept (plan/checkpoint.py)
    joining             off for measuring: every convolution is a launch by itself
    folding, reuse      off for tests: every layer by itself, every buffer in a place of its own
    """

    def __init__(
        self,
        graph: Graph,
        batch: int,
        weights: dict[str, np.ndarray],
        backend: Any,
        *,
        training: bool = False,
        trainable: frozenset[str] = frozenset(),
        shapes: dict[str, Shape] | None = None,
        losses: Sequence[Any] | None = None,
        optimizer: Any = None,
        flat: Flat | None = None,
        gathering: bool = False,
        dtype: Any = np.float32,
        precision: str = "float32",
        keep: Sequence[str] = (),
        input_gradients: bool = True,
        preferred: dict[str, str] | None = None,
        winograd: bool = True,
        checkpointing: bool | Sequence[str] = False,
        joining: bool = True,
        folding: bool = True,
        reuse: bool = True,
        progress: Progress | None = None,
    ):
        self.backend, self.batch, self.dtype, self.training = backend, batch, np.dtype(dtype).type, training
        self.arrays = weights
        layout = flat.layout if flat else None
        graph = expand(graph)
        shapes = graph.shapes(shapes)
        self._check_sizes(graph, shapes)
        declared = {n.name: n.layer.weights(*(shapes[i] for i in n.inputs)) for n in graph.nodes}
        specs = {n.weight_path(w): spec for n in graph.nodes for w, spec in declared[n.name].items()}
        owner_of = {n.weight_path(w): n.owner for n in graph.nodes for w in declared[n.name]}
        self.still = still(graph, training, trainable, declared, input_gradients and not layout)
        graph = rest(graph, self.still.resting)
        self.graph, self.shapes = graph, shapes
        self.units = fold(graph, shapes, self.still.passive, frozenset((*graph.outputs, *keep)), folding)

        recorder = Recorder(batch, dtype, backend.workspaces, preferred, winograd, backend.name, precision, getattr(backend, "capability", None))
        whole = Buffer((layout.size,), dtype, "weights", "persistent") if layout else None
        self.weights = {path: Buffer(spec.shape, dtype, path, "persistent") for path, spec in specs.items()}
        for segment in layout.segments if layout else ():
            self.weights[segment.path] = whole.part(segment.start, segment.shape)
        tracer = Tracer(graph, self.units, shapes, declared, self.weights, recorder, self.still.passive)
        tracer.forward()
        self.trace = tracer.trace
        heads = tracer.attach(list(losses) if losses else [])
        trained = [p for p, s in specs.items() if training and s.trainable and owner_of[p] in trainable]
        update = self.gathering = sums = None
        if training:
            recorder.phase = "backward"
            tracer.backward(heads, segments(self.units, shapes, checkpointing))
            place = {}
            if layout:
                g = Buffer((layout.size,), dtype, "gradients")
                place = {s.path: g.part(s.start, s.shape) for s in layout.segments}
            tracer.finish(trained, specs, place)
            if layout and gathering:
                recorder.phase = "gather"
                self.gathering = Buffer((3,), dtype, "gathering", "persistent")
                sums = Buffer((layout.size,), dtype, "gathered gradients", "persistent")
                recorder.run("optimizer", kernels.gather, (g, self.gathering), sums)
                recorder.phase = "update"
                g = recorder.run("optimizer", kernels.mean, (sums, self.gathering), Buffer((layout.size,), dtype, "mean gradients"))
            if layout:
                recorder.phase = "update"
                update = Update(recorder, optimizer, layout, whole, g)
                self.trace.things["optimizer"] = optimizer
                with blame.describing("update of the optimizer", optimizer):
                    optimizer.update(update)
        if losses or training:
            tracer.penalize({p: s for p, s in specs.items() if s.trainable and owner_of[p] in trainable})
        self.clock, self.choices = recorder.clock, recorder.choices
        self.rates, self.slots = (update.rates, update.slots) if update else (None, {})

        kept = [self.trace.values[n] for n in keep] + [self.trace.gradients[n] for n in keep if n in self.trace.gradients]
        roots = {*self.trace.outputs, *(b for b in self.trace.losses if b), *self.trace.penalties, *kept}
        if training and not layout:
            roots |= {*self.trace.weight_gradients.values(), *(self.trace.input_gradients.values() if input_gradients else ())}
        launches = prune(recorder.launches, roots)
        self.dropped = len(recorder.launches) - len(launches)
        self.prologue, self.launches = hoist(launches, self.weights.values())
        if folding and joining and backend.name == "cpu":
            self.launches = join(self.launches, roots, backend.workspaces)
        self.launches, self.update_at, self.step_at = last(self.launches)
        self.permission = None
        if update and backend.ahead:
            looked_at = [*(b for b in self.trace.losses if b), *self.trace.penalties]
            self.launches, self.update_at, self.permission = guard(self.launches, self.update_at, looked_at, dtype)
            self.step_at += len(looked_at)
        spans = lives(self.launches, roots)
        places, self.arena_bytes = arena(self.launches, spans, reuse)

        for path, b in self.weights.items():
            if b.root is b:
                b.array = backend.adopt(weights[path])
        if whole is not None:
            whole.array = backend.adopt(flat.weights)
            for name, b in self.slots.items():
                b.array = backend.adopt(flat.slots[name])
        if self.permission is not None:
            self.permission.array = backend.adopt(flat.permission)
        if sums is not None:
            sums.array = backend.adopt(flat.sums)
        inputs = [*self.trace.inputs.values(), *self.trace.targets, *self.trace.seeds, self.clock, self.rates, self.gathering, *self.slots.values()]
        give_memory(backend, [*self.prologue, *self.launches], [b for b in (*inputs, *roots) if b], places, self.arena_bytes)
        early = len(self.prologue)
        with blame.compiling(self):
            calls = bind(backend, [*self.prologue, *self.launches], progress)
        self.early, self.calls = calls[:early], calls[early:]
        self.prepare, self.compute = backend.replay(self.early), backend.replay(self.calls[: self.update_at])
        self.update, self.gather = (backend.replay(self.calls[self.update_at : end]) for end in (None, self.step_at))
        self.fetch = backend.fetching([b.real() for b in (*(b for b in self.trace.losses if b), *self.trace.outputs, *self.trace.penalties)])
        homes = {id(b.array) for b in (*self.weights.values(), *self.slots.values(), whole, sums, self.permission) if b is not None and b.array is not None}
        writes = {root for launch in self.launches for root in launch.writes}
        self.changes = [root.array for root in writes if id(root.array) in homes]
        self.stale = True  # the prologue has not run for the weights as they are

    @staticmethod
    def _check_sizes(graph: Graph, shapes: dict[str, Shape]) -> None:
        for name in graph.inputs:
            if None in shapes[name]:
                raise ConfigError(f"input {name!r} has shape {shapes[name]}: give the sizes that are None before planning")

    def run(self, *args: Any, **options: Any) -> Result:
        """`start`, and wait for what comes of it."""
        return self.start(*args, **options)()

    def start(
        self,
        xs: Sequence[Any],
        targets: Sequence[Any] = (),
        shares: Sequence[Any] = (),
        clock: tuple[int, int] = (0, 0),
        rates: Any = None,
        gather: tuple[float, float, float] | None = None,
    ) -> Callable[[], Result]:
        """Run the plan on a batch. The device may still be at work: what is returned waits for the result. The next run may be started before.

        xs in the order of the graph's inputs; targets and shares (each sample's weight in the mean) for each output with a loss,
        or, without losses in training, shares = the gradient by each output. clock = (seed, step). rates [groups, …].
        gather, of plans that gather gradients: what this run's count, whether (1) or not (0) they are added to those there, and the
        factor of the sum in an update (0: no update yet).

        With an optimizer, and a loss that is not finite, nothing changes, neither in this run nor in those that were started before the host saw
        its result: on such a device, until the host gives `flat.permission` anew.
        """
        inputs = (self.trace.inputs[name] for name in self.graph.inputs)
        given = [*zip(inputs, xs, strict=True), *zip(self.trace.targets, targets, strict=True), (self.clock, np.array(clock, np.uint64))]
        if self.training or self.trace.targets:
            given += zip(self.trace.seeds, shares, strict=True)
        given += (self.rates, rates), (self.gathering, gather)
        self.backend.upload([(b.real(), values) for b, values in given if b is not None])
        if self.stale:
            with blame.running(self):
                self.prepare()
            self.stale = False
        with blame.running(self):
            self.compute()
        change = self.gather if gather is not None and not gather[2] else self.update
        if self.permission is None and self.update_at < len(self.launches):
            result = self._results()
            if result().is_finite:  # else what outlives the run stays as it was
                with blame.running(self):
                    change()
        else:
            with blame.running(self):
                change()
            result = self._results()
        self.backend.written(self.changes)
        return result

    def _results(self) -> Callable[[], Result]:
        """What waits for losses, outputs and penalties as they are after the launches so far."""
        fetched = self.fetch()

        @functools.cache
        def result() -> Result:
            found = iter(fetched())
            losses = [None if b is None else next(found) for b in self.trace.losses]
            return Result([next(found) for _ in self.trace.outputs], losses, float(sum(next(found).sum() for _ in self.trace.penalties)))

        return result

    def weight_gradient(self, path: str) -> np.ndarray:
        """Gradient of a trained weight after a run (plans without an optimizer keep them all)."""
        return self.backend.download(self.trace.weight_gradients[path].real())

    def input_gradient(self, name: str) -> np.ndarray:
        """Gradient by an input after a run (plans without an optimizer keep them)."""
        return self.backend.download(self.trace.input_gradients[name].real())

    def value(self, name: str) -> np.ndarray:
        """Output of a node named in `keep`."""
        return self.backend.download(self.trace.values[name].real())

    def gradient(self, name: str) -> np.ndarray:
        """Gradient by the output of a node named in `keep`."""
        return self.backend.download(self.trace.gradients[name].real())
