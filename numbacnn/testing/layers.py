"""Checks for layers: `check_layer` and its parts, and the values and plans that they draw and make."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import fields as codec
from .. import registry
from ..backends import open_backend
from ..graph import Graph, Node
from ..layer import Layer
from ..plan import Plan
from ..plan.expand import expand

STEP = 1e-4  # of the central difference, fourth order: its own error is about 1e-12
MARGIN = 2e-3  # values stay this far from kinks and ties, more than any step can move them


def graph_of(layer: Layer, *shapes: tuple[int, ...]) -> Graph:
    """A graph of one layer behind as many inputs as there are shapes."""
    source = registry.layers["Input"]
    inputs = tuple(Node(f"x{i}", source(shape)) for i, shape in enumerate(shapes))
    names = tuple(n.name for n in inputs)
    return Graph((*inputs, Node("layer", layer, names, stream=len(names))), names, ("layer",))


def draw_weights(layer: Layer, shapes: Sequence[tuple], generator: np.random.Generator, dtype: Any = np.float64) -> dict[str, np.ndarray]:
    """Random weights that no gradient can hide behind: nothing is zero, what starts at one stays near it, statistics are positive."""
    made = {}
    for name, spec in layer.weights(*shapes).items():
        values = generator.standard_normal(spec.shape) * 0.3
        values = 1 + 0.3 * values if spec.init == "ones" else values
        made[f"layer/{name}"] = np.asarray(values if spec.trainable else generator.uniform(0.5, 1.5, spec.shape), dtype)
    return made


def draw_inputs(shapes: Sequence[tuple], batch: int, generator: np.random.Generator, kinks: Sequence[float] = ()) -> list[np.ndarray]:
    """Values in -2 … 2, all different by more than a step of the central difference and away from kinks."""
    sizes = [batch * math.prod(s) for s in shapes]
    grid = np.linspace(-2, 2, max(sum(sizes), 2))[: sum(sizes)] + generator.uniform(-0.2, 0.2) * 4 / max(sum(sizes), 2)
    for kink in kinks:
        near = np.abs(grid - kink) < MARGIN
        grid[near] = kink + np.where(grid[near] < kink, -1, 1) * (MARGIN + 2e-3 * generator.random(near.sum()))
    values = generator.permutation(grid)
    return [part.reshape(batch, *s) for part, s in zip(np.split(values, np.cumsum(sizes)[:-1]), shapes, strict=True)]


def plan_of(layer: Layer, shapes: Sequence[tuple], batch: int, weights: dict[str, np.ndarray], backend: Any = None, **options: Any) -> Plan:
    """A plan of one layer, on the CPU unless a backend is given; options as for Plan."""
    trainable = frozenset({"layer"}) if options.get("training") else frozenset()
    return Plan(graph_of(layer, *shapes), batch, weights, backend or open_backend("cpu"), trainable=trainable, **options)


def check_gradient(layer: Layer, *shapes: tuple[int, ...], batch: int = 2, seed: int = 0, tolerance: float = 1e-6, directions: int = 2) -> float:
    """Compare backward with central differences along random directions, in float64, for every input and trained weight.

    Returns the largest relative error; raises AssertionError, naming input or weight, where it is above `tolerance`.
    """
    plan, xs, weights, clock, dy = _quiet_draw(layer, shapes, batch, seed)
    generator = np.random.default_rng([seed, 1])
    saved = {k: v.copy() for k, v in weights.items()}

    def loss() -> float:
        for path, value in saved.items():  # forward moves running statistics
            if path not in moved:
                weights[path][...] = value
        plan.stale = True
        result = plan.run(xs, shares=[dy], clock=clock)
        return float((result.outputs[0] * dy).sum()) + result.penalty

    moved: set[str] = set()
    loss()
    analytic = {f"input {i}": plan.input_gradient(f"x{i}") for i in range(len(shapes)) if f"x{i}" in plan.trace.input_gradients}
    analytic |= {f"weight {p.partition('/')[2]}": plan.weight_gradient(p) for p in plan.trace.weight_gradients}
    worst = 0.0
    for what, gradient in analytic.items():
        kind, _, which = what.partition(" ")
        array = xs[int(which)] if kind == "input" else weights[f"layer/{which}"]
        moved = {f"layer/{which}"} if kind == "weight" else set()
        start = array.copy()
        assert np.isfinite(gradient).all(), f"{layer}: gradient by {what} is not finite"
        for _ in range(directions):
            direction = generator.uniform(-1, 1, array.shape)

            def at(scale: float, array=array, start=start, direction=direction) -> float:
                array[...] = start + scale * STEP * direction
                return loss()

            numeric = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * STEP)
            array[...] = start
            exact = float((gradient * direction).sum())
            size = max(abs(numeric), abs(exact), 0.1 * float(np.linalg.norm(gradient)), 1e-6)
            error = abs(numeric - exact) / size
            assert error <= tolerance, (
                f"{layer} on {shapes}: gradient by {what} along a random direction is {exact:.9g}, "
                f"central differences give {numeric:.9g} (relative error {error:.1e} > {tolerance:.0e})"
            )
            worst = max(worst, error)
    return worst


def _quiet_draw(layer: Layer, shapes: Sequence[tuple], batch: int, seed: int) -> tuple:
    """A plan and values for it, drawn again until every layer with kinks inside sees only values away from them."""
    nodes = expand(graph_of(layer, *shapes)).nodes
    watched = {n.inputs[0]: n.layer.kinks for n in nodes if n.inputs and n.layer.kinks and not n.inputs[0].startswith("x")}
    direct = next((n.layer.kinks for n in nodes if n.inputs and n.inputs[0] == "x0"), ())
    clock = (seed, 3)
    for attempt in range(200):
        generator = np.random.default_rng([seed, attempt])
        weights = draw_weights(layer, shapes, generator)
        xs = draw_inputs(shapes, batch, generator, direct)
        plan = plan_of(layer, shapes, batch, weights, training=True, dtype=np.float64, keep=tuple(watched))
        output = plan.run(xs, shares=[np.zeros(plan.trace.seeds[0].shape)], clock=clock).outputs[0]
        if all(np.abs(plan.value(name)[..., None] - np.array(kinks)).min(initial=1) > MARGIN for name, kinks in watched.items()):
            return plan, xs, weights, clock, generator.standard_normal(output.shape)
    raise AssertionError(f"{layer}: no values away from the kinks {watched} were found in 200 draws")


def check_configuration(layer: Layer) -> None:
    """The layer's fields come back from JSON as they were, as the same layer."""
    stored = codec.to_json(layer, lambda cls: registry.layers.name_of(cls) if issubclass(cls, Layer) else None)
    read = json.loads(json.dumps(stored, allow_nan=False))
    again = codec.build(type(layer), read, lambda kind, name: registry.layers[name] if issubclass(kind, Layer) else None)
    assert again == layer, f"{layer} comes back from JSON as {again}"


