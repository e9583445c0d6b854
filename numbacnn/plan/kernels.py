"""The few kernels that the plan itself launches."""

import math

import numpy as np

from ..jit import compiled, cuda, kernel, prange
from ..kernels.gpu_rows import THREADS, WARPS, row_sum

PART = 16_384  # elements whose penalty is summed by itself


@kernel(flat=True)
def add(a, b, y):
    """y = a + b: an output with several readers gets the sum of their gradients."""
    for i in prange(y.size):
        y[i] = a[i] + b[i]


@kernel(flat=True)
def copy(x, y):
    for i in prange(y.size):
        y[i] = x[i]


@kernel(flat=True)
def zero(y):
    """For weights that no loss depends on."""
    for i in prange(y.size):
        y[i] = 0


@kernel(flat=True)
def gather(g, numbers, sums):
    """sums = numbers[0] * g, added to what is there where numbers[1] is not 0: gradients of several batches before one update."""
    weight, more, zero = numbers[0], numbers[1] > 0, sums.dtype.type(0)
    for i in prange(sums.size):
        sums[i] = (sums[i] if more else zero) + weight * g[i]


@kernel(flat=True)
def mean(sums, numbers, g):
    """g = numbers[2] * sums."""
    factor = numbers[2]
    for i in prange(g.size):
        g[i] = factor * sums[i]


@kernel(flat=True)
def withdraw(values, permission):
    """permission[0] = 0 where any value is not finite; else it stays as it is."""
    zero = permission.dtype.type(0)
    for i in prange(values.size):
        if not math.isfinite(values[i]):
            permission[0] = zero  # whoever writes, writes the same


@kernel(flat=True)
def clamp_backward(y, dy, lo, hi, dx):
    """Gradient of min(max(x, lo), hi), from its result."""
    zero = dy.dtype.type(0)
    for i in prange(dx.size):
        dx[i] = dy[i] if (y[i] > lo) & (y[i] < hi) else dy[i] * zero


@kernel(flat=True)
def penalty_gradient(dw, w, l1, l2, out):
    """dw + the gradient of l1 * |w| + l2 * w²."""
    for i in prange(out.size):
        sign = (w[i] > 0) * l1 - (w[i] < 0) * l1
        out[i] = dw[i] + sign + (l2 + l2) * w[i]


@compiled
def _penalty(w, l1, l2):
    total = 0.0
    for i in range(w.size):
        total += l1 * abs(w[i]) + l2 * w[i] * w[i]
    return total


@kernel(flat=True)
def penalties(w, l1, l2, parts):
    """l1 * sum(|w|) + l2 * sum(w²) of each PART elements, in float64."""
    for p in prange(parts.size):
        parts[p] = _penalty(w[p * PART : (p + 1) * PART], l1, l2)


@penalties.cuda(threads=THREADS, blocks=lambda w, l1, l2, parts: parts.size)
def _penalties_on_gpu(w, l1, l2, parts):
    scratch = cuda.shared.array(WARPS, np.float64)
    p, value = cuda.blockIdx.x, 0.0
    for i in range(p * PART + cuda.threadIdx.x, min((p + 1) * PART, w.size), THREADS):
        value += l1 * abs(w[i]) + l2 * w[i] * w[i]
    value = row_sum(value, THREADS, scratch)
    if cuda.threadIdx.x == 0:
        parts[p] = value
