"""What is examined: everything that a distribution or a module brings."""

import importlib
import importlib.util
import inspect
import re
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from ... import registry
from ...errors import PluginError, UnknownNameError
from ...layer import Layer
from ...points import SWITCH

INTERNAL = ("Input",)  # stands where data enters: it computes nothing


@dataclass(frozen=True)
class Subject:
    """One thing: its kind ("layer", "loss", …), registered name, where it comes from; error: why it cannot be had."""

    kind: str
    name: str
    value: str  # module:object
    distribution: str = ""
    version: str = ""
    error: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)

    def load(self) -> Any:
        """The class or function; of a command its name, after a look whether it can be imported."""
        module, _, name = self.value.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return self.name if self.kind == registry.commands.kind else found


def subjects(target: str) -> list[Subject]:
    """All that a distribution registers, or the layers that a module (its name, or a file) defines and all that it registers.

    Layers of a module that no entry point names are registered for this process, under the names of their classes. Raises
    UnknownNameError where there is neither such a distribution nor such a module, PluginError where it is turned off; what importing
    a module raises passes.
    """
    if any(_normal(registry.distribution(p)) == _normal(target) for group in registry.ALL for p in group.turned_off()):
        raise PluginError(f"{target} is turned off by {SWITCH}: unset it for the examination")
    if found := _of_distribution(target):
        return found
    module = _import(target)
    return _of_module(module)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _points() -> list[tuple[str, str, EntryPoint]]:
    return [(group.kind, point.name, point) for group in registry.ALL for points in group.points.values() for point in points]


def _of_distribution(target: str) -> list[Subject]:
    mine = [(kind, name, p) for kind, name, p in _points() if _normal(registry.distribution(p)) == _normal(target)]
    return _each_once([_subject(*one) for one in mine if one[1] not in INTERNAL or registry.distribution(one[2]) != registry.BUILT_IN])


def _each_once(found: list[Subject]) -> list[Subject]:
    """What has several names, under its own where that is registered."""
    once: dict[tuple[str, str], Subject] = {}
    for subject in found:
        key = subject.kind, subject.value
        if key not in once or subject.value.endswith(f":{subject.name}"):
            once[key] = subject
    return list(once.values())


def _subject(kind: str, name: str, point: EntryPoint) -> Subject:
    return Subject(kind, name, point.value, registry.distribution(point), registry.version(point))


def _import(target: str) -> Any:
    file = Path(target)
    if target.endswith(".py") and file.is_file():
        sys.path.insert(0, str(file.resolve().parent))
        return importlib.import_module(file.stem)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        there = importlib.util.find_spec(target) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        raise UnknownNameError("plugin distribution or module", target, sorted({registry.distribution(p) for _, _, p in _points()}))
    return importlib.import_module(target)


def _of_module(module: Any) -> list[Subject]:
    known = [(kind, name, p) for kind, name, p in _points() if p.value.partition(":")[0] == module.__name__]
    found = _each_once([_subject(*point) for point in known])
    for name, cls in sorted(vars(module).items()):
        mine = inspect.isclass(cls) and issubclass(cls, Layer) and cls.__module__ == module.__name__ and not name.startswith("_")
        value = f"{module.__name__}:{name}"
        if mine and value not in {p.value for _, _, p in known}:
            registry.layers.add(EntryPoint(name, value, registry.layers.group))
            found.append(Subject("layer", name, value))
    if not found:
        raise UnknownNameError("layer in module", module.__name__, [])
    return found
