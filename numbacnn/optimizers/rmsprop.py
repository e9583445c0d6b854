"""RMSprop: steps divided by the root of a running mean of squared gradients."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..jit import compiled, kernel, prange
from .base import Optimizer, clipped, job


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """w -= learning_rate * g / sqrt(velocity + epsilon), where velocity = rho * velocity + (1 - rho) * g² (Tieleman and Hinton, 2012).

    momentum: the steps themselves are summed, m = momentum * m + step; w -= m.
    centered: the square of the gradient's running mean is taken from velocity (Graves, 2013). Slots are kept only where needed.
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._within(0.0, 1.0, "rho", "momentum")
        self._within(0.0, math.inf, "epsilon")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity", *(("momentum",) if self.momentum else ()), *(("average",) if self.centered else ()))

    @property
    def momentum_name(self) -> str | None:
        return "momentum" if self.momentum else None

    def rates(self, learning_rate: float, step: int) -> tuple[float, ...]:
        return *super().rates(learning_rate, step), self.momentum

    def update(self, step: Any) -> None:
        numbers = (float(self.rho), 1.0 - self.rho, float(self.epsilon))
        run = _KERNELS[bool(self.momentum), bool(self.centered)]
        step.run(run, *self.gradient(step), *numbers, out=(step.w, *(getattr(step.slot, s) for s in self.slots)))

    @classmethod
    def examples(cls) -> Iterator[Optimizer]:
        yield from super().examples()
        yield cls(rho=0.8, momentum=0.9)
        yield cls(centered=True, weight_decay=0.01)
        yield cls(0.1, momentum=0.5, centered=True, epsilon=1e-3)


@compiled
def _advance(g, rho, rest, epsilon, v):
    """(step, new velocity)"""
    v = rho * v + rest * g * g
    return g / math.sqrt(v + epsilon), v


@compiled
def _advance_centered(g, rho, rest, epsilon, v, a):
    """(step, new velocity, new average); rounding must not make the variance negative"""
    v = rho * v + rest * g * g
    a = rho * a + rest * g
    variance = v - a * a
    return g / math.sqrt((variance if variance > 0 else variance * 0) + epsilon), v, a


@compiled
def _plain(g, scale, limit, rate, decay, rho, rest, epsilon, w, v):
    for i in range(w.size):
        step, v[i] = _advance(clipped(g[i], scale, limit), rho, rest, epsilon, v[i])
        w[i] -= decay * w[i] + rate * step


@compiled
def _with_momentum(g, scale, limit, rate, decay, rho, rest, momentum, epsilon, w, v, m):
    for i in range(w.size):
        step, v[i] = _advance(clipped(g[i], scale, limit), rho, rest, epsilon, v[i])
        m[i] = momentum * m[i] + rate * step
        w[i] -= decay * w[i] + m[i]


@compiled
def _centered(g, scale, limit, rate, decay, rho, rest, epsilon, w, v, a):
    for i in range(w.size):
        step, v[i], a[i] = _advance_centered(clipped(g[i], scale, limit), rho, rest, epsilon, v[i], a[i])
        w[i] -= decay * w[i] + rate * step


@compiled
def _centered_with_momentum(g, scale, limit, rate, decay, rho, rest, momentum, epsilon, w, v, m, a):
    for i in range(w.size):
        step, v[i], a[i] = _advance_centered(clipped(g[i], scale, limit), rho, rest, epsilon, v[i], a[i])
        m[i] = momentum * m[i] + rate * step
        w[i] -= decay * w[i] + m[i]


@kernel
def rmsprop(g, jobs, scales, decays, rates, limit, rho, rest, epsilon, w, v):
    for j in prange(jobs.shape[0]):
        b, e, s, k = job(jobs, j)
        _plain(g[b:e], scales[s], limit, rates[k, 0], rates[k, 1] * decays[s], rho, rest, epsilon, w[b:e], v[b:e])


@kernel
def rmsprop_momentum(g, jobs, scales, decays, rates, limit, rho, rest, epsilon, w, v, m):
    for j in prange(jobs.shape[0]):
        b, e, s, k = job(jobs, j)
        _with_momentum(g[b:e], scales[s], limit, rates[k, 0], rates[k, 1] * decays[s], rho, rest, rates[k, 2], epsilon, w[b:e], v[b:e], m[b:e])


@kernel
def rmsprop_centered(g, jobs, scales, decays, rates, limit, rho, rest, epsilon, w, v, a):
    for j in prange(jobs.shape[0]):
        b, e, s, k = job(jobs, j)
        _centered(g[b:e], scales[s], limit, rates[k, 0], rates[k, 1] * decays[s], rho, rest, epsilon, w[b:e], v[b:e], a[b:e])


@kernel
def rmsprop_centered_momentum(g, jobs, scales, decays, rates, limit, rho, rest, epsilon, w, v, m, a):
    for j in prange(jobs.shape[0]):
        b, e, s, k = job(jobs, j)
        _centered_with_momentum(g[b:e], scales[s], limit, rates[k, 0], rates[k, 1] * decays[s], rho, rest, rates[k, 2], epsilon, w[b:e], v[b:e], m[b:e], a[b:e])


_KERNELS = {(False, False): rmsprop, (True, False): rmsprop_momentum, (False, True): rmsprop_centered, (True, True): rmsprop_centered_momentum}
