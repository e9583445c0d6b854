"""The same bits for every number of threads: really with threads, and share by share, in an order that no luck decides."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from ... import jit, launch
from ...backends.cpu import CPU
from ...layer import Layer
from ...plan import Plan
from ..layers import drawn_values, graph_of
from .launches import run
from .memory import no_races

BATCH = 3


class _Sharing(CPU):
    """Shares out every launch, however small it is."""

    def bind(self, kernel: jit.Kernel, args: Sequence[Any]) -> Any:
        if jit.INTERPRETED:
            return kernel.bind(*args)
        call = kernel.bind(*args)
        call.memory[1] = kernel.compile(kernel.signature(tuple(args)))[1]
        return call

    def run(self, calls: Sequence[Any]) -> None:
        if jit.INTERPRETED:
            super().run(calls)
            return
        numba.set_num_threads(self.threads)
        launch.replay(calls, self.threads)


def same_bits(cls: type[Layer]) -> str:
    """Outputs and gradients for 1, 2 and all threads, twice. Raises AssertionError naming what differs."""
    no_races(cls)
    counts = sorted({1, min(2, numba.config.NUMBA_NUM_THREADS), numba.config.NUMBA_NUM_THREADS})
    for layer, *shapes in cls.examples():
        for training in (False, True):
            first = _results(layer, shapes, training, 1)
            for threads in (*counts, counts[-1]):
                for what, values in _results(layer, shapes, training, threads).items():
                    assert values.tobytes() == first[what].tobytes(), (
                        f"{layer} on {tuple(shapes)}: {what} has other bits with {threads} threads (or in another run) than with 1"
                    )
    return f"{', '.join(map(str, counts))} threads"


def _results(layer: Layer, shapes: Sequence[tuple], training: bool, threads: int) -> dict[str, np.ndarray]:
    xs, weights = drawn_values(layer, shapes, BATCH, 0)
    trainable = frozenset({"layer"}) if training else frozenset()
    plan = Plan(graph_of(layer, *shapes), BATCH, weights, _Sharing(threads), training=training, trainable=trainable)
    return run(plan, xs) | {f"weight {path.partition('/')[2]} afterwards": w for path, w in weights.items()}
