"""A model's configuration, parsed: layers with their calls, whichever version of Keras wrote it. Nothing is built here."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .calls import Call, NoCall, Tensor, ends, parse_call
from .checks import Fail, shape, shown, text, within

MODELS = ("Functional", "Model", "Sequential")  # "Model" is what Functional was called before TensorFlow 2.3
_DEPTH = 32  # models in models
_LAYERS = 20_000


@dataclass
class Entry:
    """One layer of a configuration."""

    name: str
    class_name: str  # "" for the input of a Sequential that lists none
    config: dict
    calls: list[Call] = field(default_factory=list)
    model: "ParsedModel | None" = None
    module: Any = None
    registered_name: Any = None
    listed: bool = False  # its calls are spelled as tf.keras 2 does

    def within(self, fail: Fail) -> Fail:
        """The errors of this layer."""
        return within(fail, f"layer {self.name!r} ({self.class_name})")

    @property
    def outputs_of(self) -> int:
        """How many calls have outputs; an input is there without a call."""
        return 1 if self.class_name in ("", "InputLayer") else len(self.calls)


@dataclass
class ParsedModel:
    """A Functional or Sequential model. Calls count from 0 once `order.settle` has been over them."""

    name: str
    sequential: bool
    entries: dict[str, Entry]
    inputs: list[tuple[str | None, Tensor]] = field(default_factory=list)  # (key where inputs are a dict, output of an InputLayer)
    outputs: list[Tensor] = field(default_factory=list)
    trainable: bool = True
    shape: tuple | None = None  # of a Sequential's input, where no InputLayer says it
    order: list[tuple[str, int]] = field(default_factory=list)  # (layer, call), every call behind what it reads


def parse_model(stored: Any, fail: Fail, depth: int = 0) -> ParsedModel:
    """The model that {"class_name": …, "config": …} describes, and those in it."""
    if depth > _DEPTH:
        raise fail(f"more than {_DEPTH} models lie in each other")
    if not isinstance(stored, dict) or not isinstance(stored.get("class_name"), str):
        raise fail("the configuration is no JSON object with a class_name: the file is damaged, or holds no model of Keras")
    class_name, config = stored["class_name"], stored.get("config")
    if class_name not in MODELS:
        raise fail(
            f"the model is of class {shown(class_name)}: only Functional and Sequential models say in their file what they compute; "
            "a subclass of Model is code, which numbacnn does not run: build the model from layers, and save that"
        )
    if isinstance(config, list) and class_name == "Sequential":  # Keras 1 and early 2
        config = {"layers": config}
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise fail(f"the {class_name} has no config with a list of layers: the file is damaged")
    name = text(config.get("name") or stored.get("name") or class_name.lower(), fail, "name")
    inner = within(fail, f"model {name!r}") if depth else fail
    model = ParsedModel(name, class_name == "Sequential", _entries(config["layers"], inner, depth), trainable=config.get("trainable") is not False)
    if model.sequential:
        _chain(model, config, stored, inner)
        return model
    model.inputs = list(ends(config.get("input_layers"), inner, "input_layers"))
    model.outputs = [tensor for _, tensor in ends(config.get("output_layers"), inner, "output_layers")]
    for what, found in (("input_layers", model.inputs), ("output_layers", model.outputs)):
        if not found:
            raise inner(f"{what} names no layer")
    return model


def _entries(stored: list, fail: Fail, depth: int) -> dict[str, Entry]:
    if not stored or len(stored) > _LAYERS:
        raise fail(f"it has {len(stored):,} layers: 1 to {_LAYERS:,} are read")
    entries: dict[str, Entry] = {}
    for i, item in enumerate(stored):
        if not isinstance(item, dict) or not isinstance(item.get("class_name"), str):
            raise fail(f"layer {i} is no JSON object with a class_name, but {shown(item)}")
        entry = _entry(item, i, fail, depth)
        if entry.name in entries:
            raise fail(f"two layers are named {entry.name!r}: which of them a call means cannot be told")
        entries[entry.name] = entry
    return entries


def _entry(item: dict, index: int, fail: Fail, depth: int) -> Entry:
    class_name, config = item["class_name"], item.get("config")
    if not isinstance(config, dict) and not (class_name == "Sequential" and isinstance(config, list)):
        raise fail(f"layer {shown(item.get('name', index))} ({shown(class_name)}): its config is {shown(config)}, no JSON object")
    config = config if isinstance(config, dict) else {}
    name = text(item.get("name") or config.get("name") or f"{class_name.lower()}_{index}", fail, f"the name of layer {index}")
    entry = Entry(name, class_name, config, module=item.get("module"), registered_name=item.get("registered_name"))
    if class_name in MODELS:
        entry.model = parse_model(item, fail, depth + 1)
    nodes = item.get("inbound_nodes") or []
    if not isinstance(nodes, list) or len(nodes) > _LAYERS:
        raise entry.within(fail)(f"inbound_nodes={shown(nodes)} is no list of at most {_LAYERS:,} calls")
    for node in nodes:
        try:
            call, listed = parse_call(node)
        except NoCall:
            raise entry.within(fail)(f"inbound_nodes holds {shown(node)}, which is no call of a layer") from None
        entry.calls.append(call)
        entry.listed = entry.listed or listed
    return entry


def _chain(model: ParsedModel, config: dict, stored: dict, fail: Fail) -> None:
    """The calls of a Sequential: each layer reads the one before it."""
    entries = list(model.entries.values())
    if entries[0].class_name != "InputLayer":
        model.shape = _first_shape(entries[0], config, stored, fail)
        names = ("input_layer", *(f"input_layer_{i}" for i in range(len(entries))))
        entries.insert(0, Entry(next(n for n in names if n not in model.entries), "", {}))
        model.entries = {e.name: e for e in entries}
    for before, entry in pairwise(entries):
        if entry.class_name == "InputLayer":
            raise entry.within(fail)("an InputLayer comes first in a Sequential, not behind another layer")
        entry.calls = [Call([Tensor(before.name, 0, 0)], {})]
    model.inputs = [(None, Tensor(entries[0].name, 0, 0))]
    model.outputs = [Tensor(entries[-1].name, 0, 0)]


def input_shape(config: dict) -> Any:
    """What a layer's config says of the shape that its input has, the batch first; None for nothing."""
    return config.get("batch_shape") or config.get("batch_input_shape")


def _first_shape(first: Entry, config: dict, stored: dict, fail: Fail) -> tuple | None:
    """The shape of a Sequential's input: its first layer says it, the model in that place, or what building it left."""
    build = stored.get("build_config")
    for given in (input_shape(first.config), config.get("build_input_shape"), build.get("input_shape") if isinstance(build, dict) else None):
        if given is not None:
            return shape(given, fail, "the input's shape")
    while first.model is not None and len(first.model.inputs) == 1:
        if first.model.shape is not None:
            return first.model.shape
        if (inner := first.model.entries.get(first.model.inputs[0][1].layer)) is None:
            return None
        if (given := input_shape(inner.config)) is not None:
            return shape(given, fail, "the input's shape")
        first = inner
    return None
