"""Layers, losses and optimizers on a simulated GPU beside the CPU."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..backends import open_backend
from ..backends.cuda import CUDA
from ..backends.driver import Driver
from ..backends.simulated import Simulated
from ..graph import Graph
from ..jit import Kernel
from ..layer import Layer
from ..losses.base import Loss
from ..optimizers.base import Optimizer
from ..plan import Plan
from .layers import draw_inputs, draw_weights, graph_of
from .losses import value_and_gradient

TOLERANCE = 2e-5  # of the largest value: sums are added in another order


def check_twin(
    layer: Layer,
    *shapes: tuple[int, ...],
    batch: int = 2,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    driver: Driver | Simulated | None = None,
    precision: str = "float32",
) -> float:
    """Outputs, gradients and changed weights of the layer on a GPU (default: a simulated one) against the CPU, in training and at rest.

    precision: as for Plan; the CPU rounds what the GPU rounds.

    Two runs must give the same bits; simulated, the threads of the second one run in reverse order. Returns the largest error, in parts of
    the largest value. Raises AssertionError with the values, DeviceError for a kernel that has no twin.
    """
    xs = [x.astype(np.float32) for x in draw_inputs(shapes, batch, np.random.default_rng([seed, 7]), layer.kinks)]
    graph, weights = graph_of(layer, *shapes), draw_weights(layer, shapes, np.random.default_rng([seed, 9]))
    given = f"{layer} on {shapes}", graph, weights, xs, seed
    return max(_compare_plans(*given, training, tolerance, driver, precision=precision) for training in (False, True))


def check_model_twin(model: Any, batch: int = 2, seed: int = 0, tolerance: float = TOLERANCE, driver: Driver | Simulated | None = None) -> float:
    """As check_twin, for a whole model, whose layers are folded into each other; its own weights stay as they are."""
    shapes = [model.graph.shapes()[name] for name in model.graph.inputs]
    xs = [x.astype(np.float32) for x in draw_inputs(shapes, batch, np.random.default_rng([seed, 7]))]
    weights = model.network.weights()
    return max(_compare_plans("the model", model.graph, weights, xs, seed, training, tolerance, driver) for training in (False, True))


def check_loss_twin(
    loss: Loss, shape: tuple[int, ...], batch: int = 3, seed: int = 0, size: float = 2.0, tolerance: float = TOLERANCE, driver: Driver | Simulated | None = None
) -> float:
    """As check_twin, for a loss of a prediction (batch, *shape) with logits of that size: each sample's loss and the gradient."""
    generator = np.random.default_rng([seed, 8])
    z = generator.standard_normal((batch, *shape)) * size
    t = generator.uniform(size=z.shape)
    if loss.link == "softmax":
        t = (np.eye(shape[-1])[generator.integers(shape[-1], size=z.shape[:-1])] + t / t.sum(-1, keepdims=True)) / 2
    given = z.astype(np.float32), t.astype(np.float32), generator.uniform(0.1, 1, batch)

    def values(d: Any) -> dict[str, np.ndarray]:
        found = value_and_gradient(loss, *given, np.float32, CUDA(d) if d else None)
        return dict(zip(("loss", "gradient"), found, strict=True))

    return _compare(f"{loss} on {shape}", values, tolerance, driver)


def check_optimizer_twin(
    optimizer: Optimizer,
    groups: Sequence[Sequence[int]] = ((1, 1100), (3, 0, 9)),
    chunk: int = 600,
    steps: int = 3,
    tolerance: float = 2e-6,
    driver: Driver | Simulated | None = None,
) -> float:
    """As check_twin, for some steps with weights of these sizes, group by group, in jobs of at most `chunk` elements; every second weight decays."""
    return _compare(str(optimizer), lambda d: _updated(optimizer, groups, chunk, steps, d), tolerance, driver)


def _compare_plans(
    what: str, graph: Graph, weights: dict, xs: Sequence[np.ndarray], seed: int, training: bool, tolerance: float, driver: Any, **options: Any
) -> float:
    return _compare(f"{what}, training={training}", lambda d: _values(graph, weights, xs, seed, training, d, **options), tolerance, driver)


