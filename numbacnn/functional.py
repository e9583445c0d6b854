"""Layers in use: handles that carry weights, and the symbols that functional calls pass along.

`y = Conv2D(32, 3)(x)` makes a Call; a model collects the calls between its inputs and outputs into a Graph.
Identity decides, never equality: two frozen `Dense(10)` are equal and yet two layers with weights of their own, while one
layer object called twice shares one Handle, hence one set of weights.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .errors import ConfigError, ShapeError
from .graph import Graph, Node, Shape, infer_shape
from .init import initialize


class Handle:
    """One layer in use: its name, its weights and whether they are trained. Models that contain the layer share it."""

    def __init__(self, layer: Any, shapes: tuple[Shape, ...], name: str | None = None):
        self.layer, self.name, self.input_shapes = layer, name or layer.name, shapes
        self.named = self.name is not None  # by the user: then it must not be changed
        self.trainable = bool(layer.trainable)
        self.specs = layer.weights(*shapes)
        self.homes: dict[str, np.ndarray] = {}  # the host's memory of each weight; `arrays` is what to read
        self.away: Callable[[], None] | None = None  # brings home what a device with memory of its own has changed
        self.version = 0  # counts changes of the weights from outside: what was derived from them must then be derived again
        self.steps = 0  # counts changes by training
        self.first: Call | None = None  # where `input` and `output` are

    def __repr__(self):
        state = "" if self.trainable else ", frozen"
        return f"<{self.name or type(self.layer).__name__}: {self.layer}{state}>"

    def initialize(self, seed: int, index: int) -> None:
        """Draw the weights anew from (seed, index of the layer, index of the weight)."""
        for i, (name, spec) in enumerate(self.specs.items()):
            value = initialize(spec.init, spec.shape, np.random.default_rng([seed, index, i]))
            self.put(name, value)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Weights by name, as they are now."""
        if self.away is not None:
            self.away()
        return self.homes

    def put(self, name: str, value: np.ndarray) -> None:
        """Copy `value` into a weight, in place where the weight exists (plans hold on to its memory)."""
        spec = self.specs[name]
        value = np.asarray(value)
        if value.shape != tuple(spec.shape):
            raise ShapeError(f"weight {self.name}/{name} has shape {tuple(spec.shape)}, not {value.shape}")
        if name in self.arrays:
            self.arrays[name][...] = value
        else:
            self.homes[name] = np.array(value, np.float32, order="C")
        self.version += 1

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """Weights by name, as read-only views; `set_weights` changes them."""
        views = {}
        for name in self.order():
            views[name] = self.arrays[name].view()
            views[name].flags.writeable = False
        return views

    def order(self) -> list[str]:
        """Names of the weights in Keras' order: those that can be trained, then the others."""
        return sorted(self.specs, key=lambda n: not self.specs[n].trainable)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights, in Keras' order."""
        return [self.arrays[n].copy() for n in self.order()]

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Copy a list of arrays, in the order of `get_weights`, into the weights; all shapes are checked first."""
        set_all([(self, n) for n in self.order()], values, f"layer {self.name!r}")

    def count_params(self) -> int:
        """Number of weights, trained or not."""
        return sum(int(np.prod(s.shape)) for s in self.specs.values())

    @property
    def input(self) -> Any:
        """The symbol (or list of symbols) that the layer was first called with."""
        inputs = self.first.inputs
        return inputs[0] if len(inputs) == 1 else list(inputs)

    @property
    def output(self) -> "Symbol":
        """The symbol that the first call of the layer gave; a new model may end or go on there."""
        return self.first.output


def set_all(places: list[tuple[Handle, str]], values: Sequence[np.ndarray], what: str) -> None:
    """Put arrays into weights, all of them or, if any does not fit, none."""
    values = [np.asarray(v) for v in values]
    if len(values) != len(places):
        raise ConfigError(f"{what} has {len(places)} weights, {len(values)} were given")
    wrong = [
        f"{h.name}/{n}: {tuple(h.specs[n].shape)}, given {v.shape}" for (h, n), v in zip(places, values, strict=True) if tuple(h.specs[n].shape) != v.shape
    ]
    if wrong:
        raise ShapeError(f"{what}: shapes differ, nothing was changed: " + "; ".join(wrong))
    for (handle, name), value in zip(places, values, strict=True):
        handle.put(name, value)


class Call:
    """One call of a layer on symbols. `path` is the model that the call came out of when that was called like a layer."""

    def __init__(self, handle: Handle, inputs: tuple["Symbol", ...], shape: Shape, path: str = ""):
        self.handle, self.inputs, self.path = handle, inputs, path
        self.output = Symbol(shape, self)


class Symbol:
    """A promise of an array with a known shape (without the batch axis): what `Input` returns and layers are called on."""

    def __init__(self, shape: Shape, call: Call):
        self.shape, self.call = tuple(shape), call

    def __repr__(self):
        return f"<symbol {(None, *self.shape)} of {self.call.handle.name or type(self.call.handle.layer).__name__}>"


def call(layer: Any, inputs: Any) -> Symbol:
    """Call a layer on a symbol or a list of symbols."""
    symbols = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
    for symbol in symbols:
        if not isinstance(symbol, Symbol):
            raise ConfigError(f"{type(layer).__name__} was called on {type(symbol).__name__}, not on a symbol: start from x = nn.Input(shape)")
    shapes = tuple(s.shape for s in symbols)
    shape = infer_shape(layer.name or type(layer).__name__, layer, shapes)
    handle = layer.__dict__.get("_handle")  # no field: layers stay equal, and the weights live as long as the layer
    if handle is None or handle.layer is not layer:  # a copy's is its original's
        handle = Handle(layer, shapes)
        object.__setattr__(layer, "_handle", handle)
    return recall(handle, symbols, shape)


def recall(handle: Handle, symbols: tuple[Symbol, ...], shape: Shape, path: str = "") -> Symbol:
    """Another call of a layer that is in use already."""
    shapes = tuple(s.shape for s in symbols)
    if shapes != handle.input_shapes and {n: s.shape for n, s in handle.layer.weights(*shapes).items()} != {n: s.shape for n, s in handle.specs.items()}:
        named = repr(handle.name or handle.layer)
        raise ShapeError(f"layer {named} is shared, but input shape {shapes[0]} needs other weights than {handle.input_shapes[0]}")
    made = Call(handle, symbols, shape, path)
    handle.first = handle.first or made
    return made.output


def inline(outputs: Sequence[Symbol], inputs: Sequence[Symbol], given: Sequence[Symbol], path: str) -> list[Symbol]:
    """Repeat the calls between a model's own inputs and outputs on other symbols, so that a model is called like a layer."""
    if len(inputs) != len(given):
        raise ConfigError(f"model {path!r} has {len(inputs)} inputs, {len(given)} were given")
    new = {id(i): g for i, g in zip(inputs, given, strict=True)}
    for made in topological(outputs, inputs):
        if id(made.output) in new:
            continue
        symbols = tuple(new[id(s)] for s in made.inputs)
        handle = made.handle
        shape = infer_shape(handle.name or "", handle.layer, tuple(s.shape for s in symbols))
        new[id(made.output)] = recall(handle, symbols, shape, "/".join(p for p in (path, made.path) if p))
    return [new[id(s)] for s in outputs]


