"""The mean of each channel over the image."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..jit import compiled, cuda, kernel, prange
from ..kernels.gpu import LANES, LINE, PARTS, SLOTS, by_channels, in_channels
from ..kernels.ptx import divide
from .global_pooling2d import CHANNELS, GlobalPooling2D


@compiled
def _mean(rows, first, end, y):
    total = np.zeros(end - first)
    for r in range(rows.shape[0]):
        x = rows[r, first:end]
        for c in range(total.size):
            total[c] += x[c]
    for c in range(total.size):
        y[first + c] = total[c] / rows.shape[0]


@kernel(wide=True)
def global_average(x, y):
    """x [N, rows, C], y [N, C]; a job takes some channels of one image."""
    channels = y.shape[1]
    jobs = (channels + CHANNELS - 1) // CHANNELS
    for p in prange(y.shape[0] * jobs):
        n, first = p // jobs, p % jobs * CHANNELS
        _mean(x[n], first, min(first + CHANNELS, channels), y[n])


@global_average.cuda(threads=(LANES, PARTS), blocks=lambda x, y: by_channels(x))
def _global_average(x, y):
    """PARTS threads share a channel's pixels; their sums are added in order."""
    rows, channels = x.shape[1], x.shape[2]
    (n, c), tx, ty = in_channels(channels), cuda.threadIdx.x, cuda.threadIdx.y
    shares, total = cuda.shared.array(SLOTS, x.dtype), x.dtype.type(0)
    if c < channels:
        for r in range(ty, rows, PARTS):
            total += x[n, r, c]
    shares[ty * LANES + tx] = total
    cuda.syncthreads()
    if ty == 0 and c < channels:
        for p in range(1, PARTS):
            total += shares[p * LANES + tx]
        y[n, c] = total / x.dtype.type(rows)


@compiled
def _spread(dy, factor, row):
    for c in range(row.size):
        row[c] = dy[c] * factor


@kernel
def global_average_backward(dy, dx):
    rows = dx.shape[1]
    factor = dx.dtype.type(1) / dx.dtype.type(rows)
    for p in prange(dx.shape[0] * rows):
        _spread(dy[p // rows], factor, dx[p // rows, p % rows])


@global_average_backward.cuda(threads=LINE, blocks=lambda dy, dx: (dx.shape[0] * dx.shape[1], -(-dx.shape[2] // LINE)))
def _global_average_backward(dy, dx):
    rows, c = dx.shape[1], cuda.blockIdx.y * LINE + cuda.threadIdx.x
    n, r = divide(cuda.blockIdx.x, rows)
    if c < dx.shape[2]:
        dx[n, r, c] = dy[n, c] * (dx.dtype.type(1) / dx.dtype.type(rows))


@dataclass(frozen=True)
class GlobalAveragePooling2D(GlobalPooling2D):
    """y = the mean of each channel over the image.

    Shapes: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`.  Reference: Lin, Chen and Yan, Network in network, 2014.
    """

    def forward(self, step: Any) -> None:
        step.run(global_average, self.rows(step.x), out=step.y.reshape(step.batch, -1))

    def backward(self, step: Any) -> None:
        step.run(global_average_backward, step.dy.reshape(step.batch, -1), out=self.rows(step.dx))
