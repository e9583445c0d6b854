"""Gradients of a normalization (kernels/normalize.py), of the clamp behind it and of what was added before that: two passes over memory."""

import math
from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from .gpu_columns import COLUMNS, FIRST, SECOND, share_of
from .gpu_normalize import coefficients_of_gradient, gradient_by_input, sums_of_gradient
from .normalize import SPAN, VECTORS, far
from .reduce import LANES, blocks, fold, repeat
from .tile import address, load, store, zero
from .tile_math import add, inside, less, stream, times

# ---- first pass: sums of the gradient, and of its products with x


@compiled
def _sum_places(x, y, dy, centre, scale, shift, lo, hi, i, j, n, g, total, product):
    """Places j..n-1 of the line that begins at i, one by one."""
    clamped, nothing = (lo > -np.inf) | (hi < np.inf), x.dtype.type(0)
    for k in range(j, n):
        d, grad = x[i + k] - centre[k], dy[i + k]
        if clamped:
            value = y[i + k] if y.size > 0 else d * scale[k] + shift[k]
            grad = grad if (value > lo) & (value < hi) else nothing
            if g.size > 0:
                g[i + k] = grad
        total[k] += grad
        product[k] += grad * d


@compiled
def _sum_lines(x, y, dy, centre, scale, shift, lo, hi, first, end, g, total, product):
    clamped, step, tile = (lo > -np.inf) | (hi < np.inf), 64 // x.itemsize, zero(x, 1, VECTORS)
    for i in range(first, end, centre.size):
        n = min(centre.size, end - i)
        for j in range(0, n - step + 1, step):
            d, grad = less(load(tile, x, i + j, 0), load(tile, centre, j, 0)), load(tile, dy, i + j, 0)
            if clamped:
                value = load(tile, y, i + j, 0) if y.size > 0 else add(times(d, load(tile, scale, j, 0)), load(tile, shift, j, 0))
                grad = inside(grad, value, lo, hi)
                if g.size > 0:
                    store(grad, g, i + j, 0)
            store(add(load(tile, total, j, 0), grad), total, j, 0)
            store(add(load(tile, product, j, 0), times(grad, d)), product, j, 0)
        _sum_places(x, y, dy, centre, scale, shift, lo, hi, i, n // step * step, n, g, total, product)


@kernel(in_place=("dy",))
def gradient_sums(x, y, dy, centre, scale, shift, lo, hi, size, channels, width, block, count, g, partial):
    """partial [samples * count, 2, width]: sums of g and of g * (x - centre), where g is dy as far as the clamp passes it.

    What was clamped is y, or where y is empty (x - centre) * scale + shift. g is written unless it is empty.
    All others have one axis, centre and scale of samples * channels, shift of channels.
    """
    for p in prange(partial.shape[0]):
        sample, b = p // count, p % count
        first, end, kind = sample * size + b * block, min(sample * size + (b + 1) * block, (sample + 1) * size), centre.dtype
        c, s, t = np.empty(width, kind), np.empty(width, kind), np.empty(width, kind)
        repeat(centre, sample * channels, channels, c)
        repeat(scale, sample * channels, channels, s)
        repeat(shift, 0, channels, t)
        partial[p] = 0
        _sum_lines(x, y, dy, c, s, t, lo, hi, first, end, g, partial[p, 0], partial[p, 1])


@compiled
def _coefficients(partial, first, depth, gamma, variance, epsilon, elements, factor, slope, level, dgamma, dbeta):
    sums, products = np.zeros(factor.size), np.zeros(factor.size)
    for r in range(first, partial.shape[2], gamma.size):
        for p in range(partial.shape[0]):
            total, product = partial[p, 0, r : r + factor.size], partial[p, 1, r : r + factor.size]
            for c in range(factor.size):
                sums[c] += total[c]
                products[c] += product[c]
    for start in range(0, factor.size, depth):
        inverse = 1.0 / math.sqrt(np.float64(variance[start]) + epsilon)
        a = b = 0.0
        for c in range(start, start + depth):
            products[c] *= inverse
            a += gamma[first + c] * sums[c]
            b += gamma[first + c] * products[c]
        for c in range(start, start + depth):
            factor[c] = gamma[first + c] * inverse
            slope[c] = -b / elements * inverse * inverse
            level[c] = -a / elements * inverse
            dgamma[c] = products[c]
            dbeta[c] = sums[c]


@kernel(wide=True)
def coefficients(partial, gamma, variance, epsilon, groups, size, factor, slope, level, dgamma, dbeta):
    """From the sums of parts: the coefficients of dx = g * factor + (x - mean) * slope + level, and each sample's share of dgamma and
    dbeta. All outputs and variance [samples, channels]; size: elements of a sample."""
    samples, channels = variance.shape
    depth, parts, elements = channels // groups, partial.shape[0] // samples, np.float64(size // groups)
    share = depth * max(1, LANES // depth)
    jobs = (channels + share - 1) // share
    for p in prange(samples * jobs):
        s, first = p // jobs, p % jobs * share
        end = min(first + share, channels)
        _coefficients(
            partial[s * parts : (s + 1) * parts],
            first,
            depth,
            gamma,
            variance[s, first:end],
            epsilon,
            elements,
            factor[s, first:end],
            slope[s, first:end],
            level[s, first:end],
            dgamma[s, first:end],
            dbeta[s, first:end],
        )


# ---- second pass


@compiled
def _gradient_lines(x, dy, centre, scale, shift, factor, slope, level, lo, hi, past, first, end, dx):
    clamped, step, tile = (lo > -np.inf) | (hi < np.inf), 64 // x.itemsize, zero(x, 1, VECTORS)
    for i in range(first, end, centre.size):
        n = min(centre.size, end - i)
        for j in range(0, n - step + 1, step):
            d, grad = less(load(tile, x, i + j, 0), load(tile, centre, j, 0)), load(tile, dy, i + j, 0)
            if clamped:
                grad = inside(grad, add(times(d, load(tile, scale, j, 0)), load(tile, shift, j, 0)), lo, hi)
            grad = add(times(grad, load(tile, factor, j, 0)), add(times(d, load(tile, slope, j, 0)), load(tile, level, j, 0)))
            if past:
                stream(grad, dx, i + j)
            else:
                store(grad, dx, i + j, 0)
        for j in range(n // step * step, n):
            one, grad = x[i + j] - centre[j], dy[i + j]
            if clamped:
                value = one * scale[j] + shift[j]
                grad = grad if (value > lo) & (value < hi) else grad * dx.dtype.type(0)
            dx[i + j] = grad * factor[j] + (one * slope[j] + level[j])


@kernel(flat=True)
def normalized_gradient(x, dy, centre, scale, shift, factor, slope, level, lo, hi, size, channels, width, block, count, dx):
    """dx = g * factor + (x - centre) * slope + level, where g is dy as far as the clamp of (x - centre) * scale + shift passes it.
    Coefficients [samples, channels], but shift [channels]."""
    for p in prange(dx.size // size * count):
        sample, b = p // count, p % count
        first, end = sample * size + b * block, min(sample * size + (b + 1) * block, (sample + 1) * size)
        at, span, kind = sample * channels, width * max(1, SPAN // width), factor.dtype
        c, s, t = np.empty(span, kind), np.empty(span, kind), np.empty(span, kind)
        f, m, v = np.empty(span, kind), np.empty(span, kind), np.empty(span, kind)
        repeat(centre, at, channels, c)
        repeat(scale, at, channels, s)
        repeat(shift, 0, channels, t)
        repeat(factor, at, channels, f)
        repeat(slope, at, channels, m)
        repeat(level, at, channels, v)
        past = far(dx, span, first) and address(dy, 0) != address(dx, 0)
        _gradient_lines(x, dy, c, s, t, f, m, v, lo, hi, past, first, end, dx)


# ---- their twins: as many blocks as the parts, and the places of a line, ask for

gradient_sums.cuda(sums_of_gradient, threads=FIRST, blocks=lambda *args: (args[-1].shape[0], -(-args[-1].shape[2] // COLUMNS)))
coefficients.cuda(
    coefficients_of_gradient,
    threads=SECOND,
    blocks=lambda partial, gamma, variance, epsilon, groups, *_: variance.shape[0] * -(-variance.shape[1] // share_of(variance.shape[1] // groups)),
)
normalized_gradient.cuda(
    gradient_by_input,
    threads=FIRST,
    blocks=lambda *args: (args[-1].size // args[-6] * args[-2], -(-args[-4] // COLUMNS)),  # size, count, width
)


def normalize_backward(
    step: Any, samples: int, groups: int, gamma: Any, beta: Any, mean: Any, variance: Any, scale: Any, epsilon: float, dgamma: Any, dbeta: Any
) -> None:
    """Note the launches of the gradients of `normalize`, of its clamp and of its residual."""
    channels = step.shape[-1]
    cut = blocks(samples, step.x.size, channels)
    dy, clamp = step.dy, step.clamp
    partial = step.new(samples * cut.count, 2, cut.width)
    g = step.new(0) if step.dresidual is None else step.dresidual
    y = step.constant(np.zeros(0)) if step.residual is None else step.y
    flat = (b.reshape(-1) for b in (step.x, y, dy, mean, scale, beta))
    step.run(gradient_sums, *flat, *clamp, *cut, out=(g.reshape(-1), partial))
    if step.dresidual is not None:
        dy, clamp = step.dresidual, (-math.inf, math.inf)
    factor, slope, level = (step.new(samples, channels) for _ in range(3))
    shares = [dgamma.reshape(1, channels), dbeta.reshape(1, channels)] if samples == 1 else [step.new(samples, channels) for _ in range(2)]
    step.run(coefficients, partial, gamma, variance, epsilon, groups, cut.size, out=(factor, slope, level, *shares))
    if samples != 1:
        for share, out in zip(shares, (dgamma, dbeta), strict=True):
            step.run(fold, share.reshape(-1), out=out)
    step.run(normalized_gradient, step.x, dy, mean, scale, beta, factor, slope, level, *clamp, *cut, out=step.dx)
