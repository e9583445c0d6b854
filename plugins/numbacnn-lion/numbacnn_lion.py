"""Lion: every weight steps equally far, by the sign of a mean of the gradient and the momentum.

One fused kernel walks over jobs, pieces of the flat array that all trained weights lie in (numbacnn/optimizers/base.py).
Reference: Chen et al., Symbolic discovery of optimization algorithms, 2023 (algorithm 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from numbacnn.jit import compiled, kernel, prange
from numbacnn.optimizers.base import Optimizer, clipped, job, share, update_on_gpu


@compiled
def step_of(direction, rate):
    """rate with the sign of direction; 0 and NaN stay what they are."""
    if direction > 0:
        return rate
    return -rate if direction < 0 else direction


@compiled
def descend(g, scale, limit, rate, decay, beta_1, rest_1, beta_2, rest_2, w, m):
    """A piece of one weight, or a GPU thread's share of it."""
    for i in range(w.size):
        x = clipped(g[i], scale, limit)
        w[i] -= decay * w[i] + step_of(beta_1 * m[i] + rest_1 * x, rate)
        m[i] = beta_2 * m[i] + rest_2 * x


@kernel
def lion(g, jobs, scales, decays, rates, limit, beta_2, rest_2, w, m):
    for j in prange(jobs.shape[0]):
        b, e, s, k = job(jobs, j)
        decay = rates[k, 1] * decays[s]
        descend(g[b:e], scales[s], limit, rates[k, 0], decay, rates[k, 2], rates[k, 3], beta_2, rest_2, w[b:e], m[b:e])


@lion.cuda(**update_on_gpu())
def lion_on_gpu(g, jobs, scales, decays, rates, limit, beta_2, rest_2, w, m):
    """Several blocks of threads take a job, neighbouring threads neighbouring elements."""
    part, s, k = share(jobs)
    decay = rates[k, 1] * decays[s]
    descend(g[part], scales[s], limit, rates[k, 0], decay, rates[k, 2], rates[k, 3], beta_2, rest_2, w[part], m[part])


@dataclass(frozen=True)
class Lion(Optimizer):
    """w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g); then m = beta_2 * m + (1 - beta_2) * g.

    Its steps are as large as learning_rate in every weight, so that it wants a rate 3 to 10 times smaller than Adam's, and a weight decay as
    many times larger. Half of Adam's memory. Clipping and weight decay as in every optimizer. Raises ConfigError for a beta outside 0..1.
    """

    contract: ClassVar[int] = 1  # the version of numbacnn's contract that this was written for

    learning_rate: float = 1e-4
    beta_1: float = 0.9
    beta_2: float = 0.99

    def __post_init__(self):
        super().__post_init__()
        self._within(0.0, 1.0, "beta_1", "beta_2")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",)

    @property
    def momentum_name(self) -> str | None:
        return "beta_1"

    def rates(self, learning_rate: float, step: int) -> tuple[float, ...]:
        return *super().rates(learning_rate, step), self.beta_1, 1 - self.beta_1

    def update(self, step: Any) -> None:
        step.run(lion, *self.gradient(step), float(self.beta_2), 1.0 - self.beta_2, out=(step.w, step.slot.momentum))

    @classmethod
    def examples(cls) -> Iterator[Optimizer]:
        """Configurations for tests: the base class yields one with weight decay, and one for each way of clipping."""
        yield from super().examples()
        yield cls(0.01, beta_1=0.5, beta_2=0.8)
        yield cls(beta_1=0.0)
