"""CUDA twins of the losses over rows: a row's threads (kernels/gpu_rows.py) read its classes side by side. All in the arrays' own type."""

import numpy as np

from ..jit import compiled, cuda, device
from ..kernels.gpu_places import quotient
from ..kernels.gpu_rows import THREADS, WARPS, blocks_of, lanes_of, own_row, row_max, row_sum
from ..kernels.scalar import exp, expm1, log, sigmoid, softplus


def geometry() -> dict:
    """Threads and blocks of kernels whose first argument are the rows."""
    return {"threads": THREADS, "blocks": lambda z, *_: blocks_of(*z.shape)}


@device
def _largest_and_log_sum(z, r, count, lane, lanes, scratch):
    """As cross_entropy.largest_and_log_sum, by all threads of a row; `count` is 0 for rows behind the last."""
    top, total = z.dtype.type(-np.inf), z.dtype.type(0)
    for c in range(lane, count, lanes):
        top = z[r, c] if z[r, c] > top else top
    top = row_max(top, lanes, scratch)
    for c in range(lane, count, lanes):
        total += exp(z[r, c] - top)
    return top, log(row_sum(total, lanes, scratch))


def cross_entropy(z, t, class_weight, smoothing, y):
    scratch = cuda.shared.array(WARPS, z.dtype)
    lanes, zero, one, even = lanes_of(z.shape[1]), z.dtype.type(0), z.dtype.type(1), smoothing / z.dtype.type(z.shape[1])
    lane, mine, many = own_row(lanes)
    for first in range(cuda.blockIdx.x * many, z.shape[0], cuda.gridDim.x * many):
        r = first + mine
        count = z.shape[1] if r < z.shape[0] else 0
        top, log_sum = _largest_and_log_sum(z, r, count, lane, lanes, scratch)
        total, weight = zero, zero
        for c in range(lane, count, lanes):
            total += (t[r, c] * (one - smoothing) + even) * (log_sum - (z[r, c] - top))
            weight += t[r, c] * class_weight[c]
        total, weight = row_sum(total, lanes, scratch), row_sum(weight, lanes, scratch)
        if lane == 0 and count > 0:
            y[r] = total * weight


def cross_entropy_gradient(z, t, share, scale, class_weight, smoothing, dz):
    scratch = cuda.shared.array(WARPS, z.dtype)
    lanes, zero, one, even = lanes_of(z.shape[1]), z.dtype.type(0), z.dtype.type(1), smoothing / z.dtype.type(z.shape[1])
    (lane, mine, many), rows = own_row(lanes), quotient(z.shape[0], share.size)
    for first in range(cuda.blockIdx.x * many, z.shape[0], cuda.gridDim.x * many):
        r = first + mine
        count = z.shape[1] if r < z.shape[0] else 0
        top, log_sum = _largest_and_log_sum(z, r, count, lane, lanes, scratch)
        mass, weight = zero, zero
        for c in range(lane, count, lanes):
            mass += t[r, c] * (one - smoothing) + even
            weight += t[r, c] * class_weight[c]
        mass, weight = row_sum(mass, lanes, scratch), row_sum(weight, lanes, scratch)
        if count > 0:
            weight *= share[quotient(r, rows)] * scale
        for c in range(lane, count, lanes):
            dz[r, c] = weight * (mass * exp(z[r, c] - top - log_sum) - (t[r, c] * (one - smoothing) + even))


def binary_cross_entropy(z, t, pos_weight, smoothing, y):
    scratch = cuda.shared.array(WARPS, z.dtype)
    lanes, zero, one, half = lanes_of(z.shape[1]), z.dtype.type(0), z.dtype.type(1), z.dtype.type(0.5) * smoothing
    lane, mine, many = own_row(lanes)
    for first in range(cuda.blockIdx.x * many, z.shape[0], cuda.gridDim.x * many):
        r, total = first + mine, zero
        count = z.shape[1] if r < z.shape[0] else 0
        for c in range(lane, count, lanes):
            yes = t[r, c] * (one - smoothing) + half
            total += pos_weight[c] * yes * softplus(-z[r, c]) + (one - yes) * softplus(z[r, c])
        total = row_sum(total, lanes, scratch)
        if lane == 0 and count > 0:
            y[r] = total


