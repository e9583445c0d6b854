"""A frozen base apart from what is trained: where a network can be cut in two, and the two networks."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Graph, Node, Shape
from ..layers.input import Input
from ..plan.still import still
from .network import Network


def kept(graph: Graph, network: Network) -> set[str]:
    """Nodes whose values stay the same for the same picture while training goes on as it is: those of the frozen base.

    What the plan computes together with a node behind the base (padding, normalization, sums) goes with that one, so that the two
    parts compute bit by bit what the whole does.
    """
    declared = {node.name: network.handles[node.owner].specs for node in graph.nodes}
    at = still(graph, True, network.trainable(), declared, False)
    found: set[str] = set()
    for node in graph.nodes:
        constant = node.name in at.resting or node.layer.inference() is node.layer
        if node.name in at.passive and constant and found.issuperset(node.inputs):
            found.add(node.name)
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for source in node.inputs:
            readers.setdefault(source, []).append(node)
    while True:
        dropped = {
            node.name
            for node in graph.nodes
            if node.name in found
            and (not found.issuperset(node.inputs) or any(r.name not in found and _joined(node.layer, r.layer) for r in readers.get(node.name, [])))
        }
        if not dropped:
            return found
        found -= dropped


def _joined(layer: Any, reader: Any) -> bool:
    """Whether a plan may compute both in one."""
    while parts := layer.parts():
        layer = parts[-1][0]
    while parts := reader.parts():
        reader = parts[0][0]
    reads = [
        (reader.affine is not None or reader.inference().affine is not None) and layer.takes_affine,
        reader.adds and layer.takes_residual,
        reader.clamp is not None and layer.takes_clamp,
        reader.takes_moments and layer.gives_moments,
    ]
    return bool(layer.pads) or any(reads)


class Frozen:
    """The frozen base of a network, and the rest, which is trained: two networks that share the layers with the whole.

    names, shapes: the values at the boundary, which the base gives and the rest takes as its inputs.
    """

    def __init__(self, whole: Network, base: Graph, rest: Graph, shapes: dict[str, Shape]):
        self.whole, self.names = whole, base.outputs
        self.shapes = [shapes[name] for name in base.outputs]
        self.base, self.rest = _part(whole, base), _part(whole, rest)
        self._key = self._now()

    @classmethod
    def of(cls, network: Network) -> "Frozen | None":
        """The network in two; None where it has no frozen base, or one whose values have no fixed size."""
        graph = network.graph
        found = kept(graph, network)
        rest = [node for node in graph.nodes if node.name not in found]
        could_learn = any(spec.trainable for n in graph.nodes if n.name in found for spec in network.handles[n.owner].specs.values())
        if not rest or found.intersection(graph.outputs) or not could_learn:
            return None
        read = {source for node in rest for source in node.inputs}
        names = tuple(node.name for node in graph.nodes if node.name in found and node.name in read)
        shapes = graph.shapes()
        if any(None in shapes[name] for name in names):
            return None
        base = Graph(tuple(n for n in graph.nodes if n.name in found), graph.inputs, names)
        inputs = tuple(Node(name, Input(shapes[name])) for name in names)
        return cls(network, base, Graph((*inputs, *rest), names, graph.outputs), shapes)

    def _now(self) -> tuple:
        weighted = [h for h in self.base.handles.values() if h.specs]
        return self.whole.trainable(), self.whole.backend, tuple((h.version, h.steps if any(s.trainable for s in h.specs.values()) else 0) for h in weighted)

    def holds(self) -> bool:
        """Whether the base still is frozen, with the weights that it had."""
        return self._key == self._now()

    def features(self, xs: list[np.ndarray]) -> list[np.ndarray]:
        """The values at the boundary for a batch; the arrays are the caller's own."""
        with self.whole.lock:
            return self.base.plan("predict", xs).run(xs).outputs


def _part(whole: Network, graph: Graph) -> Network:
    """A network of some of the whole's nodes that computes as the whole does."""
    names = {node.name for node in graph.nodes}
    owners = {node.owner for node in graph.nodes if node.inputs or node.name in whole.graph.inputs}  # not the inputs that stand for the base
    part = Network(graph, {owner: h for owner, h in whole.handles.items() if owner in owners})
    part.backend, part.lock, part.progress = whole.backend, whole.lock, whole.progress
    part.suggestions, part.choices = whole.suggestions, whole.choices
    checkpointing = whole.how.checkpointing
    part.how = whole.how if isinstance(checkpointing, bool) else replace(whole.how, checkpointing=[n for n in checkpointing if n in names])
    return part
