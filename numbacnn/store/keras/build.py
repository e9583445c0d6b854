"""A parsed model -> our graph: models in the model are inlined, with a path, and layers that are called several times keep one set of weights."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ... import registry
from ...errors import NumbacnnError
from ...graph import Graph, Node, Shape, infer_shape
from ...layer import Layer
from .calls import Call, Tensor, replaced, tensors_in
from .channels_first import is_channels_first, last_shape, with_channels_last
from .checks import Fail, shape, shown, within
from .layers import Part, check_dtype, is_trainable, parts_of
from .operations import Slot, is_operation, operation
from .parse import Entry, ParsedModel, input_shape
from .tree import KerasLayer, ordered_weights

_CALLS = 20_000  # models that call models that call models multiply
_FUNCTIONS = ("TFOpLambda", "SlicingOpLambda")
_SIZE = 1 << 30  # elements of one weight, and of one output for one image


@dataclass
class _Made:
    """What became of a layer: the owner of its weights, and these."""

    owner: str
    parts: list[tuple[Part, str]] = field(default_factory=list)  # (layer, owner)
    weights: tuple = ()


class Builder:
    """Collects the nodes of a graph. `keras` is the major version that wrote the file."""

    def __init__(self, keras: int, fail: Fail):
        self.keras, self.fail = keras, fail
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self.made: dict[tuple[str, str], _Made] = {}  # (path, layer) -> what became of it
        self.trainable: dict[str, bool] = {}
        self.calls = 0
        self.channels_first = False
        self._counts: dict[str, int] = {}

    def inputs(self, model: ParsedModel) -> list[str]:
        """Nodes for the inputs of the outermost model."""
        self.channels_first, names = is_channels_first(model, self.fail), []
        for _, tensor in model.inputs:
            entry = model.entries[tensor.layer]
            fail = entry.within(self.fail)
            found = model.shape if not entry.class_name else self._input_shape(entry, fail)
            if found is None:
                raise self.fail("the file does not say what shape the model's input has: build the model in Keras, or begin it with an Input, and save again")
            self._limit(found, "an input", fail)
            if self.channels_first:
                found = last_shape(found)
            owner = self._fresh(entry.name)
            self.made["", entry.name] = _Made(owner)
            names.append(self._add(owner, owner, registry.layers["Input"](found), (), fail))
        return names

    @staticmethod
    def _input_shape(entry: Entry, fail: Fail) -> Shape:
        config = entry.config
        if config.get("sparse") or config.get("ragged"):
            raise fail("sparse and ragged inputs are not read")
        if not isinstance(dtype := config.get("dtype"), str) or not dtype.startswith(("float", "bfloat", "int", "uint")):
            check_dtype(dtype, fail)
        return shape(input_shape(config), fail, "batch_shape")

    def call_model(self, model: ParsedModel, given: Sequence[str], path: str, trainable: bool, fail: Fail) -> list[str]:
        """Nodes for one call of a model on the nodes `given`; returns the nodes of its outputs."""
        trainable = trainable and model.trainable
        values: dict[tuple[str, int], list[str]] = {}
        for (_, tensor), name in zip(model.inputs, given, strict=True):
            values[tensor.layer, 0] = [name]

        def node(tensor: Tensor, fail: Fail) -> str:
            outputs = values[tensor.layer, tensor.call]
            if tensor.index >= len(outputs):
                raise fail(f"output {tensor.index} of {tensor.layer!r} is read, but it has {len(outputs)}")
            return outputs[tensor.index]

        for name, number in model.order:
            self.calls += 1
            if self.calls > _CALLS:
                raise self.fail(f"it has more than {_CALLS:,} layers, counting each call of the models in it")
            if (name, number) in values:
                continue
            entry = model.entries[name]
            call, inside = entry.calls[number], entry.within(fail)
            inputs = [node(t, inside) for t in tensors_in([call.args, call.options])]
            if entry.model is not None:
                inner = within(fail, f"model {name!r}")
                ordered = self._arguments(entry, call, node, inner)
                values[name, number] = self.call_model(entry.model, ordered, f"{path}{name}/", trainable, inner)
            else:
                values[name, number] = [self._call_layer(entry, call, inputs, path, trainable, fail)]
        return [node(t, fail) for t in model.outputs]

    def _arguments(self, entry: Entry, call: Call, node: Callable[[Tensor, Fail], str], fail: Fail) -> list[str]:
        """The nodes that a model is called on, in the order of its inputs; a dict says which is which."""
        if self._trains(call):
            raise fail("it is called with training=True: numbacnn has no layers that train while they predict")
        given = call.args[0] if len(call.args) == 1 else call.args
        inputs = entry.model.inputs
        if isinstance(given, dict):
            keys = {name: t for key, tensor in inputs for name in (key, tensor.layer) if (t := given.get(name)) is not None and name is not None}
            given = [keys.get(key) or keys.get(tensor.layer) for key, tensor in inputs]
        tensors = [given] if isinstance(given, Tensor) else given
        if not isinstance(tensors, list) or len(tensors) != len(inputs) or not all(isinstance(t, Tensor) for t in tensors):
            raise fail(f"it has {len(inputs)} inputs ({', '.join(t.layer for _, t in inputs)}), which {shown(call.args)} are not")
        return [node(t, fail) for t in tensors]

    def _call_layer(self, entry: Entry, call: Call, inputs: list[str], path: str, trainable: bool, fail: Fail) -> str:
        """The node that a call of a layer becomes, the last of its parts' nodes."""
        inside = entry.within(fail)
        if not inputs:
            raise inside("it is called on no tensor")
        made = self._made_of(entry, call, [self.shapes[i] for i in inputs], path, trainable, fail)
        done: list[str] = []
        for part, owner in made.parts:
            sources = tuple(inputs) if part.sources is None else tuple(inputs[s] if s >= 0 else done[~s] for s in part.sources)
            name = owner if owner not in self.shapes else self._fresh(owner, "_call")
            done.append(self._add(name, owner, part.layer, sources, inside))
            found = self._weights(part.layer, [self.shapes[s] for s in sources], inside)
            if owner == made.owner:
                if name != owner and found != made.weights:
                    raise inside(f"it is shared, but an input of shape {self.shapes[sources[0]]} needs other weights than the first one")
                made.weights = found
        return done[-1]

    def _made_of(self, entry: Entry, call: Call, shapes: list[Shape], path: str, trainable: bool, fail: Fail) -> _Made:
        """What a layer becomes, at its first call; later calls get the same. A function becomes something at each call: its arguments differ."""
        inside, made, is_function = entry.within(fail), self.made.get((path, entry.name)), is_operation(entry) or entry.class_name in _FUNCTIONS
        if self.channels_first:
            entry = with_channels_last(entry, shapes, inside)
        if is_function:
            slots = iter(range(len(shapes)))
            args, options = replaced([call.args, call.options], lambda _: Slot(next(slots)))
            made, parts = None, operation(entry, args, options, shapes, self.keras, inside)
        else:
            self._check_call(call, inside)
            parts = tuple(part for part, _ in made.parts) if made else parts_of(entry, shapes, self.keras, fail)
            if self._trains(call) and (entry.class_name.startswith("Random") or any(self._rests(p.layer) for p in parts)):
                raise inside("it is called with training=True: numbacnn has no layers that train while they predict")
        if made is None:
            made = self.made[path, entry.name] = _Made(self._fresh(path + entry.name))
            owners = [self._fresh(f"{made.owner}/part{i + 1}") for i in range(len(parts) - 1)]
            made.parts = list(zip(parts, (*owners, made.owner), strict=True))
            self.trainable[made.owner] = trainable and is_trainable(entry, fail)
        return made

    def _trains(self, call: Call) -> bool:
        """Whether a call says training=True. Keras 3 notes that too, but whoever runs the model overrules it."""
        return self.keras < 3 and call.options.get("training") is True

    @staticmethod
    def _rests(layer: Layer) -> bool:
        return type(layer).inference is not Layer.inference

    @staticmethod
    def _check_call(call: Call, fail: Fail) -> None:
        """A layer is called on a tensor or on one list of tensors; what else may stand there changes nothing."""
        first = call.args[0] if call.args else None
        if len(call.args) != 1 or not (isinstance(first, Tensor) or (isinstance(first, list) and first and all(isinstance(t, Tensor) for t in first))):
            raise fail(f"it is called on {shown(call.args)}: layers are called on a tensor or on one list of tensors")
        if extra := [k for k, v in call.options.items() if k not in ("training", "mask") and v is not None]:
            raise fail(f"it is called with {extra[0]}={shown(call.options[extra[0]])}, which numbacnn does not know")
        if call.options.get("mask") is not None and any(m is not None for m in _flat(call.options["mask"])):
            raise fail("it is called with a mask, which numbacnn does not know")

    def _add(self, name: str, owner: str, layer: Layer, inputs: tuple[str, ...], fail: Fail) -> str:
        try:
            made = infer_shape(owner, layer, tuple(self.shapes[i] for i in inputs))
        except NumbacnnError as error:  # it names the layer
            raise self.fail(str(error)) from error
        except Exception as error:  # a layer, perhaps a plugin's, met a shape that it was not written for
            raise fail(f"it cannot take input shape {', '.join(str(self.shapes[i]) for i in inputs)} ({type(error).__name__}: {error})") from error
        self._limit(made, "its output", fail)
        self.shapes[name] = made
        self.nodes.append(Node(name, layer, inputs, owner, (), len(self.nodes)))
        return name

    @staticmethod
    def _weights(layer: Layer, shapes: Sequence[Shape], fail: Fail) -> tuple:
        try:
            found = ordered_weights(layer, shapes)
        except Exception as error:
            raise fail(f"it cannot have weights for input shape {', '.join(map(str, shapes))} ({type(error).__name__}: {error})") from error
        for name, size in found:
            Builder._limit(size, f"its weight {name}", fail)
        return found

    @staticmethod
    def _limit(size: Shape, what: str, fail: Fail) -> None:
        if math.prod(n or 1 for n in size) > _SIZE:
            raise fail(f"{what} has shape {shown(size)}, which is more than {_SIZE:,} numbers: the file is damaged, or made to fill the memory")

    def _fresh(self, base: str, suffix: str = "") -> str:
        """A name that no node has: base, or base + suffix with a number from 2 on."""
        if base not in self.shapes and not suffix:
            return base
        base += suffix
        count = self._counts.get(base, 2)
        while f"{base}_{count}" in self.shapes:
            count += 1
        self._counts[base] = count + 1
        return f"{base}_{count}"

    # ---- results

    def graph(self, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
        """The graph of all nodes that an output depends on."""
        inputs_of = {n.name: n.inputs for n in self.nodes}
        needed, stack = set(inputs), list(outputs)
        while stack:
            if (name := stack.pop()) not in needed:
                needed.add(name)
                stack.extend(inputs_of[name])
        return Graph(tuple(n for n in self.nodes if n.name in needed), tuple(inputs), tuple(outputs))

    def tree(self, model: ParsedModel, owners: set[str], path: str = "", trainable: bool = True) -> Iterator[KerasLayer]:
        """The layers of the file. A layer that no output depends on has weights there, but no owner here."""
        trainable = trainable and model.trainable
        for entry in model.entries.values():
            if not entry.class_name or (model.sequential and entry.class_name == "InputLayer"):
                continue
            if entry.model is not None:
                name, inner = "Sequential" if entry.model.sequential else "Functional", f"{path}{entry.name}/"
                children = tuple(self.tree(entry.model, owners, inner, trainable))
                yield KerasLayer(entry.name, name, trainable=trainable and entry.model.trainable, children=children)
                continue
            made = self.made.get((path, entry.name)) or _Made("")
            own = trainable and is_trainable(entry, self.fail)
            owner = made.owner if made.owner in owners else None
            yield KerasLayer(entry.name, entry.class_name, owner, made.weights, own, is_operation=is_operation(entry))


def _flat(value: object) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]
