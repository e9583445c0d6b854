"""Sums over all places of each channel, and the channelwise kernels around them: what normalizations and bias gradients are made of.

An array is seen as [samples, rows, channels]: a batch normalization takes the whole batch as one sample, a group normalization
takes each image. A sample is cut into blocks whose size follows from the shape alone, each block gives one set of partial sums,
and these are added in order, in float64: the result has the same bits for any number of threads.

Within a block the loops run over lines of `width` elements, a whole number of rows, so that few channels vectorize as well as
many; place j of a line belongs to channel j % channels.

A kernel is `flat` where its first output may overwrite an input of the same size; those that make partial sums may not, and
take arrays that have one axis already.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..jit import compiled, kernel, prange

_LINE = 128  # elements that a line should have at least
_BLOCK = 16384  # elements of a block: 64 KB of float32 stay in the cache for a second pass


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
    return Blocks(size // samples, channels, width, block, -(-size // samples // block))


@compiled
def repeat(vector, start, channels, out):
    """out = vector[start : start + channels], again and again."""
    for first in range(0, out.size, channels):
        for c in range(channels):
            out[first + c] = vector[start + c]


# ---- sums


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


@kernel(parallel=False)
def _fold(partial, total):
    channels = total.size
    sums = np.zeros(channels)
    for i in range(0, partial.size, channels):
        x = partial[i : i + channels]
        for c in range(channels):
            sums[c] += x[c]
    for c in range(channels):
        total[c] = sums[c]


def channel_sums(step: Any, x: Any, out: Any) -> None:
    """Note the launches for out[c] = sum of x[..., c]; out has one axis."""
    cut = blocks(1, x.size, out.size)
    partial = step.new(cut.count * cut.width)
    step.run(_partial_sums, x.reshape(-1), cut.width, cut.block, out=partial)
    step.run(_fold, partial, out=out)


@kernel(parallel=False)
def fold_pairs(pairs, first, second):
    """first, second [channels]: sums over the middle axis of pairs [2, parts, channels]."""
    a, b = np.zeros(first.size), np.zeros(first.size)
    for p in range(pairs.shape[1]):
        x, y = pairs[0, p], pairs[1, p]
        for c in range(x.size):
            a[c] += x[c]
            b[c] += y[c]
    for c in range(first.size):
        first[c] = a[c]
        second[c] = b[c]


# ---- mean and variance


@compiled
def _block_moments(x, width, mean, rest, squares):
    """Mean of each place of the lines, and sums of the deviations from it and of their squares: what is left of rounding errors
    of the mean is in `rest`, so that nothing cancels however far the mean is from zero."""
    _sums(x, width, mean)
    lines, tail = x.size // width, x.size % width
    for j in range(width):
        mean[j] /= mean.dtype.type(max(lines + (j < tail), 1))
        rest[j] = 0
        squares[j] = 0
    two = lines // 2 * 2 * width
    for i in range(0, two, 2 * width):
        a, b = x[i : i + width], x[i + width : i + 2 * width]
        for j in range(width):
            d, e = a[j] - mean[j], b[j] - mean[j]
            rest[j] += d + e
            squares[j] += d * d + e * e
    for i in range(two, x.size, width):
        a = x[i : i + width]
        for j in range(a.size):
            d = a[j] - mean[j]
            rest[j] += d
            squares[j] += d * d


@kernel
def partial_moments(x, size, width, block, count, partial):
    """partial [samples, count, 3, width]: mean, rest and squares of every block."""
    for p in prange(partial.size // (3 * width)):
        sample, b = p // count, p % count
        first = sample * size + b * block
        at = p * 3 * width
        _block_moments(
            x[first : min(first + block, (sample + 1) * size)],
            width,
            partial[at : at + width],
            partial[at + width : at + 2 * width],
            partial[at + 2 * width : at + 3 * width],
        )


@compiled
def _group(total, channels, depth, factor, out):
    """Sums over each group of `depth` channels in the lines `total`, times factor, at all places of the group in `out`."""
    for c in range(channels):
        for j in range(c + channels, total.size, channels):
            total[c] += total[j]
    for first in range(0, channels, depth):
        value = 0.0
        for c in range(first, first + depth):
            value += total[c]
        for r in range(first, out.size, channels):
            for j in range(r, r + depth):
                out[j] = value * factor


@kernel(flat=True, parallel=False)
def group_statistics(partial, gamma, epsilon, groups, size, channels, width, block, count, scale, mean, variance):
    """Per sample and channel: mean and variance of the channel's group, and scale = gamma / sqrt(variance + epsilon).

    How moments of parts are put together: Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983.
    """
    depth = channels // groups
    factor = 1.0 / np.float64(size // groups)
    total, centre, spread = np.empty(width), np.empty(width), np.empty(width)
    for s in range(mean.size // channels):
        for j in range(width):
            total[j] = 0
        for b in range(s * count, (s + 1) * count):
            m, rest = partial[3 * b * width : (3 * b + 1) * width], partial[(3 * b + 1) * width : (3 * b + 2) * width]
            elements = min(block, size - (b - s * count) * block)
            lines, tail = elements // width, elements % width
            for j in range(width):
                total[j] += m[j] * np.float64(lines + (j < tail)) + rest[j]
        _group(total, channels, depth, factor, centre)
        for j in range(width):
            total[j] = 0
        for b in range(s * count, (s + 1) * count):
            m, rest, squares = (
                partial[3 * b * width : (3 * b + 1) * width],
                partial[(3 * b + 1) * width : (3 * b + 2) * width],
                partial[(3 * b + 2) * width : (3 * b + 3) * width],
            )
            elements = min(block, size - (b - s * count) * block)
            lines, tail = elements // width, elements % width
            for j in range(width):
                d = m[j] - centre[j]
                total[j] += squares[j] + d * (2.0 * rest[j] + d * np.float64(lines + (j < tail)))
        _group(total, channels, depth, factor, spread)
        for c in range(channels):
            v = max(spread[c], 0.0)
            mean[s * channels + c] = centre[c]
            variance[s * channels + c] = v
            scale[s * channels + c] = gamma[c] / math.sqrt(v + epsilon)


# ---- y = (x - centre) * scale + shift


@compiled
def _affine(x, centre, scale, shift, lo, hi, y):
    width = scale.size
    for i in range(0, x.size, width):
        a, b = x[i : i + width], y[i : i + width]
        for j in range(a.size):
            b[j] = min(max((a[j] - centre[j]) * scale[j] + shift[j], lo), hi)


@kernel(flat=True)
def channel_affine(x, centre, scale, shift, lo, hi, size, channels, width, block, count, y):
    """y = min(max((x - centre) * scale + shift, lo), hi); centre and scale [samples, channels], shift [channels]."""
    for p in prange(y.size // size * count):
        sample, b = p // count, p % count
        first, end = sample * size + b * block, min(sample * size + (b + 1) * block, (sample + 1) * size)
        span = width * max(1, 768 // width)  # longer loops, for short rows
        c, s, t = np.empty(span, scale.dtype), np.empty(span, scale.dtype), np.empty(span, scale.dtype)
        repeat(centre, sample * channels, channels, c)
        repeat(scale, sample * channels, channels, s)
        repeat(shift, 0, channels, t)
        _affine(x[first:end], c, s, t, lo, hi, y[first:end])


# ---- backward


@compiled
def _pair_sums(dy, x, centre, total, product):
    width = centre.size
    for j in range(width):
        total[j] = 0
        product[j] = 0
    two = x.size // (2 * width) * 2 * width
    for i in range(0, two, 2 * width):
        g, h, a, b = dy[i : i + width], dy[i + width : i + 2 * width], x[i : i + width], x[i + width : i + 2 * width]
        for j in range(width):
            total[j] += g[j] + h[j]
            product[j] += g[j] * (a[j] - centre[j]) + h[j] * (b[j] - centre[j])
    for i in range(two, x.size, width):
        g, a = dy[i : i + width], x[i : i + width]
        for j in range(a.size):
            total[j] += g[j]
            product[j] += g[j] * (a[j] - centre[j])


@kernel
def partial_pair_sums(x, dy, centre, size, channels, width, block, count, partial):
    """partial [samples, count, 2, width]: sums of dy and of dy * (x - centre); centre [samples, channels]."""
    for p in prange(partial.size // (2 * width)):
        sample, b = p // count, p % count
        first, end = sample * size + b * block, min(sample * size + (b + 1) * block, (sample + 1) * size)
        c = np.empty(width, centre.dtype)
        repeat(centre, sample * channels, channels, c)
        _pair_sums(dy[first:end], x[first:end], c, partial[2 * p * width : (2 * p + 1) * width], partial[(2 * p + 1) * width : (2 * p + 2) * width])


@kernel(flat=True, parallel=False)
def group_gradients(partial, gamma, variance, epsilon, groups, size, channels, width, block, count, factor, slope, level, pairs):
    """From partial_pair_sums: pairs [2, samples, channels], each sample's share of dgamma and dbeta, and the coefficients
    [samples, channels] of dx = dy * factor + (x - mean) * slope + level."""
    depth, samples = channels // groups, variance.size // channels
    elements = np.float64(size // groups)
    sums, products = np.empty(width), np.empty(width)
    for s in range(samples):
        at = s * channels
        for j in range(width):
            sums[j] = 0
            products[j] = 0
        for b in range(s * count, (s + 1) * count):
            total, product = partial[2 * b * width : (2 * b + 1) * width], partial[(2 * b + 1) * width : (2 * b + 2) * width]
            for j in range(width):
                sums[j] += total[j]
                products[j] += product[j]
        for c in range(channels):
            for j in range(c + channels, width, channels):
                sums[c] += sums[j]
                products[c] += products[j]
        for first in range(0, channels, depth):
            inverse = 1.0 / math.sqrt(np.float64(variance[at + first]) + epsilon)
            a = b = 0.0
            for c in range(first, first + depth):
                products[c] *= inverse
                a += gamma[c] * sums[c]
                b += gamma[c] * products[c]
            for c in range(first, first + depth):
                pairs[at + c] = products[c]
                pairs[samples * channels + at + c] = sums[c]
                factor[at + c] = gamma[c] * inverse
                slope[at + c] = -b / elements * inverse * inverse
                level[at + c] = -a / elements * inverse


@compiled
def _gradient(x, dy, centre, factor, slope, level, dx):
    width = centre.size
    for i in range(0, x.size, width):
        a, g, d = x[i : i + width], dy[i : i + width], dx[i : i + width]
        for j in range(a.size):
            d[j] = g[j] * factor[j] + (a[j] - centre[j]) * slope[j] + level[j]


@kernel(flat=True)
def channel_gradient(x, dy, centre, factor, slope, level, size, channels, width, block, count, dx):
    """dx = dy * factor + (x - centre) * slope + level, all four [samples, channels]."""
    for p in prange(dx.size // size * count):
        sample, b = p // count, p % count
        first, end = sample * size + b * block, min(sample * size + (b + 1) * block, (sample + 1) * size)
        at, span, kind = sample * channels, width * max(1, 768 // width), factor.dtype
        c, f, s, v = np.empty(span, kind), np.empty(span, kind), np.empty(span, kind), np.empty(span, kind)
        repeat(centre, at, channels, c)
        repeat(factor, at, channels, f)
        repeat(slope, at, channels, s)
        repeat(level, at, channels, v)
        _gradient(x[first:end], dy[first:end], c, f, s, v, dx[first:end])


# ---- what a layer notes


def normalize(step: Any, samples: int, groups: int, gamma: Any, beta: Any, epsilon: float) -> tuple:
    """Note the launches of step.y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with the statistics of each sample's groups
    of channels, clamped to step.clamp. Returns (mean, variance), both [samples, channels]."""
    channels = step.shape[-1]
    cut = blocks(samples, step.x.size, channels)
    scale, mean, variance = (step.new(samples, channels) for _ in range(3))
    partial = step.new(samples * cut.count * 3 * cut.width)
    step.run(partial_moments, step.x.reshape(-1), cut.size, cut.width, cut.block, cut.count, out=partial)
    step.run(group_statistics, partial, gamma, epsilon, groups, *cut, out=(scale, mean, variance))
    step.run(channel_affine, step.x, mean, scale, beta, *step.clamp, *cut, out=step.y)
    return mean, variance


def normalize_backward(step: Any, samples: int, groups: int, gamma: Any, mean: Any, variance: Any, epsilon: float, dgamma: Any, dbeta: Any) -> None:
    """Note the launches of the gradients of `normalize`."""
    channels = step.shape[-1]
    cut = blocks(samples, step.x.size, channels)
    factor, slope, level = (step.new(samples, channels) for _ in range(3))
    partial, pairs = step.new(samples * cut.count * 2 * cut.width), step.new(2, samples, channels)
    step.run(partial_pair_sums, step.x.reshape(-1), step.dy.reshape(-1), mean.reshape(-1), *cut, out=partial)
    step.run(group_gradients, partial, gamma, variance, epsilon, groups, *cut, out=(factor, slope, level, pairs))
    step.run(fold_pairs, pairs, out=(dgamma, dbeta))
    step.run(channel_gradient, step.x, step.dy, mean, factor, slope, level, *cut, out=step.dx)


def scale_and_shift(step: Any, x: Any, scale: Any, shift: Any, y: Any, clamp: tuple[float, float] = (-math.inf, math.inf), centre: Any = None) -> None:
    """Note the launch of y = (x - centre) * scale + shift, clamped; scale, shift and centre have one element a channel."""
    zero = np.zeros(scale.size) if centre is None or shift is None else None
    centre, shift = (step.constant(zero) if v is None else v for v in (centre, shift))
    step.run(channel_affine, x, centre, scale, shift, *clamp, *blocks(1, y.size, scale.size), out=y)
