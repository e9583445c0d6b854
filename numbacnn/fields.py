"""Fields of dataclasses <-> JSON, directed by the annotations, so that tuples come back as tuples and nothing is guessed.

Fields may be int, float, str, bool, None, Literal, enums, tuples, unions, and dataclasses of these. A dataclass in a field is
stored as {"class": name, "fields": {...}} and looked up in fixed sets only: our initializers and regularizers, what the
caller's `find` offers, and otherwise the very class that the annotation names. Nothing is ever imported by a stored name.
"""

import enum
import functools
import math
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import numpy as np

from . import init, regularizers
from .errors import ConfigError, FileError, UnknownNameError

Find = Callable[[type, str], type | None]  # (annotated class, stored name) -> class, or None for "not mine"; UnknownNameError passes through
NameOf = Callable[[type], str | None]

_FAMILIES = {
    init.Initializer: {c.__name__: c for c in init.NAMES.values()},
    regularizers.Regularizer: {c.__name__: c for c in (regularizers.Regularizer, regularizers.L1, regularizers.L2, regularizers.L1L2)},
}
_NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_DEPTH = 32  # of dataclasses in dataclasses: a file must not exhaust the stack


class _Mismatch(Exception):
    """A value that is not of the annotated kind."""


def to_json(value: Any, name_of: NameOf | None = None) -> dict[str, Any]:
    """The fields of a dataclass as JSON-able data, those with default values too.

    name_of: gives the name under which a class in a field is stored, or None to use the class's own.
    Raises ConfigError naming class and field where a value does not fit its annotation.
    """
    return _encode_fields(value, type(value).__name__, name_of or (lambda cls: None))


def build(cls: type, stored: dict[str, Any], find: Find | None = None, where: str = "") -> Any:
    """The dataclass `cls` with the fields that `to_json` gave.

    where: what error messages call it. Raises FileError naming the path of the field (a field that this version does not
    know, a missing one, a value of another kind or that the class refuses), UnknownNameError from `find`, ConfigError for annotations that cannot be stored.
    """
    return _decode_fields(cls, stored, where or cls.__name__, find or (lambda kind, name: None), 0)


@functools.cache
def kinds(cls: type) -> dict[str, Any]:
    """Field name -> annotated type, for the fields that are stored; ConfigError where an annotation says too little to read them back."""
    stored = [f.name for f in _stored(cls)]
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError, AttributeError) as error:
        raise ConfigError(f"{cls.__name__}: its annotations cannot be evaluated ({error}): import the types that they name at run time") from error
    for name in stored:
        _check(hints[name], f"{cls.__name__}.{name}")
    return {name: hints[name] for name in stored}


def _stored(cls: type) -> Iterator[Field]:
    return (f for f in fields(cls) if f.init)


def _members(kind: Any) -> tuple | None:
    """What a union may be, else None."""
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else None


def _check(kind: Any, where: str) -> None:
    if (members := _members(kind)) is not None:
        for member in members:
            _check(member, where)
    elif typing.get_origin(kind) is tuple:
        for item in typing.get_args(kind):
            if item is not ...:
                _check(item, where)
    elif typing.get_origin(kind) is typing.Literal:
        if not all(a is None or type(a) in (int, str, bool) for a in typing.get_args(kind)):
            raise ConfigError(f"{where}: {kind} cannot be stored: Literals of int, str, bool and None can")
    elif kind is tuple:
        raise ConfigError(f"{where}: a bare tuple does not say what it holds: write tuple[int, int], tuple[float, ...] or the like")
    elif kind not in (int, float, str, bool, type(None)) and not (isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, enum.Enum))):
        raise ConfigError(
            f"{where}: fields of type {_show(kind)} cannot be stored; int, float, str, bool, None, Literal, enums, tuple[...], unions and dataclasses can"
        )


def _show(kind: Any) -> str:
    if (members := _members(kind)) is not None:
        return " | ".join(map(_show, members))
    if kind is type(None):
        return "None"
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")


def _family(kind: type) -> dict[str, type] | None:
    return next((known for base, known in _FAMILIES.items() if issubclass(kind, base)), None)


# ---- values -> JSON


def _encode_fields(value: Any, where: str, name_of: NameOf) -> dict[str, Any]:
    return {name: _outcome(_encode, kind, getattr(value, name), f"{where}.{name}", name_of, ConfigError) for name, kind in kinds(type(value)).items()}


def _outcome(function: Callable, kind: Any, value: Any, where: str, context: Any, error: type[Exception]) -> Any:
    try:
        return function(kind, value, where, context, False)
    except _Mismatch:
        shown = repr(value) if len(repr(value)) < 200 else f"{repr(value)[:200]}…"
        raise error(f"{where}={shown} is no {_show(kind)}") from None


