"""Calls of layers, as configurations spell them.

Three spellings are read, told apart by their types and never by a version:
  {"args": [tensor, …], "kwargs": {…}}     Keras 3; tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, call, output]}}
  [["a", 0, 0, {…}], ["b", 1, 0, {…}]]     tf.keras 2: one call, of one or more tensors
  ["a", 0, 0, {"y": 2.0}]                  tf.keras 2, functions of TensorFlow: the other arguments hide among the options
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .checks import Fail, plain, shown

_DEPTH = 16  # lists in lists
_CONSTANT = "_CONSTANT_VALUE"  # stands in a tensor's place where the first argument is a number


@dataclass(frozen=True)
class Tensor:
    """An output of a call of a layer."""

    layer: str
    call: int
    index: int


@dataclass
class Call:
    """What a layer is called with: tensors, constants, and lists and dicts of these."""

    args: list
    options: dict


class NoCall(Exception):
    """Something that is no call, or can be no argument."""


def parse_call(node: Any) -> tuple[Call, bool]:
    """(a call, whether it is spelled as tf.keras 2 does); raises NoCall."""
    if isinstance(node, dict) and "args" in node:
        args, options = node["args"], node.get("kwargs") or {}
        if not isinstance(args, list) or not isinstance(options, dict):
            raise NoCall
        return Call([_value(a, False) for a in args], {k: _value(v, False) for k, v in options.items()}), False
    if _is_reference(node):
        return Call([_first(node)], _options(node)), True
    if isinstance(node, dict) and node and all(_is_reference(v) for v in node.values()):
        return Call([{k: _first(v) for k, v in node.items()}], {}), True
    if isinstance(node, list) and node and all(_is_reference(v) for v in node):
        tensors = [_first(v) for v in node]
        return Call([tensors[0] if len(tensors) == 1 else tensors], _options(node[0])), True
    raise NoCall


def _is_reference(value: Any) -> bool:
    """Whether a list is [layer, call, output], perhaps with options behind."""
    return isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str) and type(value[1]) is int


def _tensor(value: list) -> Tensor:
    name, call, index = value[:3]
    if not isinstance(name, str) or not all(type(n) is int and n >= 0 for n in (call, index)):
        raise NoCall
    return Tensor(name, call, index)


def _first(reference: list) -> Any:
    return plain(reference[2]) if reference[0] == _CONSTANT else _tensor(reference)


def _options(reference: list) -> dict:
    options = reference[3] if len(reference) == 4 else {}
    if not isinstance(options, dict):
        raise NoCall
    return {k: _value(v, True) for k, v in options.items()}


def _value(value: Any, listed: bool, depth: int = 0) -> Any:
    """An argument, with Tensors where tensors are named."""
    if depth > _DEPTH:
        raise NoCall
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, dict) else None
            if not isinstance(history, list) or len(history) != 3:
                raise NoCall
            return _tensor(history)
        if (unwrapped := plain(value)) is not value:
            return unwrapped
        return {k: _value(v, listed, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        if listed and _is_reference(value):
            return _first(value)
        return [_value(v, listed, depth + 1) for v in value]
    return value


def ends(value: Any, fail: Fail, what: str, key: str | None = None, depth: int = 0) -> Iterator[tuple[str | None, Tensor]]:
    """(key in a dict, tensor) of a model's inputs or outputs: ["x", 0, 0], a list of such, or a dict of such, in lists as well."""
    if isinstance(value, dict) and depth < 4:
        for name, item in value.items():
            yield from ends(item, fail, what, name, depth + 1)
    elif isinstance(value, list) and depth < 4 and not _is_reference(value):
        for item in value:
            yield from ends(item, fail, what, key, depth + 1)
    else:
        try:
            if not _is_reference(value):
                raise NoCall
            yield key, _tensor(value)
        except NoCall:
            raise fail(f"{what} holds {shown(value)}, which is no [layer, call, output]") from None


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors among arguments, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


def replaced(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Arguments with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list):
        return [replaced(v, change) for v in value]
    if isinstance(value, dict):
        return {k: replaced(v, change) for k, v in value.items()}
    return value
