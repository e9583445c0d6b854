"""The plans and launches of a layer under examination."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...layer import Layer
from ...plan import Plan
from ...plan.buffer import Buffer, Launch
from ..layers import drawn_values, plan_of

BATCH = 2


def arguments(launch: Launch) -> tuple:
    """What its kernel is called with; the plan is bound."""
    return tuple(a.real() if isinstance(a, Buffer) else a for a in (*launch.args, *launch.out))


def float32_plans(cls: type[Layer], backend: Any = None) -> Iterator[Plan]:
    """A plan at rest and one in training for each example (default: on the CPU)."""
    for layer, *shapes in cls.examples():
        for training in (False, True):
            _, weights = drawn_values(layer, shapes, BATCH, 0)
            yield plan_of(layer, shapes, BATCH, weights, training=training, dtype=np.float32, backend=backend)


def run(plan: Plan, xs: list[np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
    """All that one run of a plan of one layer gives: output, and in training gradients."""
    generator = np.random.default_rng([seed, 11])
    shares = [generator.standard_normal(b.shape).astype(plan.dtype) for b in plan.trace.seeds]
    found: dict[str, Any] = {"output": plan.run(xs, shares=shares, clock=(seed, 5)).outputs[0]}
    found |= {f"gradient by input {name[1:]}": plan.input_gradient(name) for name in plan.trace.input_gradients}
    return found | {f"gradient by weight {path.partition('/')[2]}": plan.weight_gradient(path) for path in plan.trace.weight_gradients}
