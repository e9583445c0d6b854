"""The mean of each channel over the image."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
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


@dataclass(frozen=True)
class GlobalAveragePooling2D(GlobalPooling2D):
    """y = the mean of each channel over the image.

    Shapes: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`.  Reference: Lin, Chen and Yan, Network in network, 2014.
    """

    def forward(self, step: Any) -> None:
        step.run(global_average, self.rows(step.x), out=step.y.reshape(step.batch, -1))

    def backward(self, step: Any) -> None:
        step.run(global_average_backward, step.dy.reshape(step.batch, -1), out=self.rows(step.dx))
