"""Where flattened images make PyTorch's values come in another order than ours.

PyTorch flattens (C, H, W), we flatten (H, W, C): a Dense layer behind Flatten has its rows in another order, and so has whatever
stands between the two. A Dense layer in front of Reshape((H, W, C)), PyTorch's view(N, C, H, W), has its columns in another order.
"""

import math

import numpy as np

from ...graph import Graph, Node, Shape
from ...layers.concatenate import Concatenate

Order = np.ndarray | None  # our value i is PyTorch's value order[i]; None: the same order


def orders(graph: Graph) -> tuple[dict[str, Order], dict[str, Order]]:
    """For each node with one axis: the order of its output; and, where its layer mixes values (a Dense), that of its input."""
    shapes = graph.shapes()
    wanted = _wanted(graph, shapes)
    made: dict[str, Order] = {}
    read: dict[str, Order] = {}
    for node in graph.nodes:
        before, shape = [shapes[i] for i in node.inputs], shapes[node.name]
        made[node.name] = None
        if len(shape) != 1 or not before:
            continue
        if _keeps(node, before, shape):
            made[node.name] = next((made[i] for i in node.inputs if made[i] is not None), wanted[node.name])
        elif isinstance(node.layer, Concatenate):
            made[node.name] = _joined([made[i] for i in node.inputs], before)
        elif not _weights(node, before):
            made[node.name] = _flattened(before[0]) if _as_many(before, shape) and len(before[0]) == 3 else None
        else:
            made[node.name], read[node.name] = wanted[node.name], made[node.inputs[0]]
    return made, read


def _wanted(graph: Graph, shapes: dict[str, Shape]) -> dict[str, Order]:
    """The order that later layers expect of each node's output: those that make images of it."""
    wanted: dict[str, Order] = dict.fromkeys(shapes)
    for node in reversed(graph.nodes):
        before, shape = [shapes[i] for i in node.inputs], shapes[node.name]
        if _as_many(before, shape) and len(before[0]) == 1 and len(shape) == 3 and not _weights(node, before):
            wanted[node.inputs[0]] = _flattened(shape)
        elif len(shape) == 1 and wanted[node.name] is not None and before and _keeps(node, before, shape):
            wanted |= dict.fromkeys(node.inputs, wanted[node.name])
    return wanted


def _as_many(before: list[Shape], shape: Shape) -> bool:
    """Whether a layer has one input with as many values as its output: Flatten and Reshape, and no global pooling."""
    return len(before) == 1 and None not in (*before[0], *shape) and math.prod(before[0]) == math.prod(shape)


def _weights(node: Node, before: list[Shape]) -> dict:
    return node.layer.weights(*before)


def _keeps(node: Node, before: list[Shape], shape: Shape) -> bool:
    """Whether value i of the output comes from value i of each input: activations, normalizations, sums."""
    return all(b == shape for b in before) and all(len(w.shape) < 2 for w in _weights(node, before).values())


def _flattened(image: Shape) -> Order:
    if None in image or image[2] == 1 or image[0] * image[1] == 1:
        return None
    h, w, c = image
    return np.arange(h * w * c).reshape(c, h, w).transpose(1, 2, 0).ravel()


def _joined(parts: list[Order], shapes: list[Shape]) -> Order:
    if all(p is None for p in parts):
        return None
    starts = np.cumsum([0, *(s[0] for s in shapes[:-1])])
    return np.concatenate([start + (np.arange(s[0]) if p is None else p) for p, s, start in zip(parts, shapes, starts, strict=True)])
