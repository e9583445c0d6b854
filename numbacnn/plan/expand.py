"""Pass: layers that stand for others (`activation=`, SeparableConv2D) are replaced by their parts."""

from dataclasses import replace

from ..graph import Graph, Node


def expand(graph: Graph) -> Graph:
    """The same graph of simple layers. The last part takes the node's name, so whoever reads the node finds it."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.extend(_expanded(node))
    return replace(graph, nodes=tuple(nodes))


def _expanded(node: Node) -> list[Node]:
    parts = node.layer.parts()
    if not parts:
        return [node]
    made: list[Node] = []
    inputs = node.inputs
    for i, (layer, names) in enumerate(parts):
        last = i == len(parts) - 1
        name = node.name if last else f"{node.name}/part{i + 1}"
        outer = dict(node.weight_names)
        mapped = tuple((w, outer.get(n, n)) for w, n in names.items()) or node.weight_names
        part = Node(name, layer, inputs, node.owner, mapped, node.stream * 16 + i + (1 << 20))
        made.extend(_expanded(part))
        inputs = (name,)
    return made
