"""Adam: momentum, divided by the root of a running mean of squared gradients, both corrected for their start at zero."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..jit import compiled, kernel, prange
from .base import Optimizer, clipped, job


@dataclass(frozen=True)
class Adam(Optimizer):
    """w -= rate * m / (sqrt(v) + epsilon), where rate = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) (Kingma and Ba, 2014).

    m and v are running means of g and g². epsilon stands where Keras has it: beside the uncorrected root ("epsilon hat" in the
    paper). amsgrad: v never falls (Reddi et al., 2018).
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._within(0.0, 1.0, "beta_1", "beta_2")
        self._within(0.0, math.inf, "epsilon")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity", *(("highest",) if self.amsgrad else ()))

    @property
    def momentum_name(self) -> str | None:
        return "beta_1"

    def rates(self, learning_rate: float, step: int) -> tuple[float, ...]:
        _, decay = super().rates(learning_rate, step)
        return learning_rate * math.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step), decay, self.beta_1, 1 - self.beta_1

    def update(self, step: Any) -> None:
        # 1 - beta in double precision: float32(1 - 0.999) is exact to 8e-8, 1 - float32(0.999) to 5e-5
        numbers = (float(self.beta_2), 1.0 - self.beta_2, float(self.epsilon))
        step.run(adam_amsgrad if self.amsgrad else adam, *self.gradient(step), *numbers, out=(step.w, *(getattr(step.slot, s) for s in self.slots)))

    @classmethod
    def examples(cls) -> Iterator[Optimizer]:
        yield from super().examples()
        yield cls(beta_1=0.5, beta_2=0.9, epsilon=1e-3)
        yield cls(0.1, amsgrad=True)


@compiled
def _adam(g, scale, limit, rate, decay, beta_1, rest_1, beta_2, rest_2, epsilon, w, m, v):
    for i in range(w.size):
        x = clipped(g[i], scale, limit)
        m[i] = beta_1 * m[i] + rest_1 * x
        v[i] = beta_2 * v[i] + rest_2 * x * x
        w[i] -= decay * w[i] + rate * m[i] / (math.sqrt(v[i]) + epsilon)


@compiled
def _adam_amsgrad(g, scale, limit, rate, decay, beta_1, rest_1, beta_2, rest_2, epsilon, w, m, v, h):
    for i in range(w.size):
        x = clipped(g[i], scale, limit)
        m[i] = beta_1 * m[i] + rest_1 * x
        v[i] = beta_2 * v[i] + rest_2 * x * x
        h[i] = v[i] if v[i] > h[i] else h[i]
        w[i] -= decay * w[i] + rate * m[i] / (math.sqrt(h[i]) + epsilon)


@kernel
def adam(g, jobs, scales, decays, rates, limit, beta_2, rest_2, epsilon, w, m, v):
    for j in prange(jobs.shape[0]):
        b, e, s, k = job(jobs, j)
        rate, decay, beta_1, rest_1 = rates[k, 0], rates[k, 1] * decays[s], rates[k, 2], rates[k, 3]
        _adam(g[b:e], scales[s], limit, rate, decay, beta_1, rest_1, beta_2, rest_2, epsilon, w[b:e], m[b:e], v[b:e])


@kernel
def adam_amsgrad(g, jobs, scales, decays, rates, limit, beta_2, rest_2, epsilon, w, m, v, h):
    for j in prange(jobs.shape[0]):
        b, e, s, k = job(jobs, j)
        rate, decay, beta_1, rest_1 = rates[k, 0], rates[k, 1] * decays[s], rates[k, 2], rates[k, 3]
        _adam_amsgrad(g[b:e], scales[s], limit, rate, decay, beta_1, rest_1, beta_2, rest_2, epsilon, w[b:e], m[b:e], v[b:e], h[b:e])
