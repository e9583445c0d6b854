"""What a file says of the distributions that its layers, losses, optimizers, metrics and augmentation come from, and what is installed of them.

/versions holds {"numbacnn": version, "layers": {name: {"distribution": …, "version": …}}, "losses": …, …}.
"""

import re
import warnings
from importlib import metadata
from typing import Any

from .. import registry
from ..errors import FileError, PluginError, UnknownNameError

GROUPS = {name: getattr(registry, name) for name in ("layers", "losses", "optimizers", "metrics", "augmentations")}


class MissingPluginError(FileError, PluginError):
    """A file holds something that a plugin brings which is not installed, is broken or is turned off."""


class PluginVersionWarning(UserWarning):
    """A plugin is older than the one that a file was written with."""


class MissingPluginWarning(UserWarning):
    """Something in a file was left out, since its plugin is not there."""


def written(layers: set[str], compiled: dict | None, loop: dict | None) -> dict[str, Any]:
    """/versions for a model with these registered layers."""
    found = {"layers": layers, **_used(compiled, loop)}
    return {"numbacnn": metadata.version("numbacnn"), **{group: _points(group, names) for group, names in found.items() if names}}


def _used(compiled: Any, loop: Any) -> dict[str, set[str]]:
    """Registered names in what compile stored, and the augmentation in the settings of `numbacnn fit`."""
    parts = compiled if isinstance(compiled, dict) else {}
    configs = {"optimizers": [parts.get("optimizer")], "losses": parts.get("losses") or [], "metrics": [c for cs in parts.get("metrics") or [] for c in cs]}
    found = {group: {c["name"] for c in listed if isinstance(c, dict) and isinstance(c.get("name"), str)} for group, listed in configs.items()}
    settings = loop.get("settings") if isinstance(loop, dict) else None
    augment = settings.get("augment") if isinstance(settings, dict) else None
    return found | {"augmentations": {augment} if isinstance(augment, str) else set()}


def _points(group: str, names: set[str]) -> dict[str, dict[str, str]]:
    points = {name: GROUPS[group].point(name) for name in sorted(names) if name in GROUPS[group]}
    return {name: {"distribution": registry.distribution(p), "version": registry.version(p)} for name, p in points.items()}


def find(group: str, name: str, versions: dict, path: object) -> Any:
    """The class of that name. Raises MissingPluginError, which says what to install, where it is not there or cannot be used."""
    try:
        return GROUPS[group][name]
    except UnknownNameError as error:
        raise _missing(group, name, versions, path, error) from error
    except PluginError as error:
        raise MissingPluginError(f"{path}: {error}") from error


def _missing(group: str, name: str, versions: dict, path: object, error: UnknownNameError) -> FileError:
    kind = GROUPS[group].kind
    distribution, version = stored(versions, group, name)
    if not distribution:
        return MissingPluginError(f"{path}: {error}; the file does not say which distribution it comes from")
    if distribution == registry.BUILT_IN:
        return FileError(f"{path}: {error}; the file was written by numbacnn {version}: upgrade numbacnn")
    try:
        here = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return MissingPluginError(
            f"{path}: {kind} {name!r} is not installed; the file says that it comes from {distribution} {version}: "
            f"if you trust that, pip install '{distribution}>={version}'"
        )
    return MissingPluginError(
        f"{path}: {kind} {name!r} comes from {distribution} {version}; {distribution} {here} is installed, which has none: "
        f"pip install '{distribution}{'>=' if older(here, version) else '=='}{version}'"
    )


def stored(versions: dict, group: str, name: str) -> tuple[str, str]:
    """(distribution, version) that a file names; ("", "") where it names none, or something that is no name: it may come from anybody."""
    listed = versions.get(group)
    origin = listed.get(name) if isinstance(listed, dict) else None
    distribution, version = (str(origin.get(k)) for k in ("distribution", "version")) if isinstance(origin, dict) else ("", "")
    if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", distribution, re.ASCII) and re.fullmatch(r"[\w.+!-]{1,50}", version, re.ASCII):
        return distribution, version
    return "", ""


def warn_of_older(versions: dict, path: object) -> None:
    """PluginVersionWarning for each plugin that is older here than the one that the file was written with."""
    for distribution, version in sorted({stored(versions, group, name) for group in GROUPS for name in _dict(versions.get(group))} - {("", "")}):
        try:
            here = None if distribution == registry.BUILT_IN else metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        if here is not None and older(here, version):
            told = f"{path} was written with {distribution} {version}, but {distribution} {here} is installed, which is older"
            warnings.warn(f"{told}: pip install --upgrade '{distribution}>={version}'", PluginVersionWarning, stacklevel=3)


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def older(a: str, b: str) -> bool:
    """Whether version a comes before version b: numbers by size, "1.0" is "1", and 1.0.dev3 < 1.0a1 < 1.0rc1 < 1.0 < 1.0.post1; no opinion else."""
    x, y = _order(a), _order(b)
    return x is not None and y is not None and x < y


def _order(version: str) -> tuple | None:
    match = re.fullmatch(
        r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)[-_.]?(a|b|c|rc|alpha|beta|pre|preview|dev|post|rev|r)?[-_.]?(\d*)(?:[-_.].*|\+.*)?", version.strip().lower()
    )
    if match is None:
        return None
    epoch, numbers, stage, count = match.groups()
    release = [int(n) for n in numbers.split(".")]
    while release and release[-1] == 0:
        release.pop()
    stages = {"dev": 0, "a": 1, "alpha": 1, "b": 2, "beta": 2, "c": 3, "rc": 3, "pre": 3, "preview": 3, None: 4, "post": 5, "rev": 5, "r": 5}
    return int(epoch or 0), release, stages[stage], int(count or 0)
