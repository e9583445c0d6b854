"""What a plugin's entry point must lead to, and the version of the contract that it was written for.

A plugin's class says `contract: ClassVar[int] = 1`; an architecture, `@architecture(contract=1)`. numbacnn's own classes state none,
so that nobody inherits a number that he never wrote: only what stands in a class outside numbacnn counts. Without a number a
plugin is taken as it is; `numbacnn plugins check` asks for one.
"""

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from importlib.metadata import version as installed
from typing import Any

from .errors import ContractError, PluginError
from .points import BUILT_IN, SWITCH, distribution, where

CONTRACT = 1

Rule = Callable[[Any], str | None]  # why an entry point's object is not what it must be


def stated(thing: Any) -> Any:
    """The contract that a plugin's class (or a base of its outside numbacnn), architecture or function was written for; None: it does not say."""
    if not isinstance(thing, type):
        return getattr(thing, "contract", None)
    return next((vars(c)["contract"] for c in thing.__mro__ if "contract" in vars(c) and c.__module__.partition(".")[0] != BUILT_IN), None)


def admit(kind: str, rule: Rule, name: str, point: EntryPoint, thing: Any) -> None:
    """Raise PluginError where a plugin's entry point leads to something that is no such thing, ContractError for another contract than ours."""
    said, owner = f"{kind} {name!r} of {where(point)}", distribution(point)
    if wrong := rule(thing):
        raise PluginError(f"{said} is {wrong}. Mend the plugin, or turn it off with {SWITCH}={owner}")
    number = stated(thing)
    if number is None or number == CONTRACT:
        return
    if type(number) is not int:
        raise ContractError(f"{said} has contract={number!r}, which is no integer; numbacnn {installed(BUILT_IN)} has contract {CONTRACT}")
    late, way_out = ("the plugin", owner) if number < CONTRACT else ("numbacnn", BUILT_IN)
    raise ContractError(
        f"{said} was written for contract {number}, numbacnn {installed(BUILT_IN)} has contract {CONTRACT}: {late} is too old, pip install --upgrade {way_out}"
    )


# ---- what an entry point must lead to


def class_of(base: str) -> Rule:
    """A class that derives from "module:Class"."""

    def rule(thing: Any) -> str | None:
        if not isinstance(thing, type):
            return f"no class: it is a {type(thing).__name__}, but must be a class that derives from {base.replace(':', '.')}"
        if not issubclass(thing, _find(base)):
            return f"the class {thing.__qualname__}, which does not derive from {base.replace(':', '.')}"
        lacks = no_dataclass(thing)
        return f"the class {thing.__qualname__}, which {lacks}" if lacks else None

    return rule


def no_dataclass(cls: type) -> str | None:
    """What is wrong with a class whose fields no decorator has seen."""
    own = [n for n, kind in vars(cls).get("__annotations__", {}).items() if "ClassVar" not in str(kind)]
    return f"has fields ({', '.join(own)}) but lacks @dataclass(frozen=True)" if own and "__dataclass_fields__" not in vars(cls) else None


def object_of(base: str, title: str) -> Rule:
    """An object of "module:Class"."""
    return lambda thing: None if isinstance(thing, _find(base)) else f"no {title}: it is a {type(thing).__name__}"


def function(thing: Any) -> str | None:
    """A function that makes a model."""
    return None if callable(thing) and not isinstance(thing, type) else f"no function of (symbol, classes): it is a {type(thing).__name__}"


def _find(place: str) -> type:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