def topological(outputs: Iterable[Symbol], inputs: Iterable[Symbol]) -> list[Call]:
    """The calls that outputs depend on, inputs first, each once, in the order in which they were written."""
    stops = {id(i) for i in inputs}
    order: list[Call] = []
    state: dict[int, bool] = {}  # False: on the way, True: done
    stack = [(s.call, False) for s in reversed(list(outputs))]
    while stack:
        made, finished = stack.pop()
        if finished:
            state[id(made)] = True
            order.append(made)
        elif id(made) not in state:
            state[id(made)] = False
            stack.append((made, True))
            if id(made.output) not in stops:
                stack.extend((s.call, False) for s in reversed(made.inputs))
    return order


def collect(inputs: Sequence[Symbol], outputs: Sequence[Symbol], what: str = "the model") -> tuple[Graph, dict[str, Handle]]:
    """The graph between inputs and outputs, and the handle behind each owner's name. Layers without a name get one."""
    for i, symbol in enumerate(inputs):
        if any(symbol is other for other in inputs[:i]):
            raise ConfigError(f"{what}: input {symbol.call.handle.name or symbol!r} is given twice")
        if symbol.call.inputs:
            middle = symbol.call.handle.name or symbol.call.output
            raise ConfigError(f"a model may only start at nn.Input, not in the middle at {middle!r}: make a new nn.Input and call the layers on it")
    calls = topological(outputs, inputs)
    reached = {id(c.output) for c in calls}
    for symbol in inputs:
        if id(symbol) not in reached:
            calls.insert(0, symbol.call)
    given = {id(s) for s in inputs}
    for made in calls:
        if not made.inputs and id(made.output) not in given:
            raise ConfigError(f"{what}: an output depends on input {made.handle.name or made.output!r}, which is not among the model's inputs")
    taken: set[str] = set()
    owners: dict[int, str] = {}
    names: dict[int, str] = {}
    counts: dict[str, int] = {}
    for made in calls:  # names that users gave come first: made ones step aside
        if made.handle.named and id(made.handle) not in owners:
            wanted = _join(made.path, made.handle.name)
            if wanted in taken:
                raise ConfigError(
                    f"{what}: two layers are named {wanted!r}: names in one model must differ (models that are called need names of their own, too)"
                )
            taken.add(wanted)
            owners[id(made.handle)] = wanted
    nodes, handles = [], {}
    first: set[int] = set()
    for stream, made in enumerate(calls):
        handle = made.handle
        if id(handle) not in owners:
            base = _join(made.path, handle.name or "")
            if not handle.name or base in taken:
                base = _fresh(_join(made.path, snake(type(handle.layer).__name__)), counts, taken)
            handle.name = handle.name or base.rpartition("/")[2]
            taken.add(base)
            owners[id(handle)] = base
        owner = owners[id(handle)]
        again = id(handle) in first
        first.add(id(handle))
        names[id(made.output)] = name = _fresh(f"{owner}_call", {f"{owner}_call": 1}, taken) if again else owner
        taken.add(name)
        nodes.append(Node(name, handle.layer, tuple(names[id(s)] for s in made.inputs), owner, (), stream))
        handles[owner] = handle
    graph = Graph(tuple(nodes), tuple(names[id(s)] for s in inputs), tuple(names[id(s)] for s in outputs))
    return graph, handles


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path and name else path or name


def _fresh(base: str, counts: dict[str, int], taken: set[str]) -> str:
    while True:
        counts[base] = counts.get(base, 0) + 1
        if (name := f"{base}_{counts[base]}") not in taken:
            return name


def snake(name: str) -> str:
    """Keras' names: Conv2D -> conv2d, BatchNormalization -> batch_normalization, PReLU -> p_re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
