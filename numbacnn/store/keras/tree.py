"""What Keras' files know of a model: its layers in their order, with classes, weights and nested models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...graph import Graph, Shape, keras_order


@dataclass(frozen=True)
class KerasLayer:
    """One layer of a Keras model, as its files know it. Nested models have children."""

    name: str  # as in the config
    class_name: str  # Keras' class: decides the key in .weights.h5
    owner: str | None = None  # our graph's owner, or None (nested model, op node, layer without counterpart)
    weights: tuple[tuple[str, tuple[int, ...]], ...] = ()  # our weight names and shapes, in Keras' order: trainable first, then the others
    trainable: bool = True
    children: tuple["KerasLayer", ...] = ()  # of a nested model, in model.layers order
    is_operation: bool = False  # an op node (x + 3): no layer, absent from layer_names and from counting


def ordered_weights(layer: Any, shapes: Sequence[Shape]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of the weights that a layer has on inputs of these shapes, in Keras' order."""
    specs = layer.weights(*shapes)
    return tuple((name, tuple(specs[name].shape)) for name in sorted(specs, key=lambda n: not specs[n].trainable))


def tree_of(graph: Graph) -> tuple[KerasLayer, ...]:
    """Any graph of ours as Keras would list it: flat, in Keras' order, the inputs among the layers.

    A graph written to a Keras file may get further layers and other names: `write_config.write_model` gives that tree.
    """
    from .counterparts import keras_class

    shapes, first = graph.shapes(), {}
    for node in graph.nodes:
        first.setdefault(node.owner, node)
    made = []
    for owner in keras_order(graph):
        node = first[owner]
        weights = ordered_weights(node.layer, [shapes[i] for i in node.inputs])
        made.append(KerasLayer(owner, keras_class(node.layer), owner, weights, bool(node.layer.trainable)))
    return tuple(made)
