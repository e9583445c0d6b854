"""What the machine can do at best, as cases: multiply-adds of register tiles, and memory that is read and written."""

import numpy as np
from numba import prange

from numbacnn.jit import kernel, set_threads
from numbacnn.kernels.tile import BYTES, M, V, madd, spread, store, zero
from numbacnn.kernels.width import lanes
from numbacnn.plan.kernels import copy

DEPTH, REPEATS = 256, 4000  # a panel of 16 to 32 KB stays in the first-level cache
FLOATS = 20_000_000  # 80 MB: more than any cache here


@kernel
def multiply_add(x, panel, y):
    """y[t] = REPEATS times x @ panel, a tile for each thread."""
    width = V * (BYTES // x.itemsize)
    for t in prange(y.shape[0]):
        acc = zero(x, M, V)
        rows = spread(x, 0, DEPTH, M)
        for _ in range(REPEATS):
            for k in range(DEPTH):
                acc = madd(acc, rows, k, panel, k * width)
        store(acc, y, t * M * width, width)


class Machine:
    """Parts "peak 1", "peak 2": GIGAFLOP of work; "copy 1", "copy 2": GIGABYTES read and written, with that many threads."""

    def __init__(self, threads: int):
        width = V * lanes(np.float32)
        x, panel = np.ones((M, DEPTH), np.float32), np.ones((DEPTH, width), np.float32)
        source, target = np.ones(FLOATS, np.float32), np.ones(FLOATS, np.float32)
        self.parts, self.work = {}, {}
        for count in sorted({1, threads}):
            call = multiply_add.bind(x, panel, np.zeros((count, M, width), np.float32))
            self.parts[f"peak {count}"] = _with(count, call)
            self.work[f"peak {count}"] = 2e-9 * count * M * width * DEPTH * REPEATS
            self.parts[f"copy {count}"] = _with(count, copy.bind(source, target))
            self.work[f"copy {count}"] = 8e-9 * FLOATS

    def show(self) -> dict[str, np.ndarray]:
        """Gigaflop or gigabytes of one step of each part."""
        return {name: np.array(work) for name, work in self.work.items()}


def _with(threads: int, call):
    def step() -> None:
        set_threads(threads)
        call()

    return step
