"""Entry points -> classes. A class is imported when it is first asked for, so that start-up imports nothing.

Everything that can be plugged in is found here, built-in or not: the built-in layers stand in pyproject.toml
exactly as a plugin's do.
"""

import functools
import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

from .errors import PluginError, UnknownNameError

BUILT_IN = "numbacnn"


def _plain(name: str) -> str:
    """`hard_swish`, `HardSwish` and `hard-swish` are one name."""
    return name.replace("_", "").replace("-", "").lower()


class Registry:
    """Name -> class for one entry-point group.

    `registry["Conv2D"]` imports on first use; unknown names raise UnknownNameError with the nearest known one,
    an entry point that fails to import or that two distributions offer raises PluginError naming both.
    """

    def __init__(self, kind: str, group: str):
        self.kind, self.group = kind, group
        self._loaded: dict[str, type] = {}

    @functools.cached_property
    def points(self) -> dict[str, list[EntryPoint]]:
        """Entry points by name, in a stable order; a duplicate of one distribution counts once."""
        off = os.environ.get("NUMBACNN_DISABLE_PLUGINS", "")
        disabled = {d.strip().lower() for d in off.split(",")} - {"", "0"}
        points: dict[str, dict[str, EntryPoint]] = {}
        for point in sorted(entry_points(group=self.group), key=lambda p: (p.name, distribution(p))):
            owner = distribution(point)
            if owner != BUILT_IN and ("1" in disabled or owner.lower() in disabled):
                continue
            points.setdefault(point.name, {}).setdefault(f"{owner}:{point.value}", point)
        return {name: list(found.values()) for name, found in points.items()}

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        return {_plain(name): name for name in self.points}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.points))

    def __len__(self) -> int:
        return len(self.points)

    def __contains__(self, name: object) -> bool:
        return name in self.points or _plain(str(name)) in self._names

    def resolve(self, name: str) -> str:
        """The registered spelling of a name."""
        if name in self.points:
            return name
        if (known := self._names.get(_plain(str(name)))) is None:
            raise UnknownNameError(self.kind, name, self)
        return known

    def point(self, name: str) -> EntryPoint:
        """The one entry point behind a name; the built-in one wins over a plugin that takes its name."""
        found = self.points[self.resolve(name)]
        built_in = [p for p in found if distribution(p) == BUILT_IN]
        if len(found) > 1 and not built_in:
            offers = " and ".join(f"{distribution(p)} ({p.value})" for p in found)
            raise PluginError(
                f"{self.kind} {name!r} is offered by {offers}: uninstall one, or turn it off with NUMBACNN_DISABLE_PLUGINS={distribution(found[1])}"
            )
        return (built_in or found)[0]

    def __getitem__(self, name: str) -> type:
        known = self.resolve(name)
        if known not in self._loaded:
            point = self.point(known)
            try:
                self._loaded[known] = point.load()
            except Exception as error:
                where = f"{distribution(point)} {version(point)} ({point.value})"
                raise PluginError(f"{self.kind} {known!r} of {where} cannot be imported: {type(error).__name__}: {error}") from error
        return self._loaded[known]

    def name_of(self, cls: type) -> str:
        """The name under which files store a class: the class's own where that is registered, else the first that leads to it."""
        names = [n for n, found in self.points.items() if any(p.value == f"{cls.__module__}:{cls.__qualname__}" for p in found)]
        if not names:
            raise UnknownNameError(self.kind, cls.__qualname__, self)
        return cls.__name__ if cls.__name__ in names else names[0]


def distribution(point: EntryPoint) -> str:
    """Name of the distribution that an entry point comes from."""
    return point.dist.name if point.dist else "?"


def version(point: EntryPoint) -> str:
    """Version of the distribution that an entry point comes from."""
    return point.dist.version if point.dist else "?"


layers = Registry("layer", "numbacnn.layers")
losses = Registry("loss", "numbacnn.losses")
optimizers = Registry("optimizer", "numbacnn.optimizers")
metrics = Registry("metric", "numbacnn.metrics")
models = Registry("model", "numbacnn.models")
augmentations = Registry("augmentation", "numbacnn.augmentations")
commands = Registry("command", "numbacnn.commands")
ALL = (layers, losses, optimizers, metrics, models, augmentations, commands)
