"""Checks for optimizers.

from numbacnn.testing import check_optimizer
def test_my_optimizer():
    check_optimizer(MyOptimizer(momentum=0.8))
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from .stored import check_stored

SIZES = ((1, 20), (3, 0, 9))  # sizes of weights, in two groups
DECAYS = (1, 0, 1, 1, 1)  # which of them weight decay applies to
RATES = (0.05, 0.005)  # of the groups


class Now:
    """What an optimizer's `update` gets (optimizers/base.py), with launches that run at once. chunk: elements of a job."""

    def __init__(self, optimizer: Any, w: np.ndarray, chunk: int = 7, sizes: Sequence = SIZES, decays: Sequence = DECAYS):
        self.dtype, self.w, self.g = w.dtype.type, w, np.full_like(w, np.nan)
        self.slot = SimpleNamespace(**{name: np.zeros_like(w) for name in optimizer.slots})
        self.bounds = np.cumsum([0, *(s for group in sizes for s in group)])
        groups = [k for k, group in enumerate(sizes) for _ in group]
        self.segments, self.decays = len(groups), np.array(decays, w.dtype)
        spans = [(b, min(b + chunk, e), s) for s, (b, e) in enumerate(zip(self.bounds, self.bounds[1:], strict=False)) for b in range(b, e, chunk)]
        self.jobs = np.array([(b, e, s, groups[s]) for b, e, s in spans], np.int64)
        self.rates = np.full((len(sizes), len(optimizer.rates(1.0, 1))), np.nan, w.dtype)

    def new(self, *shape: int, dtype: Any = None) -> np.ndarray:
        return np.full(shape, np.nan, dtype or self.dtype)

    def constant(self, array: Any) -> np.ndarray:
        return np.asarray(array, self.dtype)

    def run(self, kernel: Callable, *inputs: Any, out: Any) -> None:
        inputs = [self.dtype(i) if isinstance(i, float) else i for i in inputs]
        kernel(*inputs, *(out if isinstance(out, tuple) else (out,)))


def check_optimizer(optimizer: Any, steps: int = 5, seed: int = 0, oracle: Callable | None = None) -> None:
    """The examination of one optimizer's configuration; raises AssertionError with the values where it fails.

    Configuration round trip; float32 against float64; the same bits however the work is cut into jobs; gradients are left as they are; a rate of 0
    changes nothing; weight decay only where it applies; NaN is not hidden; a plain bowl is descended; and weights against
    `oracle(optimizer, w, g, state, rate, step)` -> new w, for one weight, decay already applied; `state` is a dict of its own.
    """
    check_stored(optimizer)
    exact = run_steps(optimizer, np.float64, steps, seed, oracle)
    single = run_steps(optimizer, np.float32, steps, seed)
    assert np.isfinite(single).all(), f"{optimizer}: weights are not finite after {steps} steps"
    np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-5, err_msg=f"{optimizer}: float32 differs from float64")
    if optimizer.clipnorm is None and optimizer.global_clipnorm is None:
        assert np.array_equal(single, run_steps(optimizer, np.float32, steps, seed, chunk=1000)), f"{optimizer}: the cut into jobs changes bits"
    start = np.random.default_rng(seed).standard_normal(33)
    assert np.array_equal(run_steps(optimizer, np.float64, steps, seed, rates=(0.0, 0.0)), start), f"{optimizer}: a learning rate of 0 changes weights"
    _check_decay(optimizer, steps, seed)
    _check_nan(optimizer)
    _check_descent(replace(optimizer, weight_decay=None))


def run_steps(optimizer: Any, dtype: Any, steps: int, seed: int, oracle: Callable | None = None, chunk: int = 7, rates: Sequence[float] = RATES) -> np.ndarray:
    """The weights after some steps with random gradients, the same for every call; compared with the oracle's after each."""
    random = np.random.default_rng(seed)
    w = random.standard_normal(33).astype(dtype)
    step = Now(optimizer, w, chunk)
    expected = [p.astype(np.float64) for p in np.split(w, step.bounds[1:-1])]
    states: list[dict] = [{} for _ in expected]
    groups = [k for k, group in enumerate(SIZES) for _ in group]
    for t in range(1, steps + 1):
        gradient = random.standard_normal(33).astype(dtype)
        step.g[:], step.rates[:] = gradient, [optimizer.rates(r, t) for r in rates]
        optimizer.update(step)
        assert np.array_equal(step.g, gradient), f"{optimizer}: the gradients were changed"
        if oracle is not None:
            for s, g in enumerate(_clipped(optimizer, np.split(gradient, step.bounds[1:-1]))):
                rate = rates[groups[s]]
                kept = expected[s] * (1 - rate * (optimizer.weight_decay or 0) * DECAYS[s])
                expected[s] = oracle(optimizer, kept, g, states[s], rate, t)
            np.testing.assert_allclose(step.w, np.concatenate(expected), rtol=1e-9, atol=1e-12, err_msg=f"{optimizer}: differs from the oracle in step {t}")
    return step.w


def _clipped(optimizer: Any, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Gradients of the weights after clipping."""
    if optimizer.clipnorm:
        return [p * optimizer.clipnorm / max(float(np.linalg.norm(p)), optimizer.clipnorm) for p in parts]
    if optimizer.global_clipnorm:
        norm = float(np.linalg.norm(np.concatenate(parts)))
        return [p * optimizer.global_clipnorm / max(norm, optimizer.global_clipnorm) for p in parts]
    return [p if optimizer.clipvalue is None else p.clip(-optimizer.clipvalue, optimizer.clipvalue) for p in parts]


def _check_decay(optimizer: Any, steps: int, seed: int) -> None:
    with_decay, without = (run_steps(replace(optimizer, weight_decay=d), np.float64, steps, seed) for d in (0.1, None))
    bounds = np.cumsum([0, *(s for group in SIZES for s in group)])
    for s, (a, b) in enumerate(itertools.pairwise(bounds)):
        same = np.array_equal(with_decay[a:b], without[a:b])
        assert a == b or same != bool(DECAYS[s]), f"{optimizer}: weight decay {'does not reach a weight that it applies to' if same else 'reaches a bias'}"


def _check_nan(optimizer: Any) -> None:
    step = Now(optimizer, np.ones(33, np.float32))
    step.g[:], step.rates[:] = 1.0, [optimizer.rates(r, 1) for r in RATES]
    step.g[4] = np.nan
    optimizer.update(step)
    assert np.isnan(step.w[4]), f"{optimizer}: a gradient that is NaN is hidden: the weight is {step.w[4]}"


def _check_descent(optimizer: Any, steps: int = 100) -> None:
    w = np.random.default_rng(0).standard_normal(33)
    start = float((w**2).sum())
    step = Now(optimizer, w)
    for t in range(1, steps + 1):
        step.g[:], step.rates[:] = step.w, [optimizer.rates(optimizer.learning_rate, t)] * len(SIZES)
        optimizer.update(step)
    end = float((step.w**2).sum())
    assert end < start, f"{optimizer}: {steps} steps along the gradient of a sum of squares lead from {start:.6g} to {end:.6g}"
