"""Initializers, by Keras' names and formulas: `kernel_initializer="he_normal"` or `kernel_initializer=nn.Constant(0.1)`."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from .errors import ConfigError, ShapeError, UnknownNameError

_TRUNCATED = 0.87962566103423978  # standard deviation of the standard normal distribution cut at ±2


@dataclass(frozen=True)
class Initializer:
    """Draws a weight's first value. A subclass is a frozen dataclass with `draw`; chance comes from the generator alone."""

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """An array of `shape`."""
        raise NotImplementedError(f"{type(self).__name__} has no draw")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) as Keras counts them: HWIO kernels have receptive field * in and receptive field * out."""
    if len(shape) < 2:
        return (shape[0],) * 2 if shape else (1, 1)
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def _truncated(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Standard normal values, drawn again where they lie beyond ±2."""
    values = generator.standard_normal(math.prod(shape), dtype=np.float32)
    beyond = np.flatnonzero(np.abs(values) > 2)
    while beyond.size:
        values[beyond] = generator.standard_normal(beyond.size, dtype=np.float32)
        beyond = beyond[np.abs(values[beyond]) > 2]
    return values.reshape(shape)


def _uniform(shape: tuple[int, ...], generator: np.random.Generator, low: float, high: float) -> np.ndarray:
    return low + (high - low) * generator.random(shape, dtype=np.float32)


@dataclass(frozen=True)
class _Scaled(Initializer):
    """Variance scale / fan, where fan is fan_in, or the mean of fan_in and fan_out."""

    scale: ClassVar[float] = 1.0
    average: ClassVar[bool] = False

    def variance(self, shape: tuple[int, ...]) -> float:
        """Variance of the values for a weight of this shape."""
        fan_in, fan_out = fans(shape)
        return self.scale / max(1.0, (fan_in + fan_out) / 2 if self.average else fan_in)


@dataclass(frozen=True)
class _ScaledUniform(_Scaled):
    def draw(self, shape, generator):
        limit = math.sqrt(3 * self.variance(shape))
        return _uniform(shape, generator, -limit, limit)


@dataclass(frozen=True)
class _ScaledNormal(_Scaled):
    def draw(self, shape, generator):
        return _truncated(shape, generator) * (math.sqrt(self.variance(shape)) / _TRUNCATED)


@dataclass(frozen=True)
class GlorotUniform(_ScaledUniform):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)); also called Xavier (Glorot and Bengio, 2010)."""

    average: ClassVar[bool] = True


@dataclass(frozen=True)
class GlorotNormal(_ScaledNormal):
    """Truncated normal of variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""

    average: ClassVar[bool] = True


@dataclass(frozen=True)
class HeUniform(_ScaledUniform):
    """Uniform in ±sqrt(6 / fan_in), for layers before a ReLU (He et al., 2015)."""

    scale: ClassVar[float] = 2.0


@dataclass(frozen=True)
class HeNormal(_ScaledNormal):
    """Truncated normal of variance 2 / fan_in, for layers before a ReLU (He et al., 2015)."""

    scale: ClassVar[float] = 2.0


@dataclass(frozen=True)
class LecunUniform(_ScaledUniform):
    """Uniform in ±sqrt(3 / fan_in) (LeCun et al., 1998)."""


@dataclass(frozen=True)
class LecunNormal(_ScaledNormal):
    """Truncated normal of variance 1 / fan_in (LeCun et al., 1998)."""


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Variance scale / fan: the general form of the six above, with Keras' options.

    mode          "fan_in", "fan_out", or "fan_avg", the mean of both
    distribution  "truncated_normal" (cut at two standard deviations), "untruncated_normal" or "uniform"
    """

    scale: float = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["truncated_normal", "untruncated_normal", "uniform"] = "truncated_normal"

    def __post_init__(self):
        if not (self.scale > 0 and math.isfinite(self.scale)):
            raise ConfigError(f"VarianceScaling: scale={self.scale!r} must be positive")
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ConfigError(f"VarianceScaling: mode={self.mode!r} must be 'fan_in', 'fan_out' or 'fan_avg'")
        if self.distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ConfigError(f"VarianceScaling: distribution={self.distribution!r} must be 'truncated_normal', 'untruncated_normal' or 'uniform'")

    def draw(self, shape, generator):
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        deviation = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            return _uniform(shape, generator, -math.sqrt(3) * deviation, math.sqrt(3) * deviation)
        if self.distribution == "untruncated_normal":
            return deviation * generator.standard_normal(shape, dtype=np.float32)
        return _truncated(shape, generator) * (deviation / _TRUNCATED)


@dataclass(frozen=True)
class Constant(Initializer):
    """The same value everywhere."""

    value: float = 0.0

    def draw(self, shape, generator):
        return np.full(shape, self.value, np.float32)


@dataclass(frozen=True)
class Zeros(Initializer):
    """Zeros."""

    def draw(self, shape, generator):
        return np.zeros(shape, np.float32)


@dataclass(frozen=True)
class Ones(Initializer):
    """Ones."""

    def draw(self, shape, generator):
        return np.ones(shape, np.float32)


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal with a mean and a standard deviation."""

    mean: float = 0.0
    stddev: float = 0.05

    def draw(self, shape, generator):
        return self.mean + self.stddev * generator.standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal, drawn again where a value lies beyond two standard deviations (which makes the spread 0.88 of stddev, as in Keras)."""

    mean: float = 0.0
    stddev: float = 0.05

    def draw(self, shape, generator):
        return self.mean + self.stddev * _truncated(shape, generator)


@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05

    def draw(self, shape, generator):
        return _uniform(shape, generator, self.minval, self.maxval)


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """Orthonormal rows or columns (whichever are fewer) of the matrix [all axes but the last, last axis], times gain (Saxe et al., 2014)."""

    gain: float = 1.0

    def draw(self, shape, generator):
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal needs a weight with at least two axes, not shape {shape}: take another initializer for it")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # without it q is not uniformly distributed (Mezzadri, 2007)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


NAMES = {
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "xavier_uniform": GlorotUniform,
    "xavier_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "variance_scaling": VarianceScaling,
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "orthogonal": Orthogonal,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
}


def get(spec: "str | Initializer") -> Initializer:
    """The initializer that a layer's field names: "he_normal", "HeNormal", or an Initializer itself. Others raise UnknownNameError."""
    if isinstance(spec, Initializer):
        return spec
    if not isinstance(spec, str):
        raise ConfigError(f"initializer {spec!r} must be a name (one of {', '.join(sorted(NAMES))}) or an Initializer")
    for name, cls in NAMES.items():
        if spec in (name, cls.__name__):
            return cls()
    raise UnknownNameError("initializer", spec, NAMES)


def initialize(spec: "str | Initializer", shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """A new float32 array of `shape`, drawn by the initializer `spec` from `generator`; finite values or ConfigError."""
    initializer, shape = get(spec), tuple(shape)
    value = np.ascontiguousarray(initializer.draw(shape, generator), dtype=np.float32).reshape(shape)
    if not np.isfinite(value).all():
        raise ConfigError(f"{initializer} gives values that are not finite in float32")
    return value
