"""Layers, losses and optimizers on a simulated GPU beside the CPU."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..backends import open_backend
from ..backends.cuda import CUDA
from ..backends.driver import Driver
from ..backends.simulated import Simulated
from ..jit import Kernel
from ..layer import Layer
from ..losses.base import Loss
from ..optimizers.base import Optimizer
from ..plan import Plan
from .layers import draw_inputs, draw_weights, graph_of

TOLERANCE = 2e-5  # of the largest value: sums are added in another order


def check_twin(
    layer: Layer, *shapes: tuple[int, ...], batch: int = 2, seed: int = 0, tolerance: float = TOLERANCE, driver: Driver | Simulated | None = None
) -> float:
    """Outputs, gradients and changed weights of the layer on a GPU (default: a simulated one) against the CPU, in training and at rest.

    Two runs must give the same bits; simulated, the threads of the second one run in reverse order. Returns the largest error, in parts of
    the largest value. Raises AssertionError with the values, DeviceError for a kernel that has no twin.
    """
    xs = [x.astype(np.float32) for x in draw_inputs(shapes, batch, np.random.default_rng([seed, 7]), layer.kinks)]
    return max(
        _compare(f"{layer} on {shapes}, training={training}", lambda d, training=training: _values(layer, shapes, xs, seed, training, d), tolerance, driver)
        for training in (False, True)
    )


def check_loss_twin(loss: Loss, shape: tuple[int, ...], batch: int = 3, seed: int = 0, size: float = 2.0, tolerance: float = TOLERANCE) -> float:
    """As check_twin, for a loss of a prediction (batch, *shape) with logits of that size: each sample's loss and the gradient."""
    generator = np.random.default_rng([seed, 8])
    z = generator.standard_normal((batch, *shape)) * size
    t = generator.uniform(size=z.shape)
    if loss.link == "softmax":
        t = (np.eye(shape[-1])[generator.integers(shape[-1], size=z.shape[:-1])] + t / t.sum(-1, keepdims=True)) / 2
    xs = [a.astype(np.float32) for a in (z, t)]
    return _compare(f"{loss} on {shape}", lambda driver: _values(loss, (shape, shape), xs, seed, True, driver), tolerance)


def check_optimizer_twin(optimizer: Optimizer, groups: Sequence[Sequence[int]] = ((1, 1100), (3, 0, 9)), chunk: int = 600, steps: int = 3) -> float:
    """As check_twin, for some steps with weights of these sizes, group by group, in jobs of at most `chunk` elements; every second weight decays."""
    return _compare(str(optimizer), lambda driver: _updated(optimizer, groups, chunk, steps, driver), 2e-6)


def _compare(what: str, values: Callable[[Any], dict[str, np.ndarray]], tolerance: float, driver: Driver | Simulated | None = None) -> float:
    """The largest error of values(GPU's driver) against values(None), the CPU's."""
    worst = 0.0
    expected, found, again = values(None), values(driver or Simulated()), values(driver or Simulated(backwards=True))
    for name, value in expected.items():
        where = f"{what}: {name}"
        assert np.array_equal(found[name], again[name], equal_nan=True), f"{where} differs between two runs: a barrier is missing"
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, f"{where} is {found[name].dtype} {found[name].shape}"
        error = float(np.abs(found[name] - value).max(initial=0) / max(1.0, float(np.abs(value).max(initial=0))))
        assert error <= tolerance, f"{where} differs by {error:.1e} on the GPU"
        worst = max(worst, error)
    return worst


def _values(layer: Layer, shapes: Sequence[tuple], xs: Sequence[np.ndarray], seed: int, training: bool, driver: Any) -> dict[str, np.ndarray]:
    generator = np.random.default_rng([seed, 9])
    weights = {k: v.astype(np.float32) for k, v in draw_weights(layer, shapes, generator).items()}
    backend = CUDA(driver) if driver else open_backend("cpu")
    trainable = frozenset({"layer"}) if training else frozenset()
    plan = Plan(graph_of(layer, *shapes), len(xs[0]), weights, backend, training=training, trainable=trainable)
    seeds = [generator.standard_normal(plan.trace.seeds[0].shape)] if training else ()
    found = {"output": plan.run(xs, shares=seeds, clock=(seed, 5)).outputs[0]}
    found |= {f"gradient by {name}": plan.input_gradient(name) for name in plan.trace.input_gradients}
    found |= {f"gradient by {path}": plan.weight_gradient(path) for path in plan.trace.weight_gradients}
    backend.pull()
    return found | {f"weight {path}": array.copy() for path, array in weights.items()}


class _Now:
    """A step of an optimizer (optimizers/base.py) whose launches run at once."""

    def __init__(self, optimizer: Optimizer, groups: Sequence[Sequence[int]], chunk: int, driver: Any):
        self.dtype, self.driver, self.groups = np.float32, driver, len(groups)
        sizes = [size for group in groups for size in group]
        owners = [number for number, group in enumerate(groups) for _ in group]
        ends = np.cumsum(sizes)
        jobs = [(a, min(a + chunk, end), i, owners[i]) for i, end in enumerate(ends) for a in range(end - sizes[i], end, chunk)]
        self.jobs, self.segments = np.array(jobs, np.int64).reshape(-1, 4), len(sizes)
        self.decays = np.arange(len(sizes)).astype(np.float32) % 2
        generator = np.random.default_rng(3)
        self.w, self.g = (generator.standard_normal(ends[-1]).astype(np.float32) for _ in range(2))
        self.slot = SimpleNamespace(**{name: np.zeros_like(self.w) for name in optimizer.slots})
        self.rates = np.zeros((len(groups), len(optimizer.rates(1.0, 1))), np.float32)

    def new(self, *shape: int, dtype: Any = None) -> np.ndarray:
        return np.full(shape, np.nan, dtype or self.dtype)

    def constant(self, array: Any) -> np.ndarray:
        return np.ascontiguousarray(array, self.dtype)

    def run(self, kernel: Kernel, *inputs: Any, out: Any) -> Any:
        args = *(self.dtype(i) if isinstance(i, float) else i for i in inputs), *(out if isinstance(out, tuple) else (out,))
        if self.driver:
            kernel.on_gpu.simulate(args, self.driver.backwards)
        else:
            kernel(*args)


def _updated(optimizer: Optimizer, groups: Sequence[Sequence[int]], chunk: int, steps: int, driver: Any) -> dict[str, np.ndarray]:
    step = _Now(optimizer, groups, chunk, driver)
    for t in range(1, steps + 1):
        step.rates[:] = [optimizer.rates(0.05 / (1 + number), t) for number in range(len(groups))]
        optimizer.update(step)
        step.g *= np.float32(-0.7)
    return {"weights": step.w, **{f"slot {name}": getattr(step.slot, name) for name in optimizer.slots}}
