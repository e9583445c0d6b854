"""Stochastic gradient descent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..jit import compiled, kernel, prange
from .base import Optimizer, clipped, job


@dataclass(frozen=True)
class SGD(Optimizer):
    """w -= learning_rate * g, with momentum as Keras has it: m = momentum * m - learning_rate * g; w += m.

    nesterov: w += momentum * m - learning_rate * g instead (Sutskever et al., 2013). Without momentum there is no slot.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._within(0.0, 1.0, "momentum")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    @property
    def momentum_name(self) -> str | None:
        return "momentum" if self.momentum else None

    def rates(self, learning_rate: float, step: int) -> tuple[float, ...]:
        return *super().rates(learning_rate, step), self.momentum

    def update(self, step: Any) -> None:
        common = self.gradient(step)
        if self.momentum:
            step.run(descend_with_momentum, *common, int(self.nesterov), out=(step.w, step.slot.momentum))
        else:
            step.run(descend, *common, out=step.w)

    @classmethod
    def examples(cls) -> Iterator[Optimizer]:
        yield from super().examples()
        yield cls(momentum=0.9)
        yield cls(0.1, momentum=0.8, nesterov=True, weight_decay=0.01)


@compiled
def _descend(g, scale, limit, rate, decay, w):
    for i in range(w.size):
        w[i] -= decay * w[i] + rate * clipped(g[i], scale, limit)


@compiled
def _descend_with_momentum(g, scale, limit, rate, decay, momentum, nesterov, w, m):
    for i in range(w.size):
        down = rate * clipped(g[i], scale, limit)
        m[i] = momentum * m[i] - down
        w[i] += (momentum * m[i] - down if nesterov else m[i]) - decay * w[i]


@kernel
def descend(g, jobs, scales, decays, rates, limit, w):
    for j in prange(jobs.shape[0]):
        start, stop, segment, group = job(jobs, j)
        _descend(g[start:stop], scales[segment], limit, rates[group, 0], rates[group, 1] * decays[segment], w[start:stop])


@kernel
def descend_with_momentum(g, jobs, scales, decays, rates, limit, nesterov, w, m):
    for j in prange(jobs.shape[0]):
        start, stop, segment, group = job(jobs, j)
        rate, decay, momentum = rates[group, 0], rates[group, 1] * decays[segment], rates[group, 2]
        _descend_with_momentum(g[start:stop], scales[segment], limit, rate, decay, momentum, nesterov, w[start:stop], m[start:stop])
