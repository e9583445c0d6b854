"""Normalizes groups of channels of each example."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..kernels.normalize import normalize
from ..kernels.normalize_backward import normalize_backward
from ..layer import Initial, Layer, Penalty, Weight, option, positive


@dataclass(frozen=True)
class GroupNormalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with the statistics of each example's groups of channels.

    groups   how many groups of neighbouring channels; -1: each channel by itself (instance normalization), 1: all together

    Shapes: (N, ..., C) -> the same.  Weights (C,): gamma, beta, where `scale` and `center` ask for them.
    Raises ShapeError where the groups do not divide the channels or the axis is not the last.
    Reference: Wu and He, Group normalization, 2018.
    """

    groups: int = option(32, values=(-1, 1))
    axis: int = option(-1, draw=False)
    epsilon: float = option(1e-3, low=1e-3, high=1e-1)
    center: bool = option(True)
    scale: bool = option(True)
    beta_initializer: Initial = "zeros"
    gamma_initializer: Initial = "ones"
    beta_regularizer: Penalty = None
    gamma_regularizer: Penalty = None

    takes_residual = True
    takes_clamp = True
    takes_folded_gradient = True

    def __post_init__(self):
        positive(self, "epsilon", low=1e-12)
        if self.groups != -1 and self.groups < 1:
            raise ConfigError(f"GroupNormalization: groups={self.groups!r} must be at least 1, or -1 for one group a channel")

    def output_shape(self, x: Shape) -> Shape:
        if self.axis not in (-1, len(x)):
            raise ShapeError(f"axis={self.axis} is not the last one, where the channels are: use axis=-1")
        if not x or x[-1] is None:
            raise ShapeError("the number of channels (the last axis) must be known")
        if self.groups > 0 and x[-1] % self.groups:
            raise ShapeError(f"{x[-1]} channels cannot be divided into groups={self.groups} equal groups")
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        c = self.output_shape(x)[-1:]
        gamma = Weight(c, self.gamma_initializer, regularizer=self.gamma_regularizer)
        beta = Weight(c, self.beta_initializer, regularizer=self.beta_regularizer)
        return {**({"gamma": gamma} if self.scale else {}), **({"beta": beta} if self.center else {})}

    def _gamma_beta(self, step: Any) -> tuple[Any, Any]:
        """The weights, or the constants that stand for absent ones."""
        c = step.shape[-1]
        return step.w.gamma if self.scale else step.constant(np.ones(c)), step.w.beta if self.center else step.constant(np.zeros(c))

    def _groups(self, step: Any) -> int:
        return step.shape[-1] if self.groups == -1 else self.groups

    def forward(self, step: Any) -> tuple:
        return normalize(step, step.batch, self._groups(step), *self._gamma_beta(step), self.epsilon)

    def backward(self, step: Any, *statistics: Any) -> None:
        c = step.shape[-1]
        dgamma, dbeta = step.dw.gamma if self.scale else step.new(c), step.dw.beta if self.center else step.new(c)
        normalize_backward(step, step.batch, self._groups(step), *self._gamma_beta(step), *statistics, self.epsilon, dgamma, dbeta)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(groups=2), (5, 4, 6)
        yield cls(groups=-1, epsilon=1e-2), (3, 5, 5)
        yield cls(groups=1, axis=3, center=False), (1, 1, 7)
        yield cls(groups=3, scale=False, beta_initializer="ones", beta_regularizer="l2"), (7, 9)
        yield cls(gamma_initializer="zeros", gamma_regularizer="l1"), (3, 2, 32)
        yield cls(groups=4, center=False, scale=False), (8,)