def outputs_of(layer: Layer, shapes: Sequence[tuple], batch: int, seed: int, dtype: Any, **options: Any) -> np.ndarray:
    """The layer's output, (batch, ...), for the inputs and weights that `seed` draws as float32. options as for Plan."""
    xs, weights = drawn_values(layer, shapes, batch, seed)
    plan = plan_of(layer, shapes, batch, {k: v.astype(dtype) for k, v in weights.items()}, dtype=dtype, **options)
    seeds = [np.zeros(plan.trace.seeds[0].shape)] if options.get("training") else ()
    return plan.run(xs, shares=seeds, clock=(seed, 5)).outputs[0]


def drawn_values(layer: Layer, shapes: Sequence[tuple], batch: int, seed: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """(inputs, weights) as float32."""
    generator = np.random.default_rng([seed, 7])
    xs = [x.astype(np.float32) for x in draw_inputs(shapes, batch, generator)]
    return xs, {k: v.astype(np.float32) for k, v in draw_weights(layer, shapes, generator).items()}


def check_shape(layer: Layer, *shapes: tuple[int, ...], batch: int = 2, seed: int = 0, training: bool = False) -> np.ndarray:
    """The output is float32, finite and as large as output_shape() says. Returns it."""
    y = outputs_of(layer, shapes, batch, seed, np.float32, training=training)
    shape = (batch, *layer.output_shape(*shapes))
    assert y.shape == shape, f"{layer} on {shapes}: output has shape {y.shape}, output_shape() says {shape}"
    assert y.dtype == np.float32 and np.isfinite(y).all(), f"{layer} on {shapes}: output is not finite float32"
    return y


def check_precision(layer: Layer, *shapes: tuple[int, ...], batch: int = 2, seed: int = 0, training: bool = False) -> float:
    """float32 is float64 up to rounding, and the same bits with and without folding and memory reuse. Returns the relative error."""
    y = check_shape(layer, *shapes, batch=batch, seed=seed, training=training)
    for options in ({"folding": False}, {"reuse": False}):
        other = outputs_of(layer, shapes, batch, seed, np.float32, training=training, **options)
        assert np.array_equal(y, other), f"{layer} on {shapes}: {options} changes the result"
    error = _difference(y, outputs_of(layer, shapes, batch, seed, np.float64, training=training))
    assert error < 1e-4, f"{layer} on {shapes}: float32 differs from float64 by {error:.1e}"
    return error


def check_oracle(layer: Layer, *shapes: tuple[int, ...], oracle: Callable, batch: int = 2, seed: int = 0, training: bool = False) -> None:
    """Values in float64 against a reference, oracle(layer, weights, *xs, training=…); where it returns None, it knows none.

    weights also holds the random state, "clock" (seed, step) and "stream".
    """
    xs, weights = drawn_values(layer, shapes, batch, seed)
    given = {k.partition("/")[2]: v.astype(np.float64) for k, v in weights.items()} | {"clock": (seed, 5), "stream": len(shapes)}
    expected = oracle(layer, given, *(x.astype(np.float64) for x in xs), training=training)
    if expected is not None:
        error = _difference(outputs_of(layer, shapes, batch, seed, np.float64, training=training), expected)
        assert error < 1e-9, f"{layer} on {shapes}, training={training}: differs from the oracle by {error:.1e}"


def _difference(y: np.ndarray, expected: np.ndarray) -> float:
    """The largest, relative to the largest value."""
    return float(np.abs(y - expected).max(initial=0) / max(1.0, float(np.abs(expected).max(initial=0))))


def check_layer(layer: Layer, *shapes: tuple[int, ...], batch: int = 2, seed: int = 0, oracle: Callable | None = None, gradient: bool = True) -> None:
    """The examination of one layer on inputs of these shapes; raises AssertionError with the values where it fails.

    Configuration round trip; output shape; float32 against float64; batch of one; results equal with and without folding and
    memory reuse; gradients; and, with `oracle` (see check_oracle), values against a reference.
    `numbacnn plugins check` examines more: threads, memory, files, speed.
    """
    check_configuration(layer)
    for training, size in ((False, batch), (True, batch), (False, 1)):
        check_precision(layer, *shapes, batch=size, seed=seed + (size == 1), training=training)
        if oracle is not None:
            check_oracle(layer, *shapes, oracle=oracle, batch=size, seed=seed + (size == 1), training=training)
    if gradient:
        check_gradient(layer, *shapes, batch=batch, seed=seed)
