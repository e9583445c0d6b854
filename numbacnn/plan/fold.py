"""Pass: resting layers take their inference form; affine and clamp layers move into a producer that takes them."""

from collections import Counter
from dataclasses import dataclass, replace

from ..graph import Graph, Node


@dataclass(frozen=True)
class Unit:
    """A node with what was folded into it: an affine node (BatchNormalization at rest), then a clamp node (ReLU)."""

    node: Node
    affine: Node | None = None
    clamp: Node | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes whose value this unit makes, the last one's being its output."""
        return tuple(n.name for n in (self.node, self.affine, self.clamp) if n)


def rest(graph: Graph, training: bool, trainable: frozenset[str], declared: dict[str, dict]) -> Graph:
    """Layers whose weights rest (all, at inference; frozen ones in training) take their inference form."""
    nodes = [n if training and (n.owner in trainable or not declared[n.name]) else replace(n, layer=n.layer.inference()) for n in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def fold(graph: Graph, training: bool, keep: frozenset[str], enabled: bool = True) -> list[Unit]:
    """Units in topological order. A value that somebody else reads, or that is kept, is never folded away."""
    readers = Counter(i for n in graph.nodes for i in n.inputs)
    units: list[Unit] = []
    made_by: dict[str, int] = {}  # node name -> index of the unit that makes its value
    for node in graph.nodes:
        at = made_by.get(node.inputs[0]) if enabled and len(node.inputs) == 1 else None
        unit = units[at] if at is not None else None
        free = unit is not None and unit.names[-1] == node.inputs[0] and readers[node.inputs[0]] == 1 and node.inputs[0] not in keep
        if free and unit.clamp is None:
            if not training and unit.affine is None and unit.node.layer.takes_affine and node.layer.affine is not None:
                units[at] = replace(unit, affine=node)
                made_by[node.name] = at
                continue
            if unit.node.layer.takes_clamp and node.layer.clamp is not None:
                units[at] = replace(unit, clamp=node)
                made_by[node.name] = at
                continue
        made_by[node.name] = len(units)
        units.append(Unit(node))
    return units
