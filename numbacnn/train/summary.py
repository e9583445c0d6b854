"""`model.summary()`: a table of layers, and on request the plan's launches."""

import math
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from ..graph import Graph, Shape
from .network import Network
from .profile import machine_peak, parts, profile_table


def print_summary(graph: Graph, handles: dict, groups: list[list[str]], network: Network | None = None, name: str | None = None) -> Table:
    """Print a table of layers with output shapes, parameters, multiply-adds and memory; with a network, its plan for one image."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 140)  # nobody folds a file
    table = layer_table(graph, handles, groups, name)
    console.print(table)
    console.print(totals(graph, handles))
    if network is not None:
        plan_table(console, graph, network)
    return table


def layer_table(graph: Graph, handles: dict, groups: list[list[str]], name: str | None = None) -> Table:
    """One row a call of a layer; a shared layer's weights count once. "reads" is empty where it is the layer above.

    groups: names of layers with weights that learn at one rate; "trained" says to which a layer belongs, or that it is frozen.
    """
    table = Table(title=f"Model {name}" if name else "Model", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("layer (class)", overflow="fold")
    table.add_column("output shape", no_wrap=True)
    for column in ("parameters", "multiply-adds", "memory"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("trained", no_wrap=True)
    table.add_column("reads", overflow="fold")
    group_of = {owner: f"group {i}" for i, owners in enumerate(groups, 1) for owner in owners}
    shapes = graph.shapes()
    before = None
    for node in graph.nodes:
        shape, handle = shapes[node.name], handles[node.owner]
        own = node.name == node.owner
        parameters = handle.count_params() if own else 0
        table.add_row(
            f"{node.name} ({getattr(node.layer, 'shown_as', type(node.layer).__name__)}" + ("" if own else f", weights of {node.owner}") + ")",
            " x ".join("?" if n is None else str(n) for n in shape),
            f"{parameters:,}" if parameters else "",
            _count(multiply_adds(node, shapes)),
            _bytes(shape),
            ("frozen" if not handle.trainable else group_of.get(node.owner, "")) if parameters else "",
            "" if node.inputs == (before,) else ", ".join(node.inputs),
        )
        before = node.name
    return table


def totals(graph: Graph, handles: dict) -> str:
    """Parameters, trained ones, multiply-adds an image, and the memory of all outputs."""
    shapes = graph.shapes()
    parameters = sum(h.count_params() for h in handles.values())
    trained = sum(math.prod(s.shape) for h in handles.values() if h.trainable for s in h.specs.values() if s.trainable)
    work = [multiply_adds(n, shapes) for n in graph.nodes]
    memory = [_bytes(shapes[n.name]) for n in graph.nodes]
    known = None not in work and "?" not in memory
    size = sum(4 * math.prod(shapes[n.name]) for n in graph.nodes) if known else None
    lines = [f"{parameters:,} parameters ({parameters * 4 / 2**20:.1f} MiB), {trained:,} trained, {parameters - trained:,} not"]
    if known:
        lines.append(f"{_count(sum(work)) or 0} multiply-adds and {size / 2**20:.1f} MiB of outputs for one image")
    return "\n".join(lines)


def multiply_adds(node: Any, shapes: dict[str, Shape]) -> int | None:
    """Multiplications of a layer's kernels for one image; None where a size is not known."""
    inputs = [shapes[i] for i in node.inputs]
    if any(n is None for s in (*inputs, shapes[node.name]) for n in s):
        return None
    return node.layer.multiply_adds(*inputs) if node.inputs else 0


def _count(value: int | None) -> str:
    if value is None:
        return "?"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.2f} {name}"
    return str(value) if value else ""


def _bytes(shape: Shape) -> str:
    if None in shape:
        return "?"
    size = 4 * math.prod(shape)
    return f"{size / 2**20:.2f} MiB" if size >= 2**20 else f"{size / 1024:.1f} KiB"


def plan_table(console: Console, graph: Graph, network: Network) -> None:
    """The launches of the inference plan for one image: their times, what was folded into what, which algorithm each layer got and why."""
    shapes = [tuple(n or 224 for n in graph[name].layer.shape) for name in graph.inputs]
    images = [np.zeros((1, *s), np.float32) for s in shapes]
    plan = network.plan("predict", images)
    plan.run(images)
    top = machine_peak(network.backend)
    console.print(profile_table(parts(plan), top, f"Plan for one image on {network.backend.name}"))
    folded = [
        f"{', '.join(n.name for n in (u.padding, u.affine, u.sum, u.clamp, *u.functions) if n)} into {u.node.name}"
        for u in plan.units
        if u.names[1:] or u.padding
    ]
    if folded:
        console.print("folded: " + "; ".join(folded))
    counts = f"{len(plan.launches)} launches, {len(plan.prologue)} more when weights change"
    console.print(f"{counts}; arena of {plan.arena_bytes / 2**20:.2f} MiB" + (f"; peak {top / 1e9:.0f} GFLOP/s" if top else ""))
