"""How fast a layer trains, beside the memory's bandwidth and beside the built-in layer that is most like it. Information: being slow is no failure."""

import math
import time
from collections.abc import Callable

import numpy as np

from ...layer import Elementwise, Layer
from ...plan import Plan
from ...plan.measure import time_launches
from ..layers import draw_inputs, draw_weights, plan_of
from .mark import Slow
from .nearest import nearest
from .one_by_one import one_by_one

TOUCHED = 1 << 24  # bytes that the inputs of the measured batch hold
LARGEST = 1 << 15  # samples
FACTOR = 3.0  # times the built-in layer's seconds that are slow
SHARE = 1 / 20  # of the memory's bandwidth below which an elementwise layer is slow


def speed(cls: type[Layer]) -> str:
    """Forward and backward of the first example, in a large batch. Raises Slow."""
    layer, *shapes = next(iter(cls.examples()))
    batch = max(1, min(LARGEST, TOUCHED // (4 * sum(map(math.prod, shapes)))))
    plan = _plan(layer, shapes, batch)
    touched = sum(launch.nbytes for launch in plan.launches)
    if not touched:
        return "nothing to do: no kernel runs"
    seconds = sum(time_launches(plan))
    share = touched / seconds / _bandwidth(touched)
    said = f"{touched / seconds / 1e9:.1f} GB/s, {share:.0%} of a copy's"
    slow = share < SHARE and isinstance(layer, Elementwise)
    other = nearest(layer, shapes)
    if other is not None and type(other) is not cls:
        theirs = sum(time_launches(_plan(other, shapes, batch)))
        said += f"; {seconds / theirs:.2f} times the time of {type(other).__name__}"
        slow |= seconds > FACTOR * theirs
    if slow:
        why = one_by_one(layer) if isinstance(layer, Elementwise) else ""
        raise Slow(said + (f"; {why}" if why else ""))
    return said


def _plan(layer: Layer, shapes: list[tuple], batch: int) -> Plan:
    generator = np.random.default_rng(0)
    weights = draw_weights(layer, shapes, generator, np.float32)
    plan = plan_of(layer, shapes, batch, weights, training=True, dtype=np.float32)
    plan.run([x.astype(np.float32) for x in draw_inputs(shapes, batch, generator)], shares=[np.ones(b.shape, np.float32) for b in plan.trace.seeds])
    return plan


def _bandwidth(nbytes: int) -> float:
    """Bytes per second, read and written, that copying as much memory reaches."""
    a, b = np.ones(max(nbytes // 8, 1024), np.float32), np.empty(max(nbytes // 8, 1024), np.float32)
    return 2 * a.nbytes / _best(lambda: np.copyto(b, a))


def _best(work: Callable[[], None], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
