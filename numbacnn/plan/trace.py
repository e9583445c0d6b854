"""Pass: every layer speaks once; what it says becomes a list of launches, forward and, in training, backward."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..graph import Graph, Node
from ..kernels.elementwise import joined
from ..regularizers import get
from . import blame, kernels
from .buffer import Buffer
from .fold import Unit
from .step import Recorder, Step


@dataclass
class Trace:
    """What tracing gives: the buffers by which the outside world reaches a plan."""

    recorder: Recorder
    values: dict[str, Buffer] = field(default_factory=dict)  # node -> its output
    inputs: dict[str, Buffer] = field(default_factory=dict)
    outputs: list[Buffer] = field(default_factory=list)
    seeds: list[Buffer | None] = field(default_factory=list)  # gradient of the total by each output or by each sample's loss
    targets: list[Buffer | None] = field(default_factory=list)
    losses: list[Buffer | None] = field(default_factory=list)  # (batch,) one loss a sample, for each output
    penalties: list[Buffer] = field(default_factory=list)
    weight_gradients: dict[str, Buffer] = field(default_factory=dict)
    input_gradients: dict[str, Buffer] = field(default_factory=dict)
    gradients: dict[str, Buffer] = field(default_factory=dict)  # node -> gradient by its output, for keep=
    things: dict[str, Any] = field(default_factory=dict)  # what notes launches beside layers -> loss, optimizer


def _kept(value: Any) -> tuple:
    """What forward returned, as the arguments that backward gets."""
    return value if isinstance(value, tuple) else () if value is None else (value,)


class Tracer:
    """Walks the units forward and backward. `passive` names the nodes that no gradient passes through: backward ends there."""

    def __init__(
        self,
        graph: Graph,
        units: list[Unit],
        shapes: dict,
        declared: dict[str, dict],
        weights: dict[str, Buffer],
        recorder: Recorder,
        passive: frozenset[str] = frozenset(),
    ):
        self.graph, self.units, self.shapes, self.declared, self.weights = graph, units, shapes, declared, weights
        self.trace = Trace(recorder)
        self.recorder, self.passive = recorder, passive
        self.steps: dict[int, Step] = {}
        self.kept: dict[int, tuple] = {}
        self.measured = {name for unit in units if unit.node.layer.takes_moments for name in unit.inputs}  # whose moments somebody takes
        self.moments: dict[str, Buffer] = {}
        self.uses: dict[str, list[Buffer]] = {}
        self.due: dict[str, Node] = {}  # weight -> whose backward should have given its gradient

    def step(self, node: Node, xs: list[Buffer]) -> Step:
        def gradient(name: str) -> Buffer:
            path = node.weight_path(name)
            w = self.weights[path]
            b = Buffer(w.shape, w.dtype, f"gradient of {path}")
            self.uses.setdefault(path, []).append(b)
            return b

        return Step(self.recorder, node, xs, self.shapes[node.name], lambda n: self.weights[node.weight_path(n)], gradient, list(self.declared[node.name]))

    def forward(self) -> None:
        trace = self.trace
        for i, unit in enumerate(self.units):
            node = unit.node
            if node.inputs:
                self._unit_forward(i, trace.values)
                continue
            b = Buffer((self.recorder.batch, *self.shapes[node.name]), self.recorder.dtype, node.name, "persistent")
            trace.inputs[node.name] = trace.values[node.name] = b

    def _again(self, segment: range) -> None:
        """The forward pass of a segment once more, for backward to read; running statistics have moved already."""
        values = dict(self.trace.values)
        self.recorder.again = True
        for i in segment:
            if self.units[i].node.inputs:
                self._unit_forward(i, values)
        self.recorder.again = False

    def _unit_forward(self, i: int, values: dict[str, Buffer]) -> None:
        unit = self.units[i]
        node = unit.node
        s = self.steps[i] = self.step(node, [values[n] for n in unit.inputs])
        if unit.padding:
            s.padding = unit.padding.layer.pads
        if unit.affine:
            s.affine = unit.affine.layer.affine(self.step(unit.affine, [s.y]))
        if unit.sum:
            s.residual = values[unit.residual]
        if unit.clamp:
            s.clamp = tuple(map(float, unit.clamp.layer.clamp))
        if unit.functions:
            s.function = joined([n.layer.scalars(self.step(n, [s.y])) for n in unit.functions])
        s.wants_moments = node.layer.gives_moments and unit.names == (node.name,) and node.name in self.measured
        s.x_moments = self.moments.get(unit.inputs[0]) if node.layer.takes_moments else None
        with blame.describing(f"forward of layer {node.name!r}", node.layer):
            self.kept[i] = _kept(node.layer.forward(s))
        blame.check_output(node, s, self.recorder, self.shapes[node.name])
        values[unit.names[-1]] = s.y
        if s.moments is not None:
            self.moments[node.name] = s.moments

    def attach(self, losses: list[Any]) -> list[tuple[str, Buffer]]:
        """Put the losses behind the outputs (or a plain seed, where there is none). Returns (node, gradient by its output)."""
        trace, heads = self.trace, []
        trace.outputs = [trace.values[n] for n in self.graph.outputs]
        made_by = {u.names[-1]: u for u in self.units}
        for i, name in enumerate(self.graph.outputs):
            loss = losses[i] if losses else None
            if loss is None and losses:
                for none in (trace.seeds, trace.targets, trace.losses):
                    none.append(None)
                continue
            if loss is None:
                seed = Buffer(trace.values[name].shape, self.recorder.dtype, f"seed of {name}", "persistent")
                trace.seeds.append(seed)
                heads.append((name, seed))
                continue
            unit = made_by[name]
            if loss.link and unit.node.layer.link == loss.link and unit.names == (unit.node.name,):
                name = unit.inputs[0]  # work from the logits: a saturated unit still learns
            prediction = trace.values[name]
            target = Buffer(prediction.shape, self.recorder.dtype, f"target of {name}", "persistent")
            share = Buffer((self.recorder.batch,), self.recorder.dtype, f"share of {name}", "persistent")
            node = Node(f"loss of {name}", loss, (name, f"target of {name}"), stream=(1 << 19) + i)
            s = Step(self.recorder, node, [prediction, target], (), lambda n: None, lambda n: None, ())
            trace.things[node.name] = loss
            with blame.describing(f"forward of the {node.name!r}", loss):
                kept = _kept(loss.forward(s))
            blame.check_output(node, s, self.recorder, (), "loss")
            trace.seeds.append(share)
            trace.targets.append(target)
            trace.losses.append(s.y)
            s.dy = share
            heads.append((name, lambda s=s, node=node, kept=kept: self._loss_backward(s, node, kept)))
        return heads

    def _loss_backward(self, s: Step, node: Node, kept: tuple) -> Buffer:
        with blame.describing(f"backward of the {node.name!r}", node.layer):
            node.layer.backward(s, *kept)
        blame.check_gradients(node, s, self.recorder, [True, False], "loss")
        return s.grad(0)

    def backward(self, heads: list[tuple[str, Any]], segments: Sequence[range] = ()) -> None:
        """segments: those but the last are computed again before backward passes through them."""
        trace = self.trace
        ends = {segment[-1]: segment for segment in segments[:-1]}
        grads: dict[str, list[Buffer]] = {}
        for name, head in heads:
            grads.setdefault(name, []).append(head() if callable(head) else head)
        for i in reversed(range(len(self.units))):
            unit = self.units[i]
            node, gs = unit.node, grads.get(unit.names[-1], [])
            if i in ends:
                self._again(ends[i])
            if not gs or unit.names[-1] in self.passive:
                continue
            dy = gs[0]
            for g in gs[1:]:
                total = Buffer(dy.shape, dy.dtype, f"gradient of {unit.names[-1]}")
                dy = self.recorder.run(unit.names[-1], kernels.add, (dy, g), total)
            trace.gradients[unit.names[-1]] = dy
            if not node.inputs:
                trace.input_gradients[node.name] = dy
                continue
            self._unit_backward(unit, self.steps[i], dy, self.kept[i], grads)

    def _unit_backward(self, unit: Unit, s: Step, dy: Buffer, kept: tuple, grads: dict[str, list[Buffer]]) -> None:
        """Backward of one unit: through its clamp or function and its sum, unless the layer does that itself, and through its layer."""
        layer = unit.node.layer
        if unit.clamp and layer.takes_folded_gradient:
            if unit.sum:
                s.dresidual = Buffer(dy.shape, dy.dtype, f"gradient of {unit.residual}")
        elif unit.clamp:
            dx = Buffer(dy.shape, dy.dtype, f"gradient of {unit.node.name}")
            dy = self.recorder.run(unit.clamp.name, kernels.clamp_backward, (s.y, dy, *s.clamp), dx)
        for node in unit.functions:  # one at most, where a gradient passes
            f = self.step(node, [s.y])
            f.y, f.dy = s.y, dy
            node.layer.backward(f)
            dy = f.dx
        if unit.sum:
            grads.setdefault(unit.residual, []).append(dy if s.dresidual is None else s.dresidual)
        s.dy = dy
        others = grads.get(unit.inputs[0], [])
        if others and layer.takes_dx_residual:
            s.dx_residual = others.pop()
        with blame.describing(f"backward of layer {unit.node.name!r}", layer):
            layer.backward(s, *kept)
        blame.check_gradients(unit.node, s, self.recorder, [n not in self.passive for n in unit.inputs])
        self.due |= {unit.node.weight_path(w): unit.node for w in self.declared[unit.node.name]}
        for source, g in zip(unit.inputs, s.dxs, strict=True):
            if g is not None:
                grads.setdefault(source, []).append(g)

    def finish(self, trainable: list[str], specs: dict[str, Any], place: dict[str, Buffer]) -> None:
        """Every trained weight gets one final gradient, at its place where it has one: sum over uses, plus its penalty's."""
        run = self.recorder.run
        counts = Counter({path: len(b) for path, b in self.uses.items()})
        for path in trainable:
            uses, w, home = self.uses.get(path, []), self.weights[path], place.get(path)
            if path in self.due:
                blame.check_weight_gradient(self.due[path], path, uses, self.recorder)
            penalty = get(specs[path].regularizer)
            if counts[path] == 1 and penalty is None and home is not None and uses[0].root is uses[0]:
                uses[0].move_into(home)  # the layer's launch writes to its place itself
                self.trace.weight_gradients[path] = uses[0]
                continue
            last = home or Buffer(w.shape, w.dtype, f"gradient of {path}")
            total = uses[0] if uses else None
            for i, g in enumerate(uses[1:], 1):
                end = i == len(uses) - 1 and penalty is None
                total = run(path, kernels.add, (total, g), last if end else Buffer(w.shape, w.dtype, f"gradient of {path}"))
            if total is None:
                zeros = last if penalty is None else Buffer(w.shape, w.dtype, f"gradient of {path}")
                total = run(path, kernels.zero, (), zeros)
            if penalty is not None:
                total = run(path, kernels.penalty_gradient, (total, w, penalty.l1, penalty.l2), last)
            elif total is not last and home is not None:
                total = run(path, kernels.copy, (total,), last)
            self.trace.weight_gradients[path] = total

    def penalize(self, specs: dict[str, Any]) -> None:
        """The value of every regularizer, for the reported loss."""
        for path, spec in specs.items():
            if (penalty := get(spec.regularizer)) is not None:
                w = self.weights[path]
                parts = Buffer((-(-w.size // kernels.PART),), "f8", f"penalty of {path}")
                self.trace.penalties.append(self.recorder.run(path, kernels.penalties, (w, penalty.l1, penalty.l2), parts))
