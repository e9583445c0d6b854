"""Random zeros while training"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..jit import cuda, kernel, prange
from ..kernels.gpu import LINE, parted
from ..kernels.random import philox, philox4
from ..layer import Layer, option
from ..twin import MOST_BLOCKS
from .identity import Identity

WORDS = 4 * LINE  # random numbers that a block of the GPU draws at a time


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, sets each value to zero with probability `rate` and multiplies the others by 1 / (1 - rate); else nothing.

    rate          0 ≤ rate < 1
    noise_shape   with the batch axis: an axis of 1 is dropped or kept as a whole, None means the input's length (None: all axes)

    Shapes: (N, ...) -> the same.  Raises ConfigError for a bad rate, ShapeError for a noise_shape that the input does not fit.
    Reference: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.
    """

    rate: float = option(0.5, low=0.0, high=0.9)
    noise_shape: tuple[int | None, ...] | None = option(None, draw=False)

    def __post_init__(self):
        check_rate(self)
        if self.noise_shape is not None:
            object.__setattr__(self, "noise_shape", tuple(self.noise_shape))

    def inference(self) -> Layer:
        return Identity()

    def output_shape(self, x: Shape) -> Shape:
        noise = self.noise_shape
        if noise is not None and (len(noise) != len(x) + 1 or any(n not in (None, 1, s) for n, s in zip(noise[1:], x, strict=True))):
            raise ShapeError(f"noise_shape={noise} must have {len(x) + 1} axes (the batch first), each 1, None or the input's length")
        return x

    def forward(self, step: Any) -> tuple | None:
        return forward(step, self.rate, self.noise_shape)

    def backward(self, step: Any, *mask: Any) -> None:
        backward(step, self.rate, *mask)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(rate=0.0), (7,)
        yield cls(rate=0.3, noise_shape=(None, 1, None, 1)), (4, 5, 3)
        yield cls(rate=0.2, noise_shape=(1, None)), (11,)


def check_rate(layer: Layer) -> None:
    """For __post_init__: 0 ≤ rate < 1."""
    if not 0 <= layer.rate < 1:
        raise ConfigError(f"{type(layer).__name__}: rate={layer.rate!r} must be at least 0 and less than 1: the share of values that become zero")


def forward(step: Any, rate: float, noise_shape: Sequence[int | None] | None) -> tuple:
    """Note the launches for step.y; backward takes what it returns."""
    shape = step.x.shape
    if rate == 0:
        step.y = step.x
        return ()
    if noise_shape is None or all(n != 1 or s == 1 for n, s in zip(noise_shape, shape, strict=True)):
        step.run(drop, step.x, step.clock, step.stream, rate, out=step.y)
        return ()
    whole = [n == 1 and s != 1 for n, s in zip(noise_shape, shape, strict=True)]
    axes = [(flag, math.prod(s for _, s in group)) for flag, group in itertools.groupby(zip(whole, shape, strict=True), lambda pair: pair[0])]
    axes = [(False, 1)] * (4 - len(axes)) + axes  # neighbours that are alike are one axis
    if len(axes) > 4:
        raise ConfigError(
            f"Dropout: noise_shape={tuple(noise_shape)} changes between whole and single axes too often for input shape {shape}: 4 groups of axes at most"
        )
    mask = step.new(*(1 if flag else s for flag, s in axes))
    step.run(draw, step.clock, step.stream, rate, out=mask.reshape(-1))
    view = tuple(s for _, s in axes)
    step.run(apply, step.x.reshape(*view), mask, out=step.y.reshape(*view))
    return mask, view


def backward(step: Any, rate: float, mask: Any = None, view: tuple[int, ...] = ()) -> None:
    """Note the launches for step.dx: the same values are dropped as in forward."""
    if rate == 0:
        step.dx = step.dy
    elif mask is None:
        step.run(drop, step.dy, step.clock, step.stream, rate, out=step.dx)
    else:
        step.run(apply, step.dy.reshape(*view), mask, out=step.dx.reshape(*view))