def _compare(what: str, values: Callable[[Any], dict[str, np.ndarray]], tolerance: float, driver: Driver | Simulated | None = None) -> float:
    """The largest error of values(GPU's driver) against values(None), the CPU's."""
    worst = 0.0
    expected, found, again = values(None), values(driver or Simulated()), values(driver or Simulated(backwards=True))
    for name, value in expected.items():
        where = f"{what}: {name}"
        told = f"{where} differs between two runs: a barrier is missing, or jobs of a loop over prange write the same elements"
        assert np.array_equal(found[name], again[name], equal_nan=True), told
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, f"{where} is {found[name].dtype} {found[name].shape}"
        error = float(np.abs(found[name] - value).max(initial=0) / max(1.0, float(np.abs(value).max(initial=0))))
        assert error <= tolerance, f"{where} differs by {error:.1e} on the GPU"
        worst = max(worst, error)
    return worst


def _values(graph: Graph, weights: dict, xs: Sequence[np.ndarray], seed: int, training: bool, driver: Any, **options: Any) -> dict[str, np.ndarray]:
    weights = {path: array.astype(np.float32) for path, array in weights.items()}
    backend, generator = CUDA(driver) if driver else open_backend("cpu"), np.random.default_rng([seed, 11])
    trainable = frozenset(node.owner for node in graph.nodes) if training else frozenset()
    plan = Plan(graph, len(xs[0]), weights, backend, training=training, trainable=trainable, **options)
    seeds = [generator.standard_normal(plan.trace.seeds[0].shape)] if training else ()
    found = {"output": plan.run(xs, shares=seeds, clock=(seed, 5)).outputs[0]}
    found |= {f"gradient by {name}": plan.input_gradient(name) for name in plan.trace.input_gradients}
    found |= {f"gradient by {path}": plan.weight_gradient(path) for path in plan.trace.weight_gradients}
    backend.pull()
    return found | {f"weight {path}": array.copy() for path, array in weights.items()}


class _Now:
    """A step of an optimizer (optimizers/base.py) whose launches run at once."""

    def __init__(self, optimizer: Optimizer, groups: Sequence[Sequence[int]], chunk: int, driver: Any):
        self.dtype, self.backend, self.groups = np.float32, CUDA(driver) if driver else open_backend("cpu"), len(groups)
        sizes = [size for group in groups for size in group]
        owners = [number for number, group in enumerate(groups) for _ in group]
        ends = np.cumsum(sizes)
        jobs = [(a, min(a + chunk, end), i, owners[i]) for i, end in enumerate(ends) for a in range(end - sizes[i], end, chunk)]
        self.segments, generator = len(sizes), np.random.default_rng(3)
        self.jobs, self.decays = (self._sent(a) for a in (np.array(jobs, np.int64).reshape(-1, 4), np.arange(len(sizes)).astype(np.float32) % 2))
        self.w, self.g = (self.constant(generator.standard_normal(ends[-1])) for _ in range(2))
        self.slot = SimpleNamespace(**{name: self.constant(np.zeros(ends[-1])) for name in optimizer.slots})
        self.rates = self.constant(np.zeros((len(groups), len(optimizer.rates(1.0, 1)))))

    def _sent(self, array: np.ndarray) -> Any:
        return self.backend.constant(np.ascontiguousarray(array))

    def new(self, *shape: int, dtype: Any = None) -> Any:
        return self._sent(np.full(shape, np.nan, dtype or self.dtype))

    def constant(self, array: Any) -> Any:
        return self._sent(np.asarray(array, self.dtype))

    def run(self, kernel: Kernel, *inputs: Any, out: Any) -> None:
        args = *(self.dtype(i) if isinstance(i, float) else i for i in inputs), *(out if isinstance(out, tuple) else (out,))
        self.backend.compile([(kernel, args)])
        self.backend.run([self.backend.bind(kernel, args)])


def _updated(optimizer: Optimizer, groups: Sequence[Sequence[int]], chunk: int, steps: int, driver: Any) -> dict[str, np.ndarray]:
    step = _Now(optimizer, groups, chunk, driver)
    gradient = step.backend.download(step.g)
    for t in range(1, steps + 1):
        step.backend.upload([(step.rates, [optimizer.rates(0.05 / (1 + number), t) for number in range(len(groups))])])
        step.backend.upload([(step.g, gradient * np.float32((-0.7) ** t))])
        optimizer.update(step)
    return {name: step.backend.download(array) for name, array in (("weights", step.w), *vars(step.slot).items())}
