"""Pass: into which segments a training step is cut whose insides are computed again for backward rather than kept.

Chen, Xu, Zhang and Guestrin, Training deep nets with sublinear memory cost, 2016.
"""

import itertools
import math
from collections.abc import Sequence

from ..errors import ConfigError, UnknownNameError
from ..graph import Shape
from .fold import Unit


def segments(units: list[Unit], shapes: dict[str, Shape], wanted: bool | Sequence[str]) -> list[range]:
    """Ranges of units, in order, all of which together are all units; one range: nothing is computed twice.

    wanted: False, True (about the square root of their number, cut where only one value goes on), or the names of the layers
    behind which to cut. Raises UnknownNameError for a name that is no layer's, ConfigError for one that was folded into another.
    """
    if not wanted:
        return [range(len(units))]
    cuts = _balanced(units, shapes) if wanted is True else _named(units, wanted)
    edges = [0, *cuts, len(units)]
    return [range(a, b) for a, b in itertools.pairwise(edges) if a < b]


def _named(units: list[Unit], names: Sequence[str]) -> list[int]:
    ends = {u.names[-1]: i + 1 for i, u in enumerate(units)}
    for name in names:
        if name not in ends and any(name in u.names for u in units):
            behind = next(u.names[-1] for u in units if name in u.names)
            raise ConfigError(f"checkpointing: {name!r} is computed together with {behind!r} and has no output of its own: name that one")
        if name not in ends:
            raise UnknownNameError("layer name in checkpointing", name, ends)
    return sorted(ends[name] for name in names)


def _balanced(units: list[Unit], shapes: dict[str, Shape]) -> list[int]:
    """Cuts behind units whose output is all that later ones read, so that the segments hold about equally much."""
    made = {u.names[-1]: i for i, u in enumerate(units)}
    reach = list(range(len(units)))  # the last unit that reads what this one makes
    for i, unit in enumerate(units):
        for name in (*unit.inputs, *([unit.residual] if unit.sum else [])):
            reach[made[name]] = i
    narrow, farthest = [], 0
    for i in range(len(units) - 1):
        if units[i].node.inputs and farthest <= i:
            narrow.append(i + 1)
        farthest = max(farthest, reach[i])
    sizes = [sum(math.prod(shapes[name]) for name in u.names) for u in units]
    count, total, seen, cuts = max(2, round(math.sqrt(len(units)))), sum(sizes), 0, []
    for i, size in enumerate(sizes):
        seen += size
        if i + 1 in narrow and seen >= total * (len(cuts) + 1) / count:
            cuts.append(i + 1)
    return cuts
