"""How many multiply-adds this machine does in a second: the tile loop of all products, on numbers that stay in the first-level cache."""

import numpy as np

from ..jit import compiled, kernel, prange
from .tile import BYTES, M, V, madd, spread, store, zero

DEPTH = 64
REPEATS = 2000
JOBS = 16


@compiled
def _job(x, w, y, job):
    width = V * (BYTES // x.itemsize)
    lines = spread(x, 0, DEPTH, M)
    acc = zero(x, M, V)
    for _ in range(REPEATS):
        for k in range(DEPTH):
            acc = madd(acc, lines, k, w, k * width)
    store(acc, y, job * M * width, width)


@kernel
def multiply_adds(x, w, y):
    """y [JOBS, M, width] = REPEATS times x [M, DEPTH] @ w [DEPTH, width]."""
    for job in prange(y.shape[0]):
        _job(x, w, y, job)


def operands(dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays to call it on."""
    width = V * BYTES // np.dtype(dtype).itemsize
    return np.zeros((M, DEPTH), dtype), np.zeros((DEPTH, width), dtype), np.empty((JOBS, M, width), dtype)


def operations(y: np.ndarray) -> float:
    """Floating-point operations of one call."""
    return 2.0 * y.size * DEPTH * REPEATS
