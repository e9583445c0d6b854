"""The layers of a file beside those of a model: by order or names (legacy files, ours), or by Keras' keys (.weights.h5)."""

import re
from collections.abc import Iterable, Sequence

from ..functional import snake
from .keras.tree import KerasLayer
from .keras.weights_h5 import keyed
from .matching import Leaf, Matching, Pairing, Part, by_names, in_order, leaves, split, whole
from .stored import StoredLayer

Tree = Sequence[KerasLayer]


def ordered(tree: Tree, stored: Sequence[StoredLayer], trust_names: bool = False) -> Matching:
    """As `matching.in_order`; models in the model are one layer of the file, or their layers are layers of the file."""
    nodes = [Leaf(layer.name, layer, frozenset({layer.name})) for layer in tree if leaves([layer])]
    pairing = in_order(nodes, [whole(s) for s in stored], trust_names)
    if _misfits(pairing):
        flat = in_order(leaves(tree), [part for s in stored for part in split(s)], trust_names)
        pairing = min(pairing, flat, key=_misfits)
    return _matched(pairing, with_rest=True)


def _misfits(pairing: Pairing) -> int:
    return len(pairing.leaves) + len(pairing.parts) + sum(not leaf.like(part.stored) for leaf, part in pairing.pairs)


def named(tree: Tree, stored: Sequence[StoredLayer]) -> Matching:
    """Layers of the same name; others are left out on both sides."""
    nodes = [Leaf(layer.name, layer, frozenset({layer.name, layer.owner or layer.name})) for layer in tree if leaves([layer])]
    pairing = by_names(nodes, [whole(s) for s in stored])
    rest = by_names(leaves(leaf.layer for leaf in pairing.leaves), [part for p in pairing.parts for part in split(p.stored)])
    return _matched(Pairing([*pairing.pairs, *rest.pairs], [], []), with_rest=False)


def _matched(pairing: Pairing, with_rest: bool) -> Matching:
    matching = Matching()
    for leaf, part in pairing.pairs:
        if leaf.layer.children:
            _nested(matching, leaf.layer, part.stored)
        else:
            matching.add(leaf.layer, part.stored)
    if with_rest:
        _rest(matching, pairing)
    return matching


def _rest(matching: Matching, pairing: Pairing) -> None:
    for leaf in pairing.leaves:
        for inner in leaves([leaf.layer]):
            matching.lacks(inner.layer)
    for part in pairing.parts:
        matching.leaves_over(part.stored)


def _nested(matching: Matching, model: KerasLayer, stored: StoredLayer) -> None:
    """A model in the model. The order of its weights in the file depends on which of its layers were frozen, so names come first."""
    ours, theirs = leaves(model.children, (stored.name or model.name,)), split(stored)
    pairing = by_names(ours, theirs)
    if pairing.leaves or pairing.parts:
        pairing = in_order(ours, theirs, trust_names=False)
    for leaf, part in pairing.pairs:
        matching.add(leaf.layer, part.stored)
    _rest(matching, pairing)


def by_key(tree: Tree, stored: Sequence[StoredLayer]) -> Matching:
    """Layers of the same key; where keys differ, since one side has models in the model, those of the same name, or of the same class in order."""
    files, ours = {s.key: s for s in stored}, [(key, layer) for key, layer in keyed(tree) if layer.weights]
    here = {layer.owner for key, layer in ours if key in files}
    ours = [(key, layer) for key, layer in ours if key in files or layer.owner not in here]  # a shared layer is stored once
    if {key for key, _ in ours} != set(files):
        other = _by_name_or_class(leaves(tree), stored)
        if other is not None:
            return _matched(other, with_rest=True)
    matching = Matching()
    for key, layer in ours:
        if key in files:
            matching.add(layer, files[key])
        else:
            matching.lacks(layer)
    taken = {key for key, _ in ours}
    for key, left in files.items():
        if key not in taken:
            matching.leaves_over(left)
    return matching


def _by_name_or_class(ours: Sequence[Leaf], stored: Sequence[StoredLayer]) -> Pairing | None:
    """A pairing in which nothing is left over and all shapes agree, or None."""
    pairing = by_names(ours, [whole(s) for s in stored])
    if not _misfits(pairing):
        return pairing
    mine: dict[str, list[Leaf]] = {}
    theirs: dict[str, list[StoredLayer]] = {}
    for leaf in ours:
        mine.setdefault(snake(leaf.layer.class_name), []).append(leaf)
    for layer in sorted(stored, key=lambda s: _number(s.key)):
        theirs.setdefault(_class(layer.key), []).append(layer)
    if {name: len(found) for name, found in mine.items()} != {name: len(found) for name, found in theirs.items()}:
        return None
    pairs: list[tuple[Leaf, Part]] = []
    for name, found in theirs.items():
        if len({layer.key.rpartition("/")[0] for layer in found}) > 1:
            return None
        pairs += zip(mine[name], map(whole, found), strict=True)
    pairing = Pairing(pairs, [], [])
    return None if _misfits(pairing) else pairing


def _class(key: str) -> str:
    return re.sub(r"_\d+$", "", key.rpartition("/")[2])


def _number(key: str) -> int:
    found = re.search(r"_(\d+)$", key)
    return int(found[1]) if found else 0


def named_keys(tree: Iterable[KerasLayer], stored: Sequence[StoredLayer]) -> Matching | None:
    """Layers of the same name in a .weights.h5 file; None where the file does not say names."""
    if not any(s.name for s in stored):
        return None
    return _matched(by_names(leaves(tree), [whole(s) for s in stored if s.name]), with_rest=False)