def _encode(kind: Any, value: Any, where: str, name_of: NameOf, strict: bool) -> Any:
    if (members := _members(kind)) is not None:
        return _first(_encode, members, value, where, name_of, strict)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple if strict else (tuple, list)):
            raise _Mismatch
        return [_encode(k, v, where, name_of, strict) for k, v in zip(_items(kind, len(value)), value, strict=True)]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if not isinstance(value, kind):
            raise _Mismatch
        return value.name
    if is_dataclass(kind):
        if not isinstance(value, kind):
            raise _Mismatch
        return {"class": _name(type(value), kind, where, name_of), "fields": _encode_fields(value, where, name_of)}
    if isinstance(value, np.generic) and not strict:
        value = value.item()
    value = _plain(kind, value, strict)
    return value if type(value) is not float or math.isfinite(value) else repr(value)


def _name(cls: type, kind: type, where: str, name_of: NameOf) -> str:
    if (family := _family(kind)) is not None:
        if cls not in family.values():
            raise ConfigError(f"{where}: {cls.__name__} cannot be stored, since files know only our own: {', '.join(sorted(family))}")
        return cls.__name__
    if (name := name_of(cls)) is None and cls is not kind:
        raise ConfigError(f"{where}: {cls.__name__} cannot be stored where {kind.__name__} is expected")
    return name or cls.__name__


# ---- JSON -> values


def _decode_fields(cls: type, stored: Any, where: str, find: Find, depth: int) -> Any:
    if depth > _DEPTH:
        raise FileError(f"{where}: more than {_DEPTH} objects lie in each other")
    known = kinds(cls)
    if not isinstance(stored, dict):
        raise FileError(f"{where}: the fields of {cls.__name__} are missing")
    if extra := sorted(set(stored) - set(known)):
        raise FileError(
            f"{where}: {cls.__name__} has no field {', '.join(map(repr, extra))}; known: {', '.join(known) or 'none'}. "
            "The file was written by a newer version: upgrade numbacnn, or the plugin that the layer comes from"
        )
    if missing := [f.name for f in _stored(cls) if f.default is MISSING and f.default_factory is MISSING and f.name not in stored]:
        raise FileError(f"{where}: {cls.__name__} needs the field {', '.join(map(repr, missing))}, which the file lacks")
    values = {name: _outcome(_decode, known[name], value, f"{where}.{name}", (find, depth), FileError) for name, value in stored.items()}
    try:
        return cls(**values)
    except Exception as error:  # __post_init__, ours or a plugin's, met values that it was not written for
        raise FileError(f"{where}: {cls.__name__} cannot have these fields: {error}") from error


def _decode(kind: Any, value: Any, where: str, context: tuple[Find, int], strict: bool) -> Any:
    if (members := _members(kind)) is not None:
        return _first(_decode, members, value, where, context, strict)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise _Mismatch
        return tuple(_decode(k, v, where, context, strict) for k, v in zip(_items(kind, len(value)), value, strict=True))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if not isinstance(value, str) or value not in kind.__members__:
            raise _Mismatch
        return kind[value]
    if is_dataclass(kind):
        if not isinstance(value, dict) or set(value) != {"class", "fields"} or not isinstance(value["class"], str):
            raise _Mismatch
        return _decode_fields(_class(kind, value["class"], where, context[0]), value["fields"], where, context[0], context[1] + 1)
    if kind is float and isinstance(value, str) and value in _NUMBERS:
        return _NUMBERS[value]
    return _plain(kind, value, strict)


def _class(kind: type, name: str, where: str, find: Find) -> type:
    if (family := _family(kind)) is not None:
        if name not in family:
            raise FileError(f"{where}: {UnknownNameError(kind.__name__.lower(), name, family)}")
        found = family[name]
    else:
        found = find(kind, name) or (kind if name == kind.__name__ else None)
    if not (isinstance(found, type) and issubclass(found, kind) and is_dataclass(found)):
        raise _Mismatch
    return found


# ---- both ways


def _first(function: Callable, members: tuple, value: Any, where: str, context: Any, strict: bool) -> Any:
    """The first member of a union that fits as it is, else the first that fits with a conversion (int to float, list to tuple).

    float comes first: "inf" is a number wherever a number may stand.
    """
    members = sorted(members, key=lambda m: m is not float)
    for exact in (True,) if strict else (True, False):
        for member in members:
            try:
                result = function(member, value, where, context, exact)
            except _Mismatch:
                continue
            if member is not float and float in members and isinstance(value, str) and value in _NUMBERS:
                raise ConfigError(f"{where}={value!r}: beside a float this text would be read back as a number")
            return result
    raise _Mismatch


def _items(kind: Any, length: int) -> tuple:
    """The kinds of a tuple's items."""
    args = typing.get_args(kind)
    if len(args) == 2 and args[1] is ...:
        return (args[0],) * length
    args = () if args == ((),) else args
    if len(args) != length:
        raise _Mismatch
    return args


def _plain(kind: Any, value: Any, strict: bool) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        if any(type(a) is type(value) and a == value for a in typing.get_args(kind)):
            return value
    elif kind is float and type(value) is int and not strict:
        if abs(value) <= 2**1023:
            return float(value)
    elif type(value) is kind:
        return value
    raise _Mismatch
