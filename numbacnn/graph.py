"""An immutable DAG of layers. Nodes come in topological order; a node names its inputs."""

from dataclasses import dataclass
from typing import Any

from .errors import ConfigError, ShapeError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Node:
    """One call of a layer.

    owner names the node that owns the weights (a shared layer called twice has one set); weight_names maps the names that the
    layer uses to those under which the owner keeps them, where they differ. stream is the number that the node's random numbers
    are drawn from, the same in every plan.
    """

    name: str
    layer: Any
    inputs: tuple[str, ...] = ()
    owner: str = ""
    weight_names: tuple[tuple[str, str], ...] = ()
    stream: int = 0

    def __post_init__(self):
        object.__setattr__(self, "owner", self.owner or self.name)

    def weight_path(self, weight: str) -> str:
        """The path of one of the layer's weights: owner/name."""
        return f"{self.owner}/{dict(self.weight_names).get(weight, weight)}"


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, and the names of those that are inputs and outputs."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __post_init__(self):
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise ConfigError(f"two layers are named {node.name!r}: names in one model must differ")
            if missing := [i for i in node.inputs if i not in seen]:
                raise ConfigError(f"layer {node.name!r} reads {missing[0]!r}, which does not come before it")
            seen.add(node.name)
        for name in (*self.inputs, *self.outputs):
            if name not in seen:
                raise ConfigError(f"the graph has no node {name!r}")

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def shapes(self, inputs: dict[str, Shape] | None = None) -> dict[str, Shape]:
        """Shape of every node's output, without the batch axis. `inputs` overrides the declared input shapes."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            given = (inputs or {}).get(node.name) if not node.inputs else None
            shapes[node.name] = given or infer_shape(node.name, node.layer, tuple(shapes[i] for i in node.inputs))
        return shapes


def keras_order(graph: Graph) -> list[str]:
    """Owners as Keras sorts layers: the farther from the outputs the earlier; equally far ones as a walk from the outputs meets them."""
    nodes = {node.name: node for node in graph.nodes}
    met: dict[str, int] = {}  # owner -> number
    seen: set[str] = set()
    stack = list(reversed(graph.outputs))
    while stack:
        node = nodes[stack.pop()]
        if node.name not in seen:
            seen.add(node.name)
            met.setdefault(node.owner, len(met))
            stack.extend(reversed(node.inputs))
    depth_of = dict.fromkeys(nodes, 0)
    depths: dict[str, int] = {}  # owner -> the greatest of its calls' depths
    for node in reversed(graph.nodes):
        depths[node.owner] = depth = max(depth_of[node.name], depths.get(node.owner, 0))
        for source in node.inputs:
            depth_of[source] = max(depth_of[source], depth + 1)
    return sorted(depths, key=lambda owner: (-depths[owner], met.get(owner, -1)))


def infer_shape(name: str, layer: Any, inputs: tuple[Shape, ...]) -> Shape:
    """Output shape of a layer; a ShapeError that it raises is completed with the layer's name and input shape."""
    try:
        return tuple(layer.output_shape(*inputs))
    except ShapeError as error:
        if getattr(error, "located", False):
            raise
        shown = ", ".join(map(str, inputs))
        located = ShapeError(f"layer {name!r} ({type(layer).__name__}) cannot take input shape {shown}: {error}")
        located.located = True
        raise located from None
    except TypeError as error:
        if "output_shape()" not in str(error):
            raise
        located = ShapeError(f"layer {name!r} ({type(layer).__name__}) takes a different number of inputs than {len(inputs)}: {error}")
        located.located = True
        raise located from None
