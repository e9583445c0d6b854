"""How the layers of a Keras model lie in each other and in which order, kept with our flat graph so that Keras' files of weights still fit it."""

from collections.abc import Sequence
from typing import Any

from ...graph import Graph
from .tree import KerasLayer, tree_of

_DEPTH = 32  # of models in models


def to_json(tree: Sequence[KerasLayer]) -> list[dict[str, Any]]:
    """Names, classes, owners and children: what `layers_of` needs."""
    found = []
    for layer in tree:
        if not layer.is_operation:
            more = {"children": to_json(layer.children)} if layer.children else {"owner": layer.owner}
            if layer.owner is None and layer.weights:  # no output depends on it, but Keras' files have its weights
                more["weights"] = [[name, list(shape)] for name, shape in layer.weights]
            found.append({"name": layer.name, "class": layer.class_name, **more})
    return found


def layers_of(graph: Graph, stored: Any) -> tuple[KerasLayer, ...]:
    """The layers of a graph as Keras knows them: as `to_json` said, where that still describes the graph, else as `tree_of` does."""
    flat = tree_of(graph)
    if stored is None:
        return flat
    known = {layer.owner: layer for layer in flat}
    used: set[str] = set()
    try:
        tree = _tree(stored, known, used, 0)
    except (TypeError, KeyError, ValueError):  # a damaged file: only order and nesting are lost
        return flat
    return tree if used >= {layer.owner for layer in flat if layer.weights} else flat


def _tree(stored: Any, known: dict[str | None, KerasLayer], used: set[str], depth: int) -> tuple[KerasLayer, ...]:
    if depth > _DEPTH or not isinstance(stored, list):
        raise ValueError("no list of layers")
    found = []
    for item in stored:
        name, class_name, owner = str(item["name"]), str(item["class"]), item.get("owner")
        if "children" in item:
            found.append(KerasLayer(name, class_name, children=_tree(item["children"], known, used, depth + 1)))
        else:
            ours = known.get(owner)
            used.add(owner)
            weights = ours.weights if ours else tuple((str(n), tuple(map(int, shape))) for n, shape in item.get("weights", ()))
            found.append(KerasLayer(name, class_name, owner if ours else None, weights, ours.trainable if ours else True))
    return tuple(found)
