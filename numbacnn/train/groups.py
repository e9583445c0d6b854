"""Layers by name and prefix, where the last feature map is, and groups of layers that learn at different rates."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from ..errors import ConfigError, UnknownNameError
from ..functional import Handle, Symbol
from ..graph import Graph, Node
from ..layers.global_pooling2d import GlobalPooling2D


def in_order(graph: Graph) -> list[str]:
    """The names of the layers, each once, as the graph has them: a layer comes behind all that it reads."""
    return list(dict.fromkeys(node.owner for node in graph.nodes))


def matching(graph: Graph, name: str) -> list[str]:
    """The layers that a name means, in order: the one of that name, else all whose names begin so ("block_1" does not mean "block_10").

    Raises UnknownNameError where there is none.
    """
    known = in_order(graph)
    if name in known:
        return [name]
    found = [k for k in known if name and k.startswith(name) and not (name[-1].isdigit() and k[len(name)].isdigit())]
    if not found:
        raise UnknownNameError("layer name", name, known)
    return found


def symbols(graph: Graph, outputs: Sequence[Symbol]) -> dict[str, Symbol]:
    """The symbol of every node that the outputs depend on."""
    nodes = {node.name: node for node in graph.nodes}
    found: dict[str, Symbol] = {}
    stack = list(zip(graph.outputs, outputs, strict=True))
    while stack:
        name, symbol = stack.pop()
        if name not in found:
            found[name] = symbol
            stack.extend(zip(nodes[name].inputs, symbol.call.inputs, strict=True))
    return found


def upto(graph: Graph, name: str) -> set[str]:
    """The node and all that it depends on."""
    needed = {name}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= set(node.inputs)
    return needed


def feature_map(graph: Graph) -> str | None:
    """The node whose value is the last feature map, (height, width, channels): what the global pooling (or else a Flatten) reads.

    All that comes behind it must depend on it alone. None where there is no such node.
    """
    shapes = graph.shapes()
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for source in node.inputs:
            readers.setdefault(source, []).append(node)

    def ends(node: Node, does: Callable[[Node], bool]) -> bool:
        found = readers.get(node.name, [])
        return len(shapes[node.name]) == 3 and bool(found) and all(map(does, found)) and node.name not in graph.outputs and _alone(graph, node.name)

    pools = (lambda r: isinstance(r.layer, GlobalPooling2D)), (lambda r: len(shapes[r.name]) == 1)
    for does in pools:
        for node in reversed(graph.nodes):
            if ends(node, does):
                return node.name
    last = graph.outputs[0]
    return last if len(graph.outputs) == 1 and len(shapes[last]) == 3 else None


def _alone(graph: Graph, name: str) -> bool:
    """Whether all other nodes lie before the named one, or depend on it and on nothing else of those."""
    before = upto(graph, name)
    behind = [node for node in graph.nodes if node.name not in before]
    free = {name, *(node.name for node in behind)}
    return all(node.inputs and free.issuperset(node.inputs) for node in behind)


def layer_groups(graph: Graph, handles: dict[str, Handle], splits: Sequence[str] = ()) -> list[list[str]]:
    """The layers with weights, in groups from the input to the head.

    splits: the first layer of each group but the first, by name or prefix. Without them there are three groups, the early half of
    the layers before the last feature map, the late half, and the head behind it; a group without weights is left out.
    Raises UnknownNameError for a split that is no layer, ConfigError for splits that are not in order.
    """
    order = in_order(graph)
    if not splits:
        return _default(graph, [owner for owner in order if handles[owner].specs])
    starts = [order.index(matching(graph, split)[0]) for split in splits]
    if starts != sorted(set(starts)):
        raise ConfigError(f"splits={tuple(splits)!r} must name the first layers of groups, from the input to the output, each once")
    groups: list[list[str]] = [[] for _ in range(len(starts) + 1)]
    for at, owner in enumerate(order):
        if handles[owner].specs:
            groups[bisect_right(starts, at)].append(owner)
    return [group for group in groups if group]


def _default(graph: Graph, weighted: list[str]) -> list[list[str]]:
    features = feature_map(graph)
    if features is None:
        body = weighted[:-1]
    else:
        before = upto(graph, features)
        owners = {node.owner for node in graph.nodes if node.name in before}
        body = [owner for owner in weighted if owner in owners]
    head = [owner for owner in weighted if owner not in body]
    half = len(body) // 2
    return [group for group in (body[:half], body[half:], head) if group]
