"""What optimizers share: clipping, weight decay, and the contract of an update.

All trainable weights of a model lie in one flat array, learning-rate group by group, their gradients in a second one, and each
slot (momentum, velocity, …) in one more of the same length, zeros at the start. An optimizer owns none of them: it *describes*
its update once for each plan, like a layer's forward, and one fused kernel does it for all groups.

What a step offers to `update`
  w, g, slot.<name>     flat arrays: weights, their gradients, and the slots that the optimizer asked for
  jobs                  int64 [J, 4]: start, stop, segment, group. A segment is one weight; its jobs stand together, in order
  decays, segments      float [segments]: 1 where weight decay applies, else 0; and how many segments there are
  rates                 float [groups, len(rates)]: what `rates()` gave for this step and each group's learning rate
  new, constant, run, dtype    as for layers. The kernel's outputs w and slots are read, too, and hold the new values after it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..jit import compiled, kernel, prange


@dataclass(frozen=True)
class Optimizer:
    """Base of all optimizers: Keras 3's arguments and semantics.

    learning_rate    size of a step; groups and schedules replace it
    weight_decay     every step w -= learning_rate * weight_decay * w before the update, where the weight is subject to decay
    clipnorm         each weight's gradient is scaled down to this norm
    global_clipnorm  all gradients together are scaled down to this norm
    clipvalue        each number in the gradients is limited to ±clipvalue
    """

    learning_rate: float = 0.01
    weight_decay: float | None = field(default=None, kw_only=True)
    clipnorm: float | None = field(default=None, kw_only=True)
    global_clipnorm: float | None = field(default=None, kw_only=True)
    clipvalue: float | None = field(default=None, kw_only=True)

    def __post_init__(self):
        self._within(0.0, math.inf, "learning_rate", "weight_decay")
        clips = [n for n in ("clipnorm", "global_clipnorm", "clipvalue") if getattr(self, n) is not None]
        if len(clips) > 1:
            raise ConfigError(f"{type(self).__name__}: {' and '.join(clips)} are given: at most one way of clipping works at a time")
        for name in clips:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{type(self).__name__}: {name}={getattr(self, name)!r} must be greater than 0, or None for no clipping")

    def _within(self, low: float, high: float, *names: str) -> None:
        """For __post_init__: values outside low..high (high itself is out) are refused."""
        for name in names:
            value = getattr(self, name)
            if value is not None and (isinstance(value, (bool, str)) or not low <= value < high):
                raise ConfigError(f"{type(self).__name__}: {name}={value!r} must be at least {low:g} and less than {high:g}")

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays that outlive a step, as these fields need them."""
        return ()

    @property
    def momentum_name(self) -> str | None:
        """The field that says how much of the steps so far goes on in the next one, where there is such a thing: what a schedule may move.

        A schedule that moves it (OneCycle's moms) replaces the field before `rates` is asked, so that what `rates` says of it counts.
        """
        return None

    def rates(self, learning_rate: float, step: int) -> tuple[float, ...]:
        """What varies with the step (1 for the first), in double precision: how far to go, the share of a weight that decays, and what else may."""
        return learning_rate, learning_rate * (self.weight_decay or 0.0)

    def update(self, step: Any) -> None:
        """Note the launches that change step.w and the slots."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def gradient(self, step: Any) -> tuple:
        """The kernel arguments that all updates begin with: g, jobs, scales, decays, rates, limit. Notes the launches for norm clipping."""
        norm = self.clipnorm or self.global_clipnorm
        if norm is None:
            scales = step.constant(np.ones(step.segments, step.dtype))
        else:
            sums, scales = step.new(step.jobs.shape[0], dtype=np.float64), step.new(step.segments)
            step.run(squares, step.g, step.jobs, out=sums)
            step.run(norm_scales, sums, step.jobs, float(norm), int(self.clipnorm is not None), out=scales)
        limit = math.inf if self.clipvalue is None else float(self.clipvalue)
        return step.g, step.jobs, scales, step.decays, step.rates, limit

    @classmethod
    def examples(cls) -> Iterator["Optimizer"]:
        """Configurations for the tests that run over all optimizers."""
        yield cls()
        yield cls(weight_decay=0.1)
        for clip in ("clipnorm", "global_clipnorm", "clipvalue"):
            yield cls(**{clip: 0.3})


@kernel
def squares(g, jobs, sums):
    """sums[j]: the sum of g² over job j."""
    for j in prange(jobs.shape[0]):
        part = g[jobs[j, 0] : jobs[j, 1]]
        total = 0.0
        for i in range(part.size):
            total += np.float64(part[i]) * np.float64(part[i])
        sums[j] = total


@kernel(parallel=False)
def norm_scales(sums, jobs, norm, each, scales):
    """scales[segment]: what brings gradients down to `norm`, each segment's on its own or all of them together; at most 1."""
    one = scales.dtype.type(1)
    total = 0.0
    for s in range(scales.size):
        scales[s] = one
    for j in range(jobs.shape[0]):
        total += sums[j]
        if j + 1 == jobs.shape[0] or (each and jobs[j + 1, 2] != jobs[j, 2]):
            if total > norm * norm:
                scales[jobs[j, 2]] = norm / math.sqrt(total)
            total = 0.0
    if not each and jobs.shape[0]:
        for s in range(scales.size):
            scales[s] = scales[jobs[-1, 2]]


@compiled
def clipped(g, scale, limit):
    """One number of a gradient after clipping; NaN stays NaN."""
    g *= scale
    if g > limit:
        return limit
    return -limit if g < -limit else g


@compiled
def job(jobs, j):
    """(start, stop, segment, group) of one job."""
    return jobs[j, 0], jobs[j, 1], jobs[j, 2], jobs[j, 3]
