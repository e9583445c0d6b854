"""Mean and variance of channels, or of groups of them, put together from the moments of parts (kernels/moments.py)."""

import math
from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from .gpu_columns import COLUMNS, FIRST, SECOND, share_of
from .gpu_statistics import moments_of_parts, put_together
from .moments import ROWS, join_pixels
from .reduce import LANES, blocks

_PIECE = 4096  # elements that are read in order first: a CPU fetches ahead only for that


@compiled
def _read(x):
    """Something that depends on every cache line of x."""
    total = x.dtype.type(0)
    for i in range(0, x.size, 64 // x.itemsize):
        total += x[i]
    return total


@compiled
def _moments_of_lines(x, width, moments, part):
    """As moments_of, for an array that lies in no cache yet."""
    lines, step = x.size // width, max(1, _PIECE // (ROWS * width)) * ROWS
    moments[part, 1:] = 0
    for first in range(0, lines, step):
        end = min(first + step, lines)
        moments[part, 0, 0] = _read(x[first * width : end * width])
        join_pixels(x, width, first, end - first, first, 0, width, moments, part)
    moments[part, 0] = lines


@kernel
def partial_moments(x, size, width, block, count, moments):
    """moments [samples * parts, 3, width] of blocks of lines of x; what a sample has behind its last whole line is a part of its own."""
    parts = count + (size % width > 0)
    for p in prange(moments.shape[0]):
        sample, b = p // parts, p % parts
        first, end = sample * size + b * block, sample * size + min((b + 1) * block, size)
        if b < count:
            _moments_of_lines(x[first:end], width, moments, p)
        else:
            rest = x[(sample + 1) * size - size % width : (sample + 1) * size]
            moments[p] = 0
            for j in range(rest.size):
                moments[p, 0, j] = 1
                moments[p, 1, j] = rest[j]


@compiled
def _over_groups(values, depth):
    """Sums over `depth` neighbours, at all their places."""
    for first in range(0, values.size, depth):
        total = 0.0
        for c in range(first, first + depth):
            total += values[c]
        for c in range(first, first + depth):
            values[c] = total


@compiled
def _put_together(moments, first, depth, gamma, epsilon, mean, variance, scale):
    """From channel `first` on; Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983."""
    n, centre, total = np.zeros(mean.size), np.zeros(mean.size), np.zeros(mean.size)
    for r in range(first, moments.shape[2], gamma.size):
        for p in range(moments.shape[0]):
            counts, means = moments[p, 0, r : r + mean.size], moments[p, 1, r : r + mean.size]
            for c in range(mean.size):
                n[c] += counts[c]
                centre[c] += np.float64(counts[c]) * means[c]
    _over_groups(n, depth)
    _over_groups(centre, depth)
    for c in range(mean.size):
        centre[c] /= n[c]
    for r in range(first, moments.shape[2], gamma.size):
        for p in range(moments.shape[0]):
            counts, means, squares = moments[p, 0, r : r + mean.size], moments[p, 1, r : r + mean.size], moments[p, 2, r : r + mean.size]
            for c in range(mean.size):
                d = means[c] - centre[c]
                total[c] += squares[c] + d * d * counts[c]
    _over_groups(total, depth)
    for c in range(mean.size):
        mean[c] = centre[c]
        variance[c] = total[c] / n[c]
        scale[c] = gamma[first + c] / math.sqrt(total[c] / n[c] + epsilon)


@kernel(wide=True)
def statistics(moments, gamma, epsilon, groups, mean, variance, scale):
    """Per sample and channel [samples, channels]: mean and variance of the channel's group, and gamma / sqrt(variance + epsilon).

    moments [samples * parts, 3, channels], or a multiple of the channels: lines of several pixels.
    """
    samples, channels = mean.shape
    depth, parts = channels // groups, moments.shape[0] // samples
    share = depth * max(1, LANES // depth)
    jobs = (channels + share - 1) // share
    for p in prange(samples * jobs):
        s, first = p // jobs, p % jobs * share
        end = min(first + share, channels)
        _put_together(moments[s * parts : (s + 1) * parts], first, depth, gamma, epsilon, mean[s, first:end], variance[s, first:end], scale[s, first:end])


partial_moments.cuda(moments_of_parts, threads=FIRST, blocks=lambda x, size, width, block, count, moments: (moments.shape[0], -(-width // COLUMNS)))
statistics.cuda(
    put_together,
    threads=SECOND,
    blocks=lambda moments, gamma, epsilon, groups, mean, variance, scale: mean.shape[0] * -(-mean.shape[1] // share_of(mean.shape[1] // groups)),
)


def note_statistics(step: Any, moments: Any, samples: int, groups: int, gamma: Any, epsilon: float) -> tuple:
    """Note the launches of (mean, variance, scale), all [samples, channels], of step.x, whose moments may be there already."""
    channels = step.shape[-1]
    mean, variance, scale = (step.new(samples, channels) for _ in range(3))
    if moments is None:
        cut = blocks(samples, step.x.size, channels)
        parts = cut.count + (cut.size % cut.width > 0)
        moments = step.new(samples * parts, 3, cut.width)
        step.run(partial_moments, step.x.reshape(-1), cut.size, cut.width, cut.block, cut.count, out=moments)
    step.run(statistics, moments, gamma, epsilon, groups, out=(mean, variance, scale))
    return mean, variance, scale