@kernel(flat=True, wide=True)
def drop(x, clock, stream, rate, y):
    """y = x / (1 - rate), or 0 with probability rate. The numbers are made anew for backward: that is cheaper than keeping them."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    limit, scale = np.uint64(np.float64(rate) * 4294967296.0), one / (one - x.dtype.type(rate))
    for i in prange(y.size // 4):
        a, b, c, d = philox4(i, stream, clock[1], clock[0])
        j = 4 * i
        y[j] = x[j] * scale if a >= limit else zero
        y[j + 1] = x[j + 1] * scale if b >= limit else zero
        y[j + 2] = x[j + 2] * scale if c >= limit else zero
        y[j + 3] = x[j + 3] * scale if d >= limit else zero
    words = philox4(y.size // 4, stream, clock[1], clock[0])
    for k in range(y.size % 4):
        j = y.size // 4 * 4 + k
        y[j] = x[j] * scale if words[k] >= limit else zero


@drop.cuda(threads=LINE, blocks=lambda x, clock, stream, rate, y: min(-(-y.size // WORDS), MOST_BLOCKS))
def _drop(x, clock, stream, rate, y):
    """A thread draws four words for neighbours, and then takes elements LINE apart: so the block reads and writes whole lines."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    limit, scale = np.uint64(np.float64(rate) * 4294967296.0), one / (one - x.dtype.type(rate))
    keeps, thread = cuda.shared.array(WORDS, np.int8), cuda.threadIdx.x
    for first in range(cuda.blockIdx.x * WORDS, y.size, cuda.gridDim.x * WORDS):
        a, b, c, d = philox4(first // 4 + thread, stream, clock[1], clock[0])
        keeps[4 * thread] = a >= limit
        keeps[4 * thread + 1] = b >= limit
        keeps[4 * thread + 2] = c >= limit
        keeps[4 * thread + 3] = d >= limit
        cuda.syncthreads()
        for k in range(thread, WORDS, LINE):
            if first + k < y.size:
                y[first + k] = x[first + k] * scale if keeps[k] > 0 else zero
        cuda.syncthreads()


@kernel(wide=True)
def draw(clock, stream, rate, mask):
    """mask [size]: 1 / (1 - rate), or 0 with probability rate."""
    zero, one = mask.dtype.type(0), mask.dtype.type(1)
    limit, scale = np.uint64(np.float64(rate) * 4294967296.0), one / (one - mask.dtype.type(rate))
    for i in prange(mask.size):
        mask[i] = scale if philox(i, stream, clock[1], clock[0]) >= limit else zero


@kernel(in_place=True)
def apply(x, mask, y):
    """y = x * mask, or 0 where the mask is 0; axes of 1 in mask [4 axes] hold for the whole axis of x."""
    zero = x.dtype.type(0)
    a, b, c, d = min(mask.shape[0] - 1, 1), min(mask.shape[1] - 1, 1), min(mask.shape[2] - 1, 1), min(mask.shape[3] - 1, 1)  # 0 where shared
    for i in prange(x.shape[0] * x.shape[1]):
        p, q = i // x.shape[1], i % x.shape[1]
        for r in range(x.shape[2]):
            row = mask[p * a, q * b, r * c]
            for s in range(x.shape[3]):
                m = row[s * d]
                y[p, q, r, s] = x[p, q, r, s] * m if m > zero else zero


@apply.cuda()
def _apply(x, mask, y):
    zero = x.dtype.type(0)
    a, b, c, d = min(mask.shape[0] - 1, 1), min(mask.shape[1] - 1, 1), min(mask.shape[2] - 1, 1), min(mask.shape[3] - 1, 1)  # 0 where shared
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        rest, s = parted(i, x.shape[3])
        rest, r = parted(rest, x.shape[2])
        p, q = parted(rest, x.shape[1])
        m = mask[p * a, q * b, r * c, s * d]
        y[p, q, r, s] = x[p, q, r, s] * m if m > zero else zero