def binary_cross_entropy_gradient(z, t, share, scale, pos_weight, smoothing, dz):
    lanes, one, half = lanes_of(z.shape[1]), z.dtype.type(1), z.dtype.type(0.5) * smoothing
    (lane, mine, many), rows = own_row(lanes), quotient(z.shape[0], share.size)
    for r in range(cuda.blockIdx.x * many + mine, z.shape[0], cuda.gridDim.x * many):
        factor = share[quotient(r, rows)] * scale
        for c in range(lane, z.shape[1], lanes):
            yes = t[r, c] * (one - smoothing) + half
            dz[r, c] = factor * ((one - yes) * sigmoid(z[r, c]) - pos_weight[c] * yes * sigmoid(-z[r, c]))


def softmax_focal(z, t, gamma, alpha, y):
    scratch = cuda.shared.array(WARPS, z.dtype)
    lanes, zero = lanes_of(z.shape[1]), z.dtype.type(0)
    lane, mine, many = own_row(lanes)
    for first in range(cuda.blockIdx.x * many, z.shape[0], cuda.gridDim.x * many):
        r, total = first + mine, zero
        count = z.shape[1] if r < z.shape[0] else 0
        top, log_sum = _largest_and_log_sum(z, r, count, lane, lanes, scratch)
        for c in range(lane, count, lanes):
            log_p = z[r, c] - top - log_sum
            total -= alpha * t[r, c] * (-expm1(log_p)) ** gamma * log_p
        total = row_sum(total, lanes, scratch)
        if lane == 0 and count > 0:
            y[r] = total


@compiled
def _focal_slope(log_p, gamma, zero, one):
    """As focal.focal_slope."""
    rest = -expm1(log_p)
    ratio = log_p / rest if rest > zero else -one
    return rest**gamma * (gamma * (one - rest) * ratio - one)


def softmax_focal_gradient(z, t, share, scale, gamma, alpha, dz):
    scratch = cuda.shared.array(WARPS, z.dtype)
    lanes, zero, one = lanes_of(z.shape[1]), z.dtype.type(0), z.dtype.type(1)
    (lane, mine, many), rows = own_row(lanes), quotient(z.shape[0], share.size)
    for first in range(cuda.blockIdx.x * many, z.shape[0], cuda.gridDim.x * many):
        r, total = first + mine, zero
        count = z.shape[1] if r < z.shape[0] else 0
        top, log_sum = _largest_and_log_sum(z, r, count, lane, lanes, scratch)
        for c in range(lane, count, lanes):
            total += t[r, c] * _focal_slope(z[r, c] - top - log_sum, gamma, zero, one)
        total = row_sum(total, lanes, scratch)
        factor = share[quotient(min(r, z.shape[0] - 1), rows)] * scale * alpha
        for c in range(lane, count, lanes):
            log_p = z[r, c] - top - log_sum
            dz[r, c] = factor * (t[r, c] * _focal_slope(log_p, gamma, zero, one) - exp(log_p) * total)


def sigmoid_focal(z, t, gamma, positive, negative, y):
    scratch = cuda.shared.array(WARPS, z.dtype)
    lanes, zero, one = lanes_of(z.shape[1]), z.dtype.type(0), z.dtype.type(1)
    lane, mine, many = own_row(lanes)
    for first in range(cuda.blockIdx.x * many, z.shape[0], cuda.gridDim.x * many):
        r, total = first + mine, zero
        count = z.shape[1] if r < z.shape[0] else 0
        for c in range(lane, count, lanes):
            v = z[r, c]
            total += positive * t[r, c] * sigmoid(-v) ** gamma * softplus(-v) + negative * (one - t[r, c]) * sigmoid(v) ** gamma * softplus(v)
        total = row_sum(total, lanes, scratch)
        if lane == 0 and count > 0:
            y[r] = total


@compiled
def _binary_slope(z, gamma):
    """As focal.binary_slope."""
    rest = sigmoid(-z)
    return -(rest**gamma) * (gamma * sigmoid(z) * softplus(-z) + rest)


def sigmoid_focal_gradient(z, t, share, scale, gamma, positive, negative, dz):
    lanes, one = lanes_of(z.shape[1]), z.dtype.type(1)
    (lane, mine, many), rows = own_row(lanes), quotient(z.shape[0], share.size)
    for r in range(cuda.blockIdx.x * many + mine, z.shape[0], cuda.gridDim.x * many):
        factor = share[quotient(r, rows)] * scale
        for c in range(lane, z.shape[1], lanes):
            dz[r, c] = factor * (positive * t[r, c] * _binary_slope(z[r, c], gamma) - negative * (one - t[r, c]) * _binary_slope(-z[r, c], gamma))
