"""Ways to find out which module of PyTorch's a layer of ours is."""

import difflib
import re
from collections.abc import Iterator, Mapping

import numpy as np

from ...graph import Graph, keras_order
from . import published
from .layouts import Module

Ours = dict[str, tuple[Module, ...]]
State = Mapping[str, np.ndarray]
Mapped = dict[str, tuple[str | None, ...]]  # our layer -> the names of its modules; "" is a module that is the whole model, None: none found
_BOOKKEEPING = re.compile(r"(^|\.)(num_batches_tracked|_extra_state)$")  # what BatchNorm counts, and what a module adds of its own


def without_bookkeeping(state: State) -> dict[str, np.ndarray]:
    """The weights in a state dict."""
    return {name: array for name, array in state.items() if not _BOOKKEEPING.search(name)}


def ways(state: State, ours: Ours, graph: Graph) -> Iterator[tuple[str, Mapped, State]]:
    """(how, which modules the layers are, the state dict that they are to be found in), the surest way first, the last by order."""
    if same := same_names(ours, state):
        yield "equal names", same, state
    modern = {published.modern(name): array for name, array in state.items()}
    for how, rules in published.NAMES.items():
        translated = published.translate(rules, ours)
        if 2 * len(translated) > len(ours) and len(modern) == len(state):
            firsts = {name.partition(".")[0] for name in translated.values()}
            yield how, {owner: (name,) for owner, name in translated.items()}, _without_prefix(modern, firsts)
    theirs = _modules(state)
    for owners in dict.fromkeys((tuple(ours), tuple(o for o in keras_order(graph) if o in ours))):
        yield "order", _by_order(owners, ours, theirs), state


def same_names(ours: Ours, state: State) -> Mapped:
    """The layers whose names a module has, where '.', '_' and '/' are one."""
    found: dict[str, list[str]] = {}
    for name in _modules(state):
        found.setdefault(_plain(name), []).append(name)
    return {o: (found[_plain(o)][0],) for o, parts in ours.items() if len(parts) == 1 == len(found.get(_plain(o), ()))}


def _plain(name: str) -> str:
    return re.sub(r"[./]", "_", name)


def _modules(state: State) -> dict[str, dict[str, tuple[int, ...]]]:
    """Module -> {name of its weight: shape}, in the file's order."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, array in state.items():
        module, _, weight = name.rpartition(".")
        found.setdefault(module, {})[weight] = array.shape
    return found


def _without_prefix(state: State, firsts: set[str]) -> State:
    """The state dict without what stands before all of its names, up to names whose first part is in `firsts`."""
    while len(heads := {name.partition(".")[0] for name in state}) == 1 and not heads & firsts and all("." in name for name in state):
        state = {name.partition(".")[2]: array for name, array in state.items()}
    return state


def _by_order(owners: tuple[str, ...], ours: Ours, theirs: dict[str, dict[str, tuple[int, ...]]]) -> Mapped:
    """Both sequences of modules, by names and shapes of their weights, laid beside each other. Where they differ in equally many
    modules, those are taken for each other, so that their shapes are what is wrong; else they are missing, and extra."""
    wanted = [(owner, part) for owner in owners for part in range(len(ours[owner]))]
    left = [tuple(sorted((name, place.theirs) for name, place in ours[owner][part].items())) for owner, part in wanted]
    right = [tuple(sorted(weights.items())) for weights in theirs.values()]
    names = list(theirs)
    pairs = [("equal", 0, len(left), 0, len(right))]
    if left != right:
        pairs = difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    found: dict[str, list[str | None]] = {owner: [None] * len(ours[owner]) for owner in owners}
    for _, a, b, c, d in pairs:
        if b - a == d - c:
            for (owner, part), name in zip(wanted[a:b], names[c:d], strict=True):
                found[owner][part] = name
    return {owner: tuple(parts) for owner, parts in found.items()}
