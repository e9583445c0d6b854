"""Our graphs -> configurations of Keras models.

Two styles: "keras3" for .keras files; "legacy" for one configuration that Keras 3 and tf.keras 2.15 both read with the same result
(calls as lists, dtypes as texts, no initializers, LeakyReLU with alpha).
"""

import re
from dataclasses import replace
from typing import Any

from ...errors import ConfigError
from ...graph import Graph, Node, Shape, keras_order
from .spell import Spelled, refusal, spelled, taken_apart
from .tree import KerasLayer, ordered_weights

STYLES = ("keras3", "legacy")


def write_config(graph: Graph, style: str, name: str = "model", trainable: dict[str, bool] | None = None) -> dict[str, Any]:
    """The configuration of a graph; see `write_model`."""
    return write_model(graph, style, name, trainable)[0]


def write_model(graph: Graph, style: str, name: str = "model", trainable: dict[str, bool] | None = None) -> tuple[dict, tuple[KerasLayer, ...]]:
    """(configuration, the layers that a reader of it will have, in Keras' order).

    Names become ones that Keras allows: "base/conv" is written as "base_conv"; the tree says which owner a layer is.
    Layers that no class of Keras says are written as several that compute the same (HardSwish for tf.keras), the others have no owner.
    trainable: owner -> whether it is trained.

    Raises ConfigError for an unknown style, and for a layer that Keras has nothing for, naming it and its class.
    """
    if style not in STYLES:
        raise ConfigError(f"style={style!r} must be one of {', '.join(map(repr, STYLES))}")
    keras3, trainable = style == "keras3", trainable or {}
    owners = {node.owner for node in graph.nodes}
    plain = _writable(graph, keras3)
    shapes = plain.shapes()
    calls: dict[str, list[Node]] = {}
    for node in plain.nodes:
        calls.setdefault(node.owner, []).append(node)
    order = keras_order(plain)
    names = _names(order)
    place = {node.name: (names[node.owner], i) for nodes in calls.values() for i, node in enumerate(nodes)}
    layers, tree = [], []
    for owner in order:
        nodes = calls[owner]
        ins = [shapes[i] for i in nodes[0].inputs]
        how, weights = spelled(nodes[0].layer, ins, keras3), ordered_weights(nodes[0].layer, ins)
        trained = not weights or trainable.get(owner, True)
        inbound = [_call(node, place, shapes, keras3) for node in nodes if node.inputs]
        layers.append(_layer(names[owner], how, {"trainable": trained} if weights else {}, inbound, keras3))
        tree.append(KerasLayer(names[owner], how.class_name, owner if owner in owners else None, weights, trained))
    ends = [[[*place[n], 0] for n in found] for found in (plain.inputs, plain.outputs)]
    if keras3:  # one input or output alone is no list
        ends = [found[0] if len(found) == 1 else found for found in ends]
    config = {"name": _allowed(name), "trainable": True, "layers": layers, "input_layers": ends[0], "output_layers": ends[1]}
    whole = {"class_name": "Functional", "config": config}
    return ({"module": "keras.src.models.functional", **whole, "registered_name": "Functional"} if keras3 else whole), tuple(tree)


def _writable(graph: Graph, keras3: bool) -> Graph:
    """The same network of layers that have a class of Keras each. The last part of a node takes its name, the first its owner."""
    shapes = graph.shapes()
    taken = {n.name for n in graph.nodes} | {n.owner for n in graph.nodes}
    helpers: dict[tuple[str, int], str] = {}  # (owner, number of the part) -> owner of the part
    nodes: list[Node] = []

    def put(node: Node, inputs: tuple[Shape, ...], depth: int = 0) -> Shape:
        shape = tuple(node.layer.output_shape(*inputs))
        if spelled(node.layer, inputs, keras3) is not None:
            nodes.append(node)
            return shape
        parts = taken_apart(node.layer, len(inputs), keras3)
        if parts is None or depth > 8:
            raise refusal(node.owner, node.layer)
        done: list[tuple[str, Shape]] = []
        for i, (layer, sources) in enumerate(parts):
            last = i == len(parts) - 1
            owner = node.owner if i == 0 else helpers.setdefault((node.owner, i), _fresh(f"{node.owner}_part{i + 1}", taken))
            name = node.name if last else _fresh(f"{node.name}/{i + 1}", taken)
            given = [(node.inputs[s], inputs[s]) if s >= 0 else done[~s] for s in sources]
            part = Node(name, layer, tuple(n for n, _ in given), owner, node.weight_names if i == 0 else (), node.stream)
            done.append((name, put(part, tuple(s for _, s in given), depth + 1)))
        return shape

    for node in graph.nodes:
        put(node, tuple(shapes[i] for i in node.inputs))
    return replace(graph, nodes=tuple(nodes))


def _fresh(base: str, taken: set[str]) -> str:
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name


def _allowed(name: str) -> str:
    """A name that both Keras' take: no '/', and a letter or digit first."""
    name = re.sub(r"[^A-Za-z0-9_.\-]", "_", name)
    return name if re.match(r"[A-Za-z0-9]", name) else f"layer{name}"


def _names(owners: list[str]) -> dict[str, str]:
    """Owner -> a name that Keras allows; those that may stay as they are do."""
    taken = {owner for owner in owners if _allowed(owner) == owner}
    return {owner: owner if owner in taken and _allowed(owner) == owner else _fresh(_allowed(owner), taken) for owner in owners}


def _layer(name: str, how: Spelled, trainable: dict[str, bool], inbound: list, keras3: bool) -> dict[str, Any]:
    config = {"name": name, **trainable, "dtype": "float32", **how.config}  # not all classes without weights take `trainable`
    made = {"class_name": how.class_name, "config": config, "name": name, "inbound_nodes": inbound}
    registered = None if how.module == "keras.layers" else how.class_name
    return {"module": how.module, **made, "registered_name": registered} if keras3 else made


def _call(node: Node, place: dict[str, tuple[str, int]], shapes: dict[str, Shape], keras3: bool) -> Any:
    if not keras3:
        return [[*place[i], 0, {}] for i in node.inputs]
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None, *shapes[i]], "dtype": "float32", "keras_history": [*place[i], 0]}} for i in node.inputs
    ]
    return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": {}}
