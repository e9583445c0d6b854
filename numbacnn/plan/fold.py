"""Pass: resting layers take their inference form; padding, affine, sum and clamp layers move into a neighbour that takes them.

Elementwise layers that follow each other become one; they move into a convolution or a Dense before them, those with weights, too.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..graph import Graph, Node, Shape


@dataclass(frozen=True)
class Unit:
    """A node with what was folded into it: a padding before it, behind it an affine node (BatchNormalization at rest), a sum, and a clamp
    (ReLU) or elementwise functions."""

    node: Node
    padding: Node | None = None
    affine: Node | None = None
    sum: Node | None = None
    clamp: Node | None = None
    functions: tuple[Node, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes whose value this unit makes, the last one's being its output."""
        return tuple(n.name for n in (self.node, self.affine, self.sum, self.clamp, *self.functions) if n)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the node itself reads."""
        return self.padding.inputs if self.padding else self.node.inputs

    @property
    def residual(self) -> str | None:
        """The other operand of the sum."""
        if self.sum is None:
            return None
        mine = self.affine.name if self.affine else self.node.name
        return next(i for i in self.sum.inputs if i != mine)


def rest(graph: Graph, resting: frozenset[str]) -> Graph:
    """The nodes named in `resting` take their inference form."""
    nodes = [replace(n, layer=n.layer.inference()) if n.name in resting else n for n in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def fold(graph: Graph, shapes: dict[str, Shape], passive: frozenset[str], keep: frozenset[str], enabled: bool = True) -> list[Unit]:
    """Units in topological order. A value that somebody else reads, or that is kept, is never folded away.

    passive: nodes that no gradient passes through; only there a scale and shift go into the layer before them.
    """
    readers = Counter(i for n in graph.nodes for i in n.inputs)
    units: list[Unit | None] = []
    made_by: dict[str, int] = {}  # node name -> index of the unit that makes its value
    for node in graph.nodes:
        merged = None
        for at in _neighbours(node, made_by) if enabled else ():
            unit = units[at]
            if (
                readers[unit.names[-1]] == 1
                and unit.names[-1] not in keep
                and (merged := _merged(unit, node, passive, shapes, made_by, at) or _chained(unit, node, keep) or _applied(unit, node, passive, keep))
            ):
                break
        if merged is None:
            made_by[node.name] = len(units)
            units.append(Unit(node))
        elif merged.node is node:  # a padding went into the node behind it
            units[at] = None
            made_by[node.name] = len(units)
            units.append(merged)
        else:
            units[at] = merged
            made_by[node.name] = at
    return [u for u in units if u]


def _neighbours(node: Node, made_by: dict[str, int]) -> Iterator[int]:
    """Units whose outputs the node reads, the latest first: whatever it reads besides is then there before."""
    return iter(sorted({made_by[i] for i in node.inputs}, reverse=True))


def _merged(unit: Unit, node: Node, passive: frozenset[str], shapes: dict[str, Shape], made_by: dict[str, int], at: int) -> Unit | None:
    """The unit with the node folded into it (or the other way round), where that is possible."""
    layer, owner = node.layer, unit.node.layer
    if owner.pads and layer.takes_padding and unit.names == (unit.node.name,):
        return Unit(node, padding=unit.node)
    if unit.clamp or unit.functions:
        return None
    if node.name in passive and layer.affine is not None and owner.takes_affine and not (unit.affine or unit.sum):
        return replace(unit, affine=node)
    if layer.adds and len(set(node.inputs)) == 2 and owner.takes_residual and not unit.sum:
        before = all(made_by[i] < at or i == unit.names[-1] for i in node.inputs)
        return replace(unit, sum=node) if before and len({shapes[i] for i in node.inputs}) == 1 else None
    if layer.clamp is not None and owner.takes_clamp:
        return replace(unit, clamp=node)
    return None


def _applied(unit: Unit, node: Node, passive: frozenset[str], keep: frozenset[str]) -> Unit | None:
    """The unit with an elementwise node as its last function.

    Where a gradient passes, only one that is undone from its output: for others the value between would have to be kept, and a kernel that
    writes both saves no more than one of three passes over it. An elementwise layer's own gradient may need that value, too.
    """
    if len(node.inputs) > 1 or node.layer.scalars is None or not unit.node.layer.takes_function or _shows(node, keep):
        return None
    if node.name not in passive and (unit.clamp or unit.functions or not node.layer.undone_from_output or unit.node.layer.scalars is not None):
        return None
    if unit.clamp is None:
        return replace(unit, functions=(*unit.functions, node))
    return None if unit.clamp.layer.scalars is None else replace(unit, clamp=None, functions=(unit.clamp, node))


def _shows(node: Node, keep: frozenset[str]) -> bool:
    """Whether an output's link must stay in sight: a loss works from the logits before it."""
    return bool(node.layer.link) and node.name in keep


def _chained(unit: Unit, node: Node, keep: frozenset[str]) -> Unit | None:
    """A unit that does both's work, where both are elementwise."""
    if len(unit.names) > 1 or unit.padding or len(node.inputs) > 1 or _shows(node, keep):
        return None
    both = unit.node.layer.before(node.layer)
    return None if both is None else Unit(replace(node, layer=both, inputs=unit.node.inputs))
