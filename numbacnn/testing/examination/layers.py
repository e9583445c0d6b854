"""What is checked of a layer class: its parts, in the order of the examination. Each takes the class, and raises where something is wrong."""

import numba
import numpy as np

from ... import jit
from ...backends import open_backend
from ...errors import PluginError
from ...layer import Layer
from ...plan import Plan
from .. import layers as testing
from ..layers import check_configuration, check_gradient, check_precision, check_shape, drawn_values, graph_of, outputs_of
from .drawn import each_drawn
from .launches import run
from .mark import Skip

DRAWS = 12


def examples(cls: type[Layer]) -> list[tuple[Layer, tuple]]:
    """(layer, input shapes) of each example; AssertionError where there are none."""
    found = [(layer, tuple(shapes)) for layer, *shapes in cls.examples()]
    assert found, f"{cls.__name__}.examples() yields nothing: yield (layer, input shape, …) for each case that is worth a look"
    return found


def configuration(cls: type[Layer]) -> str:
    """Fields -> JSON -> fields, for examples and drawn configurations."""
    for layer, _ in examples(cls):
        check_configuration(layer)
    return f"{len(examples(cls))} examples, {each_drawn(cls, DRAWS, lambda layer, *_: check_configuration(layer))} drawn"


def shapes(cls: type[Layer]) -> str:
    """output_shape() says what forward makes, for examples and drawn input shapes."""
    for layer, xs in examples(cls):
        for training in (False, True):
            check_shape(layer, *xs, training=training)
    count = each_drawn(cls, DRAWS, lambda layer, xs, batch, seed: check_shape(layer, *xs, batch=batch, seed=seed))
    return f"{len(examples(cls))} examples, {count} drawn"


def gradients(cls: type[Layer]) -> str:
    """backward against central differences in float64."""
    worst = max(check_gradient(layer, *xs) for layer, xs in examples(cls))
    count = each_drawn(cls, DRAWS, lambda layer, xs, batch, seed: check_gradient(layer, *xs, batch=batch, seed=seed, directions=1))
    return f"{len(examples(cls))} examples, {count} drawn, relative error {worst:.0e}"


def precision(cls: type[Layer]) -> str:
    """float32 against float64, at rest and in training."""
    worst = max(check_precision(layer, *xs, training=training) for layer, xs in examples(cls) for training in (False, True))
    return f"relative error {worst:.0e}"


def batch_of_one(cls: type[Layer]) -> str:
    """A sample alone gives what it gives in a batch, at rest."""
    for layer, xs in examples(cls):
        both = outputs_of(layer, xs, 2, 1, np.float32)
        inputs, weights = drawn_values(layer, xs, 2, 1)
        plan = testing.plan_of(layer, xs, 1, weights, dtype=np.float32)
        for i in range(2):
            one = plan.run([x[i : i + 1] for x in inputs], clock=(1, 5)).outputs[0]
            error = float(np.abs(one[0] - both[i]).max(initial=0) / max(1.0, float(np.abs(both).max(initial=0))))
            assert error < 1e-5, f"{layer} on {xs}: sample {i} alone differs from itself in a batch of two by {error:.1e}"
        check_precision(layer, *xs, batch=1, seed=1)
    return ""


def empty(cls: type[Layer]) -> str:
    """A batch without samples crashes nothing, and its output and the gradients by its inputs have no samples either.

    Gradients by weights are not looked at: models refuse such a batch before they learn from it.
    """
    for layer, xs in examples(cls):
        for training in (False, True):
            _, weights = drawn_values(layer, xs, 1, 0)
            plan = testing.plan_of(layer, xs, 0, weights, training=training, dtype=np.float32)
            found = run(plan, [np.zeros((0, *shape), np.float32) for shape in xs])
            due = {"output": layer.output_shape(*xs)} | {f"gradient by input {i}": shape for i, shape in enumerate(xs)}
            for what, shape in due.items():
                if what in found:
                    assert found[what].shape == (0, *shape), f"{layer} on {xs}: a batch without samples has {what} of shape {found[what].shape}"
    return ""


def bounds(cls: type[Layer]) -> str:
    """No index lies outside of its array, where NUMBA_BOUNDSCHECK watches."""
    if jit.INTERPRETED:
        raise Skip("kernels are interpreted (NUMBA_DISABLE_JIT)")
    assert numba.config.BOUNDSCHECK, "NUMBA_BOUNDSCHECK must be set when the process starts"
    for layer, xs in examples(cls):
        _within_bounds(layer, xs, 2, 0)
    return f"{len(examples(cls))} examples, {each_drawn(cls, DRAWS, _within_bounds)} drawn"


def _within_bounds(layer: Layer, xs: tuple, batch: int, seed: int) -> None:
    inputs, weights = drawn_values(layer, xs, batch, seed)
    for training in (False, True):
        trainable = frozenset({"layer"}) if training else frozenset()
        plan = Plan(graph_of(layer, *xs), batch, dict(weights), open_backend("cpu"), training=training, trainable=trainable)
        launches = dict(zip(map(id, (*plan.early, *plan.calls)), (*plan.prologue, *plan.launches), strict=True))
        try:
            run(plan, inputs, seed)
        except (IndexError, PluginError) as error:
            failed = launches.get(id(getattr(error.__cause__ or error, "launch", None)))
            kernel = f"kernel {failed.kernel.__name__}" if failed else "a kernel"
            raise AssertionError(f"{layer} on {xs}: {kernel} reads or writes out of bounds ({error})") from error
