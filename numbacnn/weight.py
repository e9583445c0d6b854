"""What a layer asks for where it learns: arrays, and how they begin."""

from dataclasses import dataclass

import numpy as np

from . import init
from .errors import ConfigError
from .init import Initializer
from .regularizers import Regularizer

Initial = str | Initializer
Penalty = str | Regularizer | None


@dataclass(frozen=True)
class Weight:
    """What a layer asks for: an array of `shape`, drawn by `init`. decay: whether weight decay applies."""

    shape: tuple[int, ...]
    init: Initial = "zeros"
    trainable: bool = True
    decay: bool = True
    regularizer: Penalty = None

    def __post_init__(self):
        if not isinstance(self.shape, (tuple, list)) or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in self.shape):
            raise ConfigError(f"Weight: shape={self.shape!r} must be a tuple of lengths, such as (5,)")
        init.get(self.init)


@dataclass(frozen=True)
class PerChannel:
    """A weight of an Elementwise layer, with one number for each channel (the last axis). As for Weight otherwise."""

    init: Initial = "zeros"
    trainable: bool = True
    decay: bool = True
    regularizer: Penalty = None

    def __post_init__(self):
        init.get(self.init)
