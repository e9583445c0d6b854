"""Entry points as the installed distributions declare them; nothing is imported for it.

Environment, read when a registry first looks:
  NUMBACNN_DISABLE_PLUGINS  1 turns all plugins off; a comma list of distributions, those
"""

import functools
import json
import os
import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any
from urllib.request import url2pathname

BUILT_IN = "numbacnn"
SWITCH = "NUMBACNN_DISABLE_PLUGINS"


def plain(name: str) -> str:
    """`hard_swish`, `HardSwish` and `hard-swish` are one name."""
    return name.replace("_", "").replace("-", "").lower()


def distribution(point: EntryPoint) -> str:
    """Name of the distribution that an entry point comes from."""
    return _named(point.dist)[0]


def version(point: EntryPoint) -> str:
    """Version of the distribution that an entry point comes from."""
    return _named(point.dist)[1]


@functools.cache
def _named(dist: Any) -> tuple[str, str]:
    """(name, version): Python reads the distribution's file for each."""
    return (dist.name or "?", dist.version or "?") if dist else ("?", "?")


def edited(point: EntryPoint) -> str | None:
    """The folder of a distribution that `pip install -e` installed, else None."""
    try:
        about = json.loads((point.dist and point.dist.read_text("direct_url.json")) or "{}")
        url = about["url"] if about["dir_info"]["editable"] else ""
    except (ValueError, KeyError, TypeError, OSError):
        return None
    return url2pathname(url.removeprefix("file://")) or None


def where(point: EntryPoint) -> str:
    """How messages call an entry point: `numbacnn-mish 0.1.0 (numbacnn_mish:Mish)`."""
    return f"{distribution(point)} {version(point)} ({point.value})"


def is_built_in(point: EntryPoint) -> bool:
    return distribution(point) == BUILT_IN


def is_off(point: EntryPoint) -> bool:
    """Whether NUMBACNN_DISABLE_PLUGINS turns it off; never for what is built in."""
    wanted = {_normal(d) for d in os.environ.get(SWITCH, "").split(",")} - {"", "0"}
    return bool(wanted) and not is_built_in(point) and ("1" in wanted or _normal(distribution(point)) in wanted)


def found(group: str) -> list[EntryPoint]:
    """All entry points of a group in a stable order, what is built in first; a duplicate of one distribution counts once."""
    try:
        every = entry_points(group=group)
    except Exception:  # one distribution's file is damaged, and Python gives none of the others'
        every = (p for d in distributions() if not damage(d) for p in d.entry_points.select(group=group))
    points: dict[tuple, EntryPoint] = {}
    for point in sorted(every, key=lambda p: (not is_built_in(p), p.name, distribution(p))):
        points.setdefault((point.name, distribution(point), point.value), point)
    return list(points.values())


def damage(dist: object) -> str | None:
    """Why a distribution's entry points cannot be read, else None."""
    try:
        list(dist.entry_points)
    except Exception as error:
        return f"its entry_points.txt is damaged ({type(error).__name__}: {error}): install it again"
    return None


def damaged() -> Iterator[tuple[str, str, str]]:
    """(name, version, reason) of distributions whose entry points cannot be read."""
    return ((d.name or "?", d.version or "?", reason) for d in distributions() if (reason := damage(d)))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
