"""What a layer sees while it describes its work, and the recorder that notes it (the contract stands in numbacnn/layer.py)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..graph import Node
from ..jit import Kernel
from .buffer import Buffer, Launch


@dataclass(frozen=True)
class Choice:
    """The algorithm that a node got for a problem, and why others were refused."""

    node: str
    kind: str  # of what: "product", "weights"
    problem: Any
    name: str
    refused: dict[str, str]
    able: tuple[str, ...]  # names of all that could have been taken

    @property
    def key(self) -> str:
        """By what a measured choice is stored."""
        return choice_key(self.kind, self.problem)


def choice_key(kind: str, problem: Any) -> str:
    """What a choice depends on, as text: nothing else (thread counts least of all) may decide."""
    return f"{kind}: {problem}"


class Recorder:
    """Notes launches, and checks the one rule: every buffer is written by exactly one launch.

    preferred: {key of a problem: name of the algorithm} that go before the order of the candidates; winograd: whether those count.
    device: only candidates for it count. precision: as for Convolution. capability: compute capability of the GPU, such as 80; candidates
    that need a higher one (their `least`) are refused.
    """

    def __init__(
        self,
        batch: int,
        dtype: Any,
        threads: int,
        preferred: dict[str, str] | None = None,
        winograd: bool = True,
        device: str = "cpu",
        precision: str = "float32",
        capability: int | None = None,
    ):
        self.capability = capability
        self.batch, self.dtype, self.threads, self.device, self.precision = batch, np.dtype(dtype).type, threads, device, precision
        self.preferred, self.winograd = preferred or {}, winograd
        self.phase = "forward"  # of what is noted now
        self.again = False  # what is noted was done before: memory that outlives the step is not written again
        self.launches: list[Launch] = []
        self.choices: list[Choice] = []
        self.clock = Buffer((2,), np.uint64, "clock", "persistent")
        self._written: dict[tuple[Buffer, int], str] = {}
        self._roots: set[Buffer] = set()  # what is written
        self._constants: dict[tuple, Buffer] = {}

    def lacks(self, candidate: Any) -> str | None:
        """Why the GPU is too old for a candidate."""
        least = getattr(candidate, "least", 0)
        if self.capability is None or self.capability >= least:
            return None
        return f"it needs compute capability {least / 10}, and this GPU has {self.capability / 10}"

    def run(self, node: str, kernel: Kernel, args: tuple, out: Any) -> Buffer:
        out = out if isinstance(out, tuple) else (out,)
        if not isinstance(kernel, Kernel):
            raise ConfigError(f"layer {node!r} runs {kernel!r}, which is no kernel: decorate it with numbacnn.jit.kernel")
        if len(args) + len(out) != len(kernel.parameters):
            needs = f"kernel {kernel.__name__}({', '.join(kernel.parameters)}) takes {len(kernel.parameters)} arguments, inputs first"
            raise ConfigError(f"layer {node!r}: {needs}: step.run gives it {len(args)} and out= {len(out)}")
        if self.again:
            out = tuple(Buffer(b.shape, b.dtype, b.name) if b.root.kind == "persistent" else b for b in out)
        for b in out:
            place = (b.root, b.offset)
            if b.root.kind in ("constant", "workspace") or (place in self._written and b.root.kind == "temporary"):
                raise ConfigError(f"layer {node!r}: kernel {kernel.__name__} writes {b}, which {self._written.get(place, 'nothing may write')} writes already")
            self._written[place] = f"{kernel.__name__} of {node!r}"
            self._roots.add(b.root)
        choice = self.choices[-1] if self.choices and self.choices[-1].node == node else None
        self.launches.append(Launch(node, kernel, tuple(map(self._scalar, args)), out, choice, self.phase))
        return out[0]

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(map(self._scalar, value))
        if isinstance(value, (float, np.floating)):
            return self.dtype(value)
        return value

    def has(self, b: Buffer) -> bool:
        """Whether a buffer has contents: somebody writes it, or gives them."""
        return b.root.kind != "temporary" or b.root in self._roots

    def constant(self, array: Any) -> Buffer:
        array = np.ascontiguousarray(array)
        if array.dtype.kind == "f":
            array = array.astype(self.dtype)
        key = (array.shape, array.dtype.str, array.tobytes())
        if key not in self._constants:
            self._constants[key] = b = Buffer(array.shape, array.dtype, "constant", "constant")
            b.array = array
        return self._constants[key]


class Namespace:
    """Buffers by weight name: step.w.kernel, step.dw.kernel."""

    def __init__(self, node: str, make: Callable[[str], Buffer], names: Sequence[str]):
        self._node, self._make, self._names = node, make, tuple(names)

    def __getattr__(self, name: str) -> Buffer:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._names:
            raise AttributeError(f"layer {self._node!r} has no weight {name!r} (its weights(): {', '.join(self._names) or 'none'})")
        self.__dict__[name] = b = self._make(name)
        return b


class Step:
    """One node of the graph, as its layer sees it."""

    def __init__(self, recorder: Recorder, node: Node, xs: Sequence[Buffer], shape: tuple, weights: Callable, gradients: Callable, names: Sequence[str]):
        self._recorder, self._node = recorder, node
        self.xs, self.shape = list(xs), tuple(shape)
        self.batch, self.dtype, self.clock, self.stream = recorder.batch, recorder.dtype, recorder.clock, node.stream
        self.precision = recorder.precision
        self.w, self.dw = Namespace(node.name, weights, names), Namespace(node.name, gradients, names)
        self.padding = ((0, 0), (0, 0))
        self.clamp: tuple[float, float] = (-np.inf, np.inf)
        self.function: Any = None
        self.affine: tuple[Buffer, Buffer] | None = None
        self.residual: Buffer | None = None
        self.dresidual: Buffer | None = None
        self.dx_residual: Buffer | None = None
        self.wants_moments = False
        self.moments: Buffer | None = None
        self.x_moments: Buffer | None = None
        self.dy: Buffer | None = None
        self.dxs: list[Buffer | None] = [None] * len(self.xs)
        self._y: Buffer | None = None

    @property
    def x(self) -> Buffer:
        return self.xs[0]

    @property
    def y(self) -> Buffer:
        if self._y is None:
            self._y = Buffer((self.batch, *self.shape), self.dtype, self._node.name)
        return self._y

    @y.setter
    def y(self, alias: Buffer) -> None:
        self._y = alias

    @property
    def dx(self) -> Buffer:
        return self.grad(0)

    @dx.setter
    def dx(self, alias: Buffer) -> None:
        self.dxs[0] = alias

    def grad(self, i: int) -> Buffer:
        if self.dxs[i] is None:
            self.dxs[i] = Buffer(self.xs[i].shape, self.xs[i].dtype, f"gradient of {self.xs[i].name}")
        return self.dxs[i]

    def new(self, *shape: int, dtype: Any = None) -> Buffer:
        return Buffer(shape, dtype or self.dtype, f"{self._node.name} (own)")

    def like(self, b: Buffer) -> Buffer:
        return self.new(*b.shape, dtype=b.dtype)

    def constant(self, array: Any) -> Buffer:
        return self._recorder.constant(array)

    def workspace(self, *shape: int, dtype: Any = None) -> Buffer:
        return Buffer((self._recorder.threads, *shape), dtype or self.dtype, f"{self._node.name} (workspace)", "workspace")

    def choose(self, kind: str, candidates: Sequence[Any], problem: Any) -> Any:
        """The first candidate that can do it, or the one that was preferred for it."""
        recorder, refused, able = self._recorder, {}, []
        for candidate in candidates:
            if getattr(candidate, "device", "cpu") != recorder.device:
                continue
            off = getattr(candidate, "winograd", False) and not recorder.winograd
            reason = "winograd=False" if off else recorder.lacks(candidate) or candidate.supports(problem)
            if reason is None:
                able.append(candidate)
            else:
                refused[candidate.name] = reason
        if not able:
            raise ConfigError(f"layer {self._node.name!r}: no algorithm can do this: " + "; ".join(f"{n}: {r}" for n, r in refused.items()))
        wanted = recorder.preferred.get(choice_key(kind, problem))
        chosen = next((c for c in able if c.name == wanted), able[0])
        recorder.choices.append(Choice(self._node.name, kind, problem, chosen.name, refused, tuple(c.name for c in able)))
        return chosen

    def run(self, kernel: Kernel, *args: Any, out: Any) -> Buffer:
        return self._recorder.run(self._node.name, kernel, args, out)
