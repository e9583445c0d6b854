"""Pass: which layers rest while others are trained, and where no gradient has to pass."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..graph import Graph
from ..layer import Weight


@dataclass(frozen=True)
class Still:
    """resting: nodes that work as at inference. passive: nodes that no gradient passes through."""

    resting: frozenset[str]
    passive: frozenset[str]


def still(graph: Graph, training: bool, trainable: frozenset[str], declared: Mapping[str, Mapping[str, Weight]], input_gradients: bool) -> Still:
    """What rests in a graph whose owners `trainable` are trained; at inference everything does.

    Frozen layers rest. A node is passive where neither it nor anything before it is trained and nobody asks for the gradient by
    the inputs. Passive layers without weights that stand before a frozen one belong to the frozen base and rest with it (a
    dropout in there does nothing); those behind its last layer belong to what is trained.
    """
    if not training:
        everything = frozenset(n.name for n in graph.nodes)
        return Still(everything, everything)
    passive: set[str] = set()
    for node in graph.nodes:
        trained = node.owner in trainable and any(spec.trainable for spec in declared[node.name].values())
        if not trained and (all(i in passive for i in node.inputs) if node.inputs else not input_gradients):
            passive.add(node.name)
    resting = {n.name for n in graph.nodes if declared[n.name] and n.owner not in trainable}
    before: set[str] = set()  # passive nodes that a frozen layer's value depends on
    for node in reversed(graph.nodes):
        if node.name in passive and (node.name in resting or node.name in before):
            before |= set(node.inputs)
            if not declared[node.name]:
                resting.add(node.name)
    return Still(frozenset(resting), frozenset(passive))
