"""Checks for metrics.

from numbacnn.testing import check_metric
def test_my_metric():
    check_metric(MyMetric())
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .stored import check_stored

TASKS = ("one of five classes", "one of five classes at every pixel", "four labels", "yes or no")


def check_metric(metric: Any, tasks: Sequence[str] = TASKS, seed: int = 0, oracle: Callable | None = None) -> None:
    """The examination of one metric; raises AssertionError with the values where it fails.

    Configuration round trip; the same number however samples are cut into batches and ordered; samples of weight 0 do not count, and only the ratio of
    weights does; `add` leaves its arguments alone; the result is a float; and the number against
    `oracle(metric, target, prediction, weight, link)`. tasks: those of TASKS that the metric is for.
    """
    check_stored(metric)
    assert metric.name and isinstance(metric.name, str), f"{metric}: name={metric.name!r} cannot name a column of the history"
    for task in tasks:
        target, prediction, weight, link = draw_task(task, seed)
        told = f"{metric} on {task}"
        whole = measure(metric, target, prediction, weight, link, len(target))
        if oracle is not None:
            _equal(whole, oracle(metric, target, prediction, weight, link), f"{told}: differs from the oracle")
        for size in (1, 7):
            _equal(measure(metric, target, prediction, weight, link, size), whole, f"{told}: batches of {size} change it")
        order = np.random.default_rng(seed).permutation(len(target))
        _equal(measure(metric, target[order], prediction[order], weight[order], link, 9), whole, f"{told}: the order of samples changes it")
        _equal(measure(metric, target, prediction, weight * 3, link, 9), whole, f"{told}: three times the weights change it")
        some = weight * (np.arange(len(weight)) % 3 > 0)
        kept = some > 0
        part = measure(metric, target[kept], prediction[kept], weight[kept], link, 9)
        _equal(measure(metric, target, prediction, some, link, 9), part, f"{told}: samples of weight 0 count")


def measure(metric: Any, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray, link: str | None, size: int) -> float:
    """The metric as evaluation computes it, in batches of `size`."""

    def add(sums: Any, counted: Any) -> Any:
        before = repr((sums, counted))
        total = metric.add(sums, counted)
        assert repr((sums, counted)) == before, f"{metric}: add() changes its arguments"
        return total

    starts = range(0, len(target), size)
    counted = [metric.count(target[i : i + size], prediction[i : i + size], weight[i : i + size], link) for i in starts]
    value = metric.result(functools.reduce(add, counted, None))
    assert type(value) is float, f"{metric}: result() gave {type(value).__name__}, not float"
    return value


def draw_task(task: str, seed: int = 0, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Dense targets, probabilities that are right more often than not, weights, and the link that says what they are."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.1, 3, count)
    if task.startswith("one of"):
        shape = (count, 3, 2) if "pixel" in task else (count,)
        labels = rng.integers(5, size=shape)
        p = rng.dirichlet(np.ones(5), size=shape) + np.eye(5)[labels] * rng.uniform(0, 0.6, (*shape, 1))
        return np.eye(5, dtype=np.float32)[labels], (p / p.sum(-1, keepdims=True)).astype(np.float32), weight, "softmax"
    target = (rng.random((count, 4 if task == "four labels" else 1)) < 0.4).astype(np.float32)
    return target, np.clip(target * 0.4 + rng.random(target.shape) * 0.6, 0.001, 0.999).astype(np.float32), weight, "sigmoid"


def _equal(a: float, b: float, why: str) -> None:
    assert np.isclose(a, b, rtol=1e-9, atol=1e-12), f"{why}: {a!r} instead of {b!r}"
