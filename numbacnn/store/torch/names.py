"""A state dict's names and layouts turned into those of a graph of ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...errors import ConfigError, FileError, NumbacnnError
from ...graph import Graph
from .layouts import Module, modules
from .ways import Mapped, same_names, ways, without_bookkeeping

Names = Mapping[str, str | tuple[str, ...]] | Callable[[str], str | tuple[str, ...] | None]


@dataclass(frozen=True)
class Match:
    """How a state dict fits a graph.

    weights   {our path owner/weight: float32 array in our layout} of those that fit
    missing   {our path: the name that was looked for, "" where none is known}
    shapes    {our path: (name, the file's shape, the shape needed, as PyTorch has it)} of those that do not fit
    extra     the file's names that no layer asks for
    how       by which names they were matched
    """

    weights: dict[str, np.ndarray] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    how: str = ""

    @property
    def problems(self) -> list[str]:
        """Everything that does not fit, in words."""
        missing = [f"{path} is missing" + (f" (there is no {name})" if name else "") for path, name in self.missing.items()]
        shapes = [f"{name} has shape {shape}, {path} needs {needed}" for path, (name, shape, needed) in self.shapes.items()]
        return [*missing, *shapes, *(f"{name} belongs to no layer" for name in self.extra)]


def to_weights(
    state: Mapping[str, np.ndarray], graph: Graph, names: Names | None = None, fail: Callable[[str], NumbacnnError] = FileError
) -> dict[str, np.ndarray]:
    """The weights of `graph`, {"owner/weight": float32 array}, from what read_state_dict gave.

    names   which module of PyTorch's a layer of ours is: {our layer: their module}, such as {"conv2d_1": "features.0"}, or a function
            from our layer's name to their module's (a SeparableConv2D has two, as a tuple). Layers that are not named, or for which
            the function gives None, are looked for under their own names, where '.', '_' and '/' are one.
            None: by equal names; by published names (published.py), where the layers are those of our zoo; else by order, module for
            layer, where all shapes fit one to one. Order cannot tell apart branches of equal shapes: compare an output.

    Padding and epsilon are not in a state dict: the graph must have PyTorch's (layouts.py says which).

    Raises ConfigError for names that cannot be used, and what `fail` makes of a reason (FileError) where not all fits: the reason
    lists every missing, extra and mis-shaped weight.
    """
    found = match(state, graph, names)
    if found.problems:
        raise fail(f"the weights do not fit the model (matched by {found.how}): {'; '.join(found.problems)}")
    return found.weights


def match(state: Mapping[str, np.ndarray], graph: Graph, names: Names | None = None) -> Match:
    """As to_weights, but what does not fit is told and not raised: for those who want the rest."""
    ours, state = modules(graph), without_bookkeeping(state)
    if names is not None:
        given = _given(names, ours)
        return _fit(state, ours, same_names({o: m for o, m in ours.items() if o not in given}, state) | given, "the given names")
    best = None
    for how, mapped, theirs in ways(state, ours, graph):
        found = _fit(theirs, ours, mapped, how)
        if not found.problems:
            return found
        if best is None or len(found.weights) > len(best.weights):
            best = found
    return best


def _given(names: Names, ours: dict[str, tuple[Module, ...]]) -> Mapped:
    """The user's names, checked."""
    if isinstance(names, Mapping) and (unknown := [o for o in names if o not in ours]):
        raise ConfigError(f"names: the model has no layers with weights named {', '.join(map(repr, unknown))} (known: {', '.join(ours) or 'none'})")
    found, wrong = {}, []
    for owner, parts in ours.items():
        given = names.get(owner) if isinstance(names, Mapping) else names(owner)
        if given is None:
            continue
        prefixes = (given,) if isinstance(given, str) else given
        if isinstance(prefixes, (tuple, list)) and len(prefixes) == len(parts) and all(isinstance(p, str) for p in prefixes):
            found[owner] = tuple(p.removesuffix(".") for p in prefixes)
        else:
            wrong.append(f"{owner}={given!r} must be " + (f"a tuple of {len(parts)} modules' names" if len(parts) > 1 else "a module's name"))
    if wrong:
        raise ConfigError(f"names: {'; '.join(wrong)}")
    return found


def _fit(state: Mapping[str, np.ndarray], ours: dict[str, tuple[Module, ...]], mapped: Mapped, how: str) -> Match:
    found, used = Match(how=how), set()
    for owner, parts in ours.items():
        for part, module in zip(parts, mapped.get(owner, (None,) * len(parts)), strict=True):
            for weight, place in part.items():
                name = "" if module is None else f"{module}.{weight}" if module else weight
                if name not in state:
                    found.missing[place.path] = name
                    continue
                used.add(name)
                if state[name].shape != place.theirs:
                    found.shapes[place.path] = (name, state[name].shape, place.theirs)
                else:
                    with np.errstate(over="ignore"):  # float64 beyond float32's range is infinite, as in PyTorch
                        found.weights[place.path] = np.array(place.turn(state[name]), np.float32, order="C")
    return Match(found.weights, found.missing, found.shapes, tuple(n for n in state if n not in used), how)
