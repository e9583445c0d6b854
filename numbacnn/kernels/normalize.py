"""y = clamp((x - centre) * scale + shift + residual), channel by channel: one pass over memory.

A job takes one block (kernels/reduce.py) and goes over it in lines, a cache line at a time in registers: explicit tiles, because
LLVM leaves a loop over arrays scalar where the result overwrites an input.
"""

import math
from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from .gpu_columns import COLUMNS, FIRST
from .gpu_normalize import scaled_and_shifted
from .reduce import blocks, repeat
from .statistics import note_statistics
from .tile import BYTES, address, load, store, zero
from .tile_math import add, bound, less, stream, times

VECTORS = 64 // BYTES  # of a tile: a cache line
SPAN = 256  # elements that a line of coefficients should have at least
FAR = 1 << 24  # bytes of a result that no cache keeps: written past them, it costs two thirds


@compiled
def far(y, width, first):
    """Whether y should and can be written past the caches from element `first` on, in lines of `width`.
    What another thread reads later has arrived: threads meet in between."""
    return y.size * y.itemsize >= FAR and (address(y, first) | (width * y.itemsize)) % 64 == 0


@compiled
def _lines(x, residual, centre, scale, shift, lo, hi, past, first, end, y):
    tile, step = zero(y, 1, VECTORS), 64 // y.itemsize
    for i in range(first, end, centre.size):
        n = min(centre.size, end - i)
        for j in range(0, n - step + 1, step):
            value = less(load(tile, x, i + j, 0), load(tile, centre, j, 0))
            value = add(times(value, load(tile, scale, j, 0)), load(tile, shift, j, 0))
            if residual.size > 0:
                value = add(value, load(tile, residual, i + j, 0))
            value = bound(value, lo, hi)
            if past:
                stream(value, y, i + j)
            else:
                store(value, y, i + j, 0)
        for j in range(n // step * step, n):
            one = (x[i + j] - centre[j]) * scale[j] + shift[j]
            if residual.size > 0:
                one += residual[i + j]
            y[i + j] = min(max(one, lo), hi)


@kernel(flat=True)
def normalized(x, centre, scale, shift, residual, lo, hi, size, channels, width, block, count, y):
    """y = min(max((x - centre) * scale + shift + residual, lo), hi); centre and scale [samples, channels], shift [channels],
    residual like y or empty."""
    for p in prange(y.size // size * count):
        sample, b = p // count, p % count
        first, end = sample * size + b * block, min(sample * size + (b + 1) * block, (sample + 1) * size)
        span, kind = width * max(1, SPAN // width), scale.dtype
        c, s, t = np.empty(span, kind), np.empty(span, kind), np.empty(span, kind)
        repeat(centre, sample * channels, channels, c)
        repeat(scale, sample * channels, channels, s)
        repeat(shift, 0, channels, t)
        past = far(y, span, first) and (residual.size == 0 or address(residual, 0) != address(y, 0))
        _lines(x, residual, c, s, t, lo, hi, past, first, end, y)


normalized.cuda(
    scaled_and_shifted,
    threads=FIRST,
    blocks=lambda x, centre, scale, shift, residual, lo, hi, size, channels, width, block, count, y: (y.size // size * count, -(-width // COLUMNS)),
)


def normalize(step: Any, samples: int, groups: int, gamma: Any, beta: Any, epsilon: float, moments: Any = None) -> tuple:
    """Note the launches of step.y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with the statistics of each sample's groups
    of channels, and with the residual and clamp of the step. Returns (mean, variance, scale), all [samples, channels]."""
    mean, variance, scale = note_statistics(step, moments, samples, groups, gamma, epsilon)
    scale_and_shift(step, step.x, scale, beta, step.y, step.clamp, mean, step.residual, samples)
    return mean, variance, scale


def scale_and_shift(
    step: Any,
    x: Any,
    scale: Any,
    shift: Any,
    y: Any,
    clamp: tuple[float, float] = (-math.inf, math.inf),
    centre: Any = None,
    residual: Any = None,
    samples: int = 1,
) -> None:
    """Note the launch of y = (x - centre) * scale + shift + residual, clamped; scale, shift and centre have one element a channel."""
    channels = scale.shape[-1]
    zero = step.constant(np.zeros(channels)) if centre is None or shift is None else None
    centre, shift = (zero if v is None else v for v in (centre, shift))
    residual = step.constant(np.zeros(0)) if residual is None else residual
    step.run(normalized, x, centre, scale, shift, residual, *clamp, *blocks(samples, y.size, channels), out=y)
