"""What is checked of everything that has an entry point: that its name leads to it, and that it says what it was written for."""

from collections.abc import Callable
from typing import Any

from ... import registry
from ...contract import CONTRACT, stated
from .mark import Skip


def registered(group: registry.Registry) -> Callable[[Any], str]:
    """A check: files, options and the command line know the class by a name that leads to it."""

    def check(cls: type) -> str:
        name = group.name_of(cls)
        found = group[name]
        assert found is cls, f"the name {name!r} leads to {found.__module__}.{found.__qualname__}: give the {group.kind} another name"
        point = group.point(name)
        if point.dist is None:
            raise Skip(f'no entry point names it: [project.entry-points."{group.group}"] {cls.__name__} = "{cls.__module__}:{cls.__qualname__}"')
        return f"{name} of {registry.distribution(point)} {registry.version(point)}"

    return check


def contract(thing: Any) -> str:
    """It says which contract it was written for, and that is ours. What numbacnn brings itself need not say it."""
    name = getattr(thing, "__name__", type(thing).__name__)
    where = getattr(getattr(thing, "function", thing), "__module__", "")
    if where.partition(".")[0] == registry.BUILT_IN:
        return f"{CONTRACT}, built in"
    number = stated(thing)
    assert number is not None, f"{name} does not say which contract it was written for: contract: ClassVar[int] = {CONTRACT}"
    assert number == CONTRACT, f"{name} was written for contract {number!r}, this numbacnn has contract {CONTRACT}"
    return str(number)
