"""Sums over all places of each channel, and how arrays are cut for passes over them.

An array is seen as [samples, rows, channels]: a batch normalization takes the whole batch as one sample, a group normalization
takes each image. A sample is cut into blocks whose size follows from the shape alone, each block gives one set of partial sums,
and these are added in order, in float64: the result has the same bits for any number of threads.

Within a block the loops run over lines of `width` elements, a whole number of rows, so that few channels vectorize as well as
many; place j of a line belongs to channel j % channels.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..jit import compiled, cuda, kernel, prange
from .gpu_columns import CELLS, COLUMNS, DEEP, FEW, FIRST, ROWS, SECOND, deep, down
from .gpu_places import quotient

LANES = 16  # channels of a job, where partial sums are added
_LINE = 128  # elements that a line should have at least
_BLOCK = 16384  # elements of a block


class Blocks(NamedTuple):
    """How an array is cut: elements of a sample, channels, elements of a line and of a block, blocks of a sample."""

    size: int
    channels: int
    width: int
    block: int
    count: int


def blocks(samples: int, size: int, channels: int) -> Blocks:
    """Cut samples * size elements with `channels` innermost."""
    width = channels
    if channels < _LINE:
        unit = 16 // math.gcd(channels, 16) * channels  # lines are whole vectors
        width = unit * max(1, round(_LINE / unit))
    block = width * max(16, _BLOCK // width)
    size //= max(1, samples)
    return Blocks(size, channels, width, block, -(-size // block))


@compiled
def repeat(vector, start, channels, out):
    """out = vector[start : start + channels], again and again."""
    for first in range(0, out.size, channels):
        for c in range(channels):
            out[first + c] = vector[start + c]


@compiled
def _sums(x, width, total):
    for j in range(width):
        total[j] = 0
    four = x.size // (4 * width) * 4 * width
    for i in range(0, four, 4 * width):
        a, b, c, d = x[i : i + width], x[i + width : i + 2 * width], x[i + 2 * width : i + 3 * width], x[i + 3 * width : i + 4 * width]
        for j in range(width):
            total[j] += (a[j] + b[j]) + (c[j] + d[j])
    for i in range(four, x.size, width):
        a = x[i : i + width]
        for j in range(a.size):
            total[j] += a[j]


@kernel
def _partial_sums(x, width, block, partial):
    for p in prange(partial.size // width):
        _sums(x[p * block : (p + 1) * block], width, partial[p * width : (p + 1) * width])


@_partial_sums.cuda(threads=FIRST, blocks=lambda x, width, block, partial: (partial.size // width, -(-width // COLUMNS)))
def _partial_sums_on_gpu(x, width, block, partial):
    scratch = cuda.shared.array((ROWS, COLUMNS), x.dtype)
    p, j = cuda.blockIdx.x, cuda.blockIdx.y * COLUMNS + cuda.threadIdx.x
    total = x.dtype.type(0)
    if j < width:
        for i in range(p * block + cuda.threadIdx.y * width + j, min((p + 1) * block, x.size), ROWS * width):
            total += x[i]
    total = down(total, scratch)
    if cuda.threadIdx.y == 0 and j < width:
        partial[p * width + j] = total


@compiled
def _added(partial, first, channels, total):
    sums = np.zeros(total.size)
    for i in range(first, partial.size, channels):
        x = partial[i : i + total.size]
        for c in range(total.size):
            sums[c] += x[c]
    for c in range(total.size):
        total[c] = sums[c]


@kernel(wide=True)
def fold(partial, total):
    """total [channels] = sums over the rows of partial, which has one axis."""
    for p in prange((total.size + LANES - 1) // LANES):
        _added(partial, p * LANES, total.size, total[p * LANES : (p + 1) * LANES])


@fold.cuda(threads=SECOND, blocks=lambda partial, total: -(-total.size // FEW))
def _fold_on_gpu(partial, total):
    scratch = cuda.shared.array(CELLS, np.float64)
    c, rows = cuda.blockIdx.x * FEW + cuda.threadIdx.x, quotient(partial.size, total.size)
    value = 0.0
    if c < total.size:
        for r in range(cuda.threadIdx.y, rows, DEEP):
            value += partial[r * total.size + c]
    value = deep(value, scratch)
    if cuda.threadIdx.y == 0 and c < total.size:
        total[c] = value


def channel_sums(step: Any, x: Any, out: Any) -> None:
    """Note the launches for out[c] = sum of x[..., c]; out has one axis."""
    cut = blocks(1, x.size, out.size)
    partial = step.new(cut.count * cut.width)
    step.run(_partial_sums, x.reshape(-1), cut.width, cut.block, out=partial)
    step.run(fold, partial, out=out)
