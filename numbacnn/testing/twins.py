"""A layer's kernels on a simulated GPU beside those on the CPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backends.cuda import CUDA
from ..backends.simulated import Simulated
from ..layer import Layer
from ..plan import Plan
from .layers import draw_inputs, draw_weights, graph_of

TOLERANCE = 2e-5  # of the largest value: sums are added in another order


def check_twin(layer: Layer, *shapes: tuple[int, ...], batch: int = 2, seed: int = 0, tolerance: float = TOLERANCE, precision: str = "float32") -> float:
    """Outputs, gradients and changed weights of the layer, simulated, against the CPU, in training and at rest; returns the largest error.

    The simulated threads run in order and in reverse: the bits must be the same. precision: as for Plan; the CPU rounds what the GPU rounds.
    Raises AssertionError with the values, DeviceError for a kernel that has no twin.
    """
    worst = 0.0
    for training in (False, True):
        expected = _values(layer, shapes, batch, seed, training, None, precision)
        found = _values(layer, shapes, batch, seed, training, Simulated(), precision)
        again = _values(layer, shapes, batch, seed, training, Simulated(backwards=True), precision)
        for what, value in expected.items():
            where = f"{layer} on {shapes}, training={training}: {what}"
            assert np.array_equal(found[what], again[what], equal_nan=True), f"{where} depends on the order in which threads run: a barrier is missing"
            assert found[what].dtype == value.dtype and found[what].shape == value.shape, f"{where} is {found[what].dtype} {found[what].shape}"
            error = float(np.abs(found[what] - value).max(initial=0) / max(1.0, float(np.abs(value).max(initial=0))))
            assert error <= tolerance, f"{where} differs by {error:.1e} on the simulated GPU"
            worst = max(worst, error)
    return worst


def _values(layer: Layer, shapes: Sequence[tuple], batch: int, seed: int, training: bool, driver: Any, precision: str) -> dict[str, np.ndarray]:
    from ..backends import open_backend

    generator = np.random.default_rng([seed, 7])
    xs = [x.astype(np.float32) for x in draw_inputs(shapes, batch, generator, layer.kinks)]
    weights = {k: v.astype(np.float32) for k, v in draw_weights(layer, shapes, generator).items()}
    backend = CUDA(driver) if driver else open_backend("cpu")
    trainable = frozenset({"layer"}) if training else frozenset()
    plan = Plan(graph_of(layer, *shapes), batch, weights, backend, training=training, trainable=trainable, precision=precision)
    seeds = [generator.standard_normal(plan.trace.seeds[0].shape)] if training else ()
    found = {"output": plan.run(xs, shares=seeds, clock=(seed, 5)).outputs[0]}
    found |= {f"gradient by {name}": plan.input_gradient(name) for name in plan.trace.input_gradients}
    found |= {f"gradient by {path}": plan.weight_gradient(path) for path in plan.trace.weight_gradients}
    backend.pull()
    return found | {f"weight {path}": array.copy() for path, array in weights.items()}
