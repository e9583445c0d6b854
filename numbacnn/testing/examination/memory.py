"""What the kernels of a layer do to memory: nothing beside their arrays, nothing to their inputs, everything to their outputs, and no job to another's.
(Two jobs may write the same value: tiles overlap where their number does not fit.)

Each launch is run several times over the same inputs, into memory that held NaN before and into zeros, as a whole and share by share.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ...layer import Layer
from ...plan import Plan
from ...plan.buffer import Buffer, Launch
from ...share_loop import REST, SHARED, WHOLE
from ..layers import drawn_values, graph_of
from .drawn import drawn
from .guards import GuardedCPU
from .launches import BATCH, run

Kind = Literal["overrun", "input", "output", "race"]
SHARES = 4
NAN, ZERO = 0xFF, 0  # bytes that fill memory before a launch
_REASONS = {
    "overrun": "writes out of bounds",
    "input": "writes what it should only read",
    "output": "does not write its output completely, or takes in what stood there before",
    "race": "lets two of its jobs write the same place, so that the result depends on threads",
}


@dataclass(frozen=True)
class Finding:
    kind: Kind
    text: str


class Watch:
    """Runs the launches of one plan, and notes what is wrong with them."""

    def __init__(self, backend: GuardedCPU, about: str):
        self.backend, self.about, self.findings = backend, about, []
        self.names: dict[int, str] = {}

    def know(self, plan: Plan) -> None:
        self.backend.know(plan)
        launches = (*plan.prologue, *plan.launches)
        self.names = {id(root.array): root.name for launch in launches for root in launch.roots}
        self.backend.watch = self

    def __call__(self, launch: Launch, call: Any) -> None:
        memory = _Memory(launch)
        memory.fill(NAN)
        self.backend.call(call)
        results, changed = memory.results(), memory.changed()
        self._look_at_guards(launch)
        if changed is not None:
            self._note("input", launch, f"{changed.name} is an input")
        memory.fill(ZERO)
        self.backend.call(call)
        for b, one, other in zip(launch.out, results, memory.results(), strict=True):
            if (places := np.flatnonzero((one != other).any(1))).size:
                self._note("output", launch, f"{len(places)} of {b.size} elements of {b.name}, from number {places[0]} on")
        if self.backend.kinds[id(call)] & SHARED:
            self._share_out(launch, call, memory, results)
        self._look_at_guards(launch)
        memory.put(results)

    def _share_out(self, launch: Launch, call: Any, memory: "_Memory", whole: list[np.ndarray]) -> None:
        bounds = [WHOLE * i // SHARES for i in range(SHARES + 1)]
        count, other = [np.zeros(b.size, np.int64) for b in launch.out], [np.zeros(b.size, bool) for b in launch.out]
        for first, last in pairwise(bounds):
            for k, (touched, differs) in enumerate(memory.touched(lambda a=first, b=last: call.share(a, b), whole)):
                count[k] += touched
                other[k] |= differs
        for b, total, differs in zip(launch.out, count, other, strict=True):
            if (places := np.flatnonzero((total > 1) & differs)).size:
                self._note("race", launch, f"{len(places)} of {b.size} elements of {b.name}, from number {places[0]} on")
                return
        memory.fill(NAN)
        for first, last in reversed(list(pairwise(bounds))):
            call.share(first, last)
        if self.backend.kinds[id(call)] & REST:
            call.share(WHOLE, WHOLE, rest=True)
        if any((one != other).any() for one, other in zip(whole, memory.results(), strict=True)):
            self._note("race", launch, "its jobs in another order give other values")

    def _look_at_guards(self, launch: Launch) -> None:
        for zone in self.backend.zones:
            if (place := zone.overrun()) is not None:
                name = self.names.get(id(zone.array), "an array of another launch")
                self._note("overrun", launch, f"{place}, {name} {zone.array.shape} {zone.array.dtype}")
                zone.mend()

    def _note(self, kind: Kind, launch: Launch, detail: str) -> None:
        self.findings.append(Finding(kind, f"{self.about}: kernel {launch.kernel.__name__} {_REASONS[kind]}: {detail}"))


class _Memory:
    """The arrays of one launch, as they were before it."""

    def __init__(self, launch: Launch):
        self.launch = launch
        self.before = {root: _bytes(root.array).copy() for root in launch.roots}
        self.fresh = [b for b in launch.out if b.root.kind == "temporary" and b.root not in launch.reads]
        self.scratch = [r for r in launch.roots if r.kind == "workspace"]

    def fill(self, value: int) -> None:
        """Everything as it was, but results and scratch memory filled with a byte."""
        for root, content in self.before.items():
            _bytes(root.array)[...] = content
        for b in (*self.fresh, *self.scratch):
            _bytes(b.real())[...] = value

    def results(self) -> list[np.ndarray]:
        """Of each output: bytes [elements, bytes of one]."""
        return [_bytes(b.real()).copy() for b in self.launch.out]

    def put(self, results: Sequence[np.ndarray]) -> None:
        for b, values in zip(self.launch.out, results, strict=True):
            _bytes(b.real())[...] = values

    def touched(self, work: Any, whole: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each output: which elements `work` writes, and which of them with another value than the whole launch."""
        found = [(np.zeros(b.size, bool), np.zeros(b.size, bool)) for b in self.launch.out]
        for value in (NAN, ZERO):
            self.fill(value)
            start = self.results()
            work()
            for (touched, differs), before, after, right in zip(found, start, self.results(), whole, strict=True):
                written = (before != after).any(1)
                touched |= written
                differs |= written & (after != right).any(1)
        return found

    def changed(self) -> Buffer | None:
        """An array (or a part of one that no output covers) that is not as it was."""
        for root, content in self.before.items():
            now, content = _bytes(root.array).copy(), content.copy()
            for b in (*self.launch.out, *self.scratch):
                if b.root is root:
                    now[b.offset : b.offset + b.size] = content[b.offset : b.offset + b.size] = 0
            if (now != content).any():
                return root
        return None


def _bytes(array: np.ndarray) -> np.ndarray:
    """[elements, bytes of one]: the same memory."""
    return array.reshape(-1).view(np.uint8).reshape(array.size, array.dtype.itemsize)


@functools.lru_cache(maxsize=4)
def findings(cls: type[Layer]) -> tuple[Finding, ...]:
    """What is wrong with the kernels of a layer's examples and of drawn configurations, at rest and in training."""
    found: list[Finding] = []
    for layer, shapes in (*((layer, tuple(shapes)) for layer, *shapes in cls.examples()), *drawn(cls, 8)):
        for training in (False, True):
            found += _watched(layer, shapes, training)
    return tuple(found)


def _watched(layer: Layer, shapes: tuple, training: bool) -> list[Finding]:
    xs, weights = drawn_values(layer, shapes, BATCH, 0)
    backend = GuardedCPU()
    trainable = frozenset({"layer"}) if training else frozenset()
    plan = Plan(graph_of(layer, *shapes), BATCH, weights, backend, training=training, trainable=trainable, reuse=False)
    watch = Watch(backend, f"{layer} on {shapes}")
    watch.know(plan)
    run(plan, xs)
    return watch.findings


def _of(cls: type[Layer], kind: Kind) -> Iterator[str]:
    return (f.text for f in findings(cls) if f.kind == kind)


def _none_of(kind: Kind, good: str) -> Any:
    def check(cls: type[Layer]) -> str:
        text = next(_of(cls, kind), None)
        assert text is None, text
        return good

    return check


guard_words = _none_of("overrun", "as they were")
inputs_kept = _none_of("input", "")
outputs_written = _none_of("output", "")
no_races = _none_of("race", "")
