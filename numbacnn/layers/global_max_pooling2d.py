"""The largest value of each channel over the image."""

from dataclasses import dataclass
from typing import Any

from ..jit import compiled, kernel, prange
from ..kernels.pooling import clear, give, larger
from .global_pooling2d import CHANNELS, GlobalPooling2D


@compiled
def _largest(rows, first, end, best):
    for c in range(best.size):
        best[c] = rows[0, first + c]
    for r in range(1, rows.shape[0]):
        larger(rows[r, first:end], best)


@kernel
def global_max(x, y):
    """x [N, rows, C], y [N, C]; a job takes some channels of one image."""
    channels = y.shape[1]
    jobs = (channels + CHANNELS - 1) // CHANNELS
    for p in prange(y.shape[0] * jobs):
        n, first = p // jobs, p % jobs * CHANNELS
        end = min(first + CHANNELS, channels)
        _largest(x[n], first, end, y[n, first:end])


@compiled
def _give_rows(rows, y, dy, first, end, dx):
    rest = dy[first:end].copy()
    for r in range(rows.shape[0]):
        clear(dx[r, first:end])
        give(rows[r, first:end], y[first:end], rest, dx[r, first:end])


@kernel
def global_max_backward(x, y, dy, dx):
    channels = y.shape[1]
    jobs = (channels + CHANNELS - 1) // CHANNELS
    for p in prange(y.shape[0] * jobs):
        n, first = p // jobs, p % jobs * CHANNELS
        _give_rows(x[n], y[n], dy[n], first, min(first + CHANNELS, channels), dx[n])


@dataclass(frozen=True)
class GlobalMaxPooling2D(GlobalPooling2D):
    """y = the largest value of each channel over the image; NaN wins, and the first of equal values takes the gradient.

    Shapes: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`.
    """

    def forward(self, step: Any) -> None:
        step.run(global_max, self.rows(step.x), out=step.y.reshape(step.batch, -1))

    def backward(self, step: Any) -> None:
        step.run(global_max_backward, self.rows(step.x), step.y.reshape(step.batch, -1), step.dy.reshape(step.batch, -1), out=self.rows(step.dx))
