"""The largest value of each channel over the image."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..jit import compiled, cuda, kernel, prange
from ..kernels.gpu import LANES, PARTS, SLOTS, by_channels, in_channels
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


@global_max.cuda(threads=(LANES, PARTS), blocks=lambda x, y: by_channels(x))
def _global_max(x, y):
    """PARTS threads share a channel's pixels."""
    rows, channels = x.shape[1], x.shape[2]
    (n, c), tx, ty = in_channels(channels), cuda.threadIdx.x, cuda.threadIdx.y
    shares, best = cuda.shared.array(SLOTS, x.dtype), x.dtype.type(0)
    if c < channels:
        best = x[n, 0, c]
        for r in range(ty, rows, PARTS):
            a = x[n, r, c]
            if a > best or a != a:
                best = a
    shares[ty * LANES + tx] = best
    cuda.syncthreads()
    if ty == 0 and c < channels:
        for p in range(1, PARTS):
            a = shares[p * LANES + tx]
            if a > best or a != a:
                best = a
        y[n, c] = best


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


@global_max_backward.cuda(threads=(LANES, PARTS), blocks=by_channels)
def _global_max_backward(x, y, dy, dx):
    """First the threads of a channel find the pixel that takes the gradient, then they write."""
    rows, channels = x.shape[1], x.shape[2]
    (n, c), tx, ty = in_channels(channels), cuda.threadIdx.x, cuda.threadIdx.y
    firsts = cuda.shared.array(SLOTS, np.int32)
    first = rows
    if c < channels:
        for r in range(ty, rows, PARTS):
            a = x[n, r, c]
            if first == rows and (a == y[n, c] or a != a):
                first = r
    firsts[ty * LANES + tx] = first
    cuda.syncthreads()
    if c < channels:
        for p in range(PARTS):
            first = min(first, firsts[p * LANES + tx])
        grad, zero = dy[n, c], dy.dtype.type(0)
        for r in range(ty, rows, PARTS):
            dx[n, r, c] = grad if r == first else zero


@dataclass(frozen=True)
class GlobalMaxPooling2D(GlobalPooling2D):
    """y = the largest value of each channel over the image; NaN wins, and the first of equal values takes the gradient.

    Shapes: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`.
    """

    def forward(self, step: Any) -> None:
        step.run(global_max, self.rows(step.x), out=step.y.reshape(step.batch, -1))

    def backward(self, step: Any) -> None:
        step.run(global_max_backward, self.rows(step.x), step.y.reshape(step.batch, -1), step.dy.reshape(step.batch, -1), out=self.rows(step.dx))
