"""Entry points -> classes. A class is imported when it is first asked for, so that start-up imports nothing.

Everything that can be plugged in is found here, built-in or not: the built-in layers stand in pyproject.toml
exactly as a plugin's do. What is wrong with a plugin is an error when that plugin is asked for, and never before.
"""

import functools
import os
import shlex
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

from .contract import Rule, admit, class_of, function, object_of
from .errors import NumbacnnError, PluginError, UnknownNameError
from .points import BUILT_IN, SWITCH, distribution, edited, found, is_built_in, is_off, plain, version, where

__all__ = [
    "ALL",
    "BUILT_IN",
    "Registry",
    "augmentations",
    "commands",
    "distribution",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "origin",
    "version",
]


class Registry:
    """Name -> class for one entry-point group.

    `registry["Conv2D"]` imports on first use; unknown names raise UnknownNameError with the nearest known one,
    an entry point that fails to import, that leads to another thing than it should or that two distributions offer raises PluginError
    naming both.
    """

    def __init__(self, kind: str, group: str, rule: Rule):
        self.kind, self.group, self.rule = kind, group, rule
        self._loaded: dict[str, type] = {}

    def refresh(self) -> None:
        """Look anew at what is installed."""
        for name in ("every", "points", "_names"):
            self.__dict__.pop(name, None)
        self._loaded.clear()

    def add(self, point: EntryPoint) -> None:
        """One more entry point, for this process."""
        every = [*self.every, point]
        self.refresh()
        self.every = every

    @functools.cached_property
    def every(self) -> list[EntryPoint]:
        """All entry points, those included that are turned off or have a name that is taken."""
        return found(self.group)

    @functools.cached_property
    def points(self) -> dict[str, list[EntryPoint]]:
        """Entry points by name, those that are turned off left out. A plugin's stands under the first spelling of its name (a built-in one's)."""
        spelling: dict[str, str] = {}
        points: dict[str, list[EntryPoint]] = {}
        for point in self.every:
            if not is_off(point):
                first = spelling.setdefault(plain(point.name), point.name)
                points.setdefault(point.name if is_built_in(point) else first, []).append(point)
        return points

    def turned_off(self) -> list[EntryPoint]:
        """The entry points that NUMBACNN_DISABLE_PLUGINS leaves out."""
        return [p for p in self.every if is_off(p)]

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        return {plain(name): name for name in self.points}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.points))

    def __len__(self) -> int:
        return len(self.points)

    def __contains__(self, name: object) -> bool:
        return name in self.points or plain(str(name)) in self._names

    def resolve(self, name: str) -> str:
        """The registered spelling of a name."""
        if name in self.points:
            return name
        if (known := self._names.get(plain(str(name)))) is None:
            raise self.unknown(name)
        return known

    def unknown(self, name: object) -> NumbacnnError:
        """The error for a name that is not there: PluginError where it is turned off, else UnknownNameError."""
        for point in self.turned_off():
            if plain(point.name) == plain(str(name)):
                value = os.environ.get(SWITCH, "")
                return PluginError(f"{self.kind} {name!r} of {where(point)} is turned off: {SWITCH} is {value!r}; unset it, or leave {distribution(point)} out")
        return UnknownNameError(self.kind, name, self)

    def point(self, name: str) -> EntryPoint:
        """The one entry point behind a name; the built-in one wins over a plugin that takes its name."""
        known = self.points[self.resolve(name)]
        built_in = [p for p in known if is_built_in(p)]
        if len(known) > 1 and not built_in:
            offers = " and ".join(f"{distribution(p)} ({p.value})" if p.dist else f"the module {p.module} ({p.attr})" for p in known)
            last = [p for p in known if p.dist][-1:]
            way_out = f"uninstall one, or turn it off with {SWITCH}={distribution(last[0])}" if last else "rename one"
            raise PluginError(f"{self.kind} {name!r} is offered by {offers}: {way_out}")
        return (built_in or known)[0]

    def __getitem__(self, name: str) -> type:
        known = self.resolve(name)
        if known not in self._loaded:
            self._loaded[known] = self.load(self.point(known))
        return self._loaded[known]

    def load(self, point: EntryPoint) -> Any:
        """What one entry point leads to; PluginError naming distribution and entry point where it is broken."""
        try:
            thing = point.load()
        except (Exception, SystemExit) as error:
            owner = distribution(point)
            anew = f"-e {shlex.quote(folder)} after a change of its entry points" if (folder := edited(point)) else f"--upgrade {owner}"
            way_out = "install numbacnn anew" if is_built_in(point) else f"pip install {anew}, or turn it off with {SWITCH}={owner}"
            raise PluginError(f"{self.kind} {point.name!r} of {where(point)} cannot be imported: {type(error).__name__}: {error}; {way_out}") from error
        if not is_built_in(point):
            admit(self.kind, self.rule, point.name, point, thing)
        return thing

    def name_of(self, cls: type) -> str:
        """The name under which files store a class: the class's own where that is registered, else the first that leads to it."""
        value = f"{cls.__module__}:{cls.__qualname__}"
        offered = {name: p for name, points in self.points.items() for p in points if p.value == value}
        names = [name for name in offered if self.point(name).value == value]
        if names:
            return cls.__name__ if cls.__name__ in names else names[0]
        for name, point in offered.items():
            other = where(self.point(name))
            raise PluginError(f"{self.kind} {cls.__name__} of {where(point)} has a name that {other} has, {name!r}: it needs a name of its own in files")
        raise self.unknown(cls.__qualname__)


layers = Registry("layer", "numbacnn.layers", class_of("numbacnn.layer:Layer"))
losses = Registry("loss", "numbacnn.losses", class_of("numbacnn.losses.base:Loss"))
optimizers = Registry("optimizer", "numbacnn.optimizers", class_of("numbacnn.optimizers.base:Optimizer"))
metrics = Registry("metric", "numbacnn.metrics", class_of("numbacnn.metrics.base:Metric"))
models = Registry("model", "numbacnn.models", function)
augmentations = Registry("augmentation", "numbacnn.augmentations", class_of("numbacnn.augmentations.base:Augmentation"))
commands = Registry("command", "numbacnn.commands", object_of("click:Command", "click command"))
ALL = (layers, losses, optimizers, metrics, models, augmentations, commands)


def origin(thing: Any) -> str:
    """Where a plugin's class or object comes from, `numbacnn-mish 0.1.0 (numbacnn_mish:Mish)`; "" for what is built in or not registered."""
    cls = thing if isinstance(thing, type) else type(thing)
    values = {f"{c.__module__}:{c.__qualname__}" for c in cls.__mro__ if c.__module__.partition(".")[0] not in (BUILT_IN, "builtins")}
    return next((where(p) for r in ALL for p in r.every if p.value in values and not is_built_in(p)), "") if values else ""
