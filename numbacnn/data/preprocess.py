"""What happens to an image between its file and the network: the same in training and prediction, so the model's file carries it."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .. import fields
from ..errors import ConfigError, DataError
from ..kernels.augment import convert


@dataclass(frozen=True)
class Preprocess:
    """Geometry and normalization of a model's input.

    size           (height, width) in pixels; one int means a square
    color          "rgb": three channels, "gray": one
    resize         "stretch" to the size; "crop": scale, then cut out the centre; "pad": fit inside, white around it
    interpolation  "bilinear" or "bicubic", both antialiased
    resize_to      for "crop": length that the short side is scaled to before the cut (None: as little as covers the size)
    scale, mean, std   x = (pixel * scale - mean) / std with pixel in 0..255; mean and std per channel, in the order of `order`
    order          "rgb" or "bgr": order of the channels that the network gets

    The defaults give -1..1. Raises ConfigError for values that cannot work.
    """

    size: tuple[int, int] | int = (64, 64)
    color: Literal["rgb", "gray"] = "rgb"
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    resize_to: int | None = None
    scale: float = 1 / 127.5
    mean: tuple[float, ...] | float = 1.0
    std: tuple[float, ...] | float = 1.0
    order: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self):
        self._one_of("color", "rgb", "gray")
        self._one_of("resize", "stretch", "crop", "pad")
        self._one_of("interpolation", "bilinear", "bicubic")
        self._one_of("order", "rgb", "bgr")
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(isinstance(s, int) and 1 <= s <= 16384 for s in size):
            raise ConfigError(f"size={self.size!r} must be a number of pixels or (height, width), each 1 to 16384")
        object.__setattr__(self, "size", tuple(size))
        if self.resize_to is not None:
            if self.resize != "crop":
                raise ConfigError(f"resize_to={self.resize_to!r} is for resize='crop', not {self.resize!r}")
            if not isinstance(self.resize_to, int) or self.resize_to < max(size):
                raise ConfigError(f"resize_to={self.resize_to!r} must be at least as long as size={tuple(size)}, which is cut out of it")
        for name in ("mean", "std"):
            value = getattr(self, name)
            values = (value,) if isinstance(value, (int, float)) else tuple(value)
            values = values * self.channels if len(values) == 1 else values
            if len(values) != self.channels:
                raise ConfigError(f"{name}={value!r} needs one number or {self.channels}, one for each channel of color={self.color!r}")
            object.__setattr__(self, name, tuple(map(float, values)))
        if not (np.isfinite((self.scale, *self.mean, *self.std)).all() and all(self.std) and self.scale):
            raise ConfigError(f"scale={self.scale}, mean={self.mean}, std={self.std} must be finite, scale and std not 0")

    @property
    def channels(self) -> int:
        """3 for rgb, 1 for gray."""
        return 1 if self.color == "gray" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the network's input."""
        return (*self.size, self.channels)

    @property
    def source(self) -> np.ndarray:
        """For each of the network's channels the channel of the decoded image (RGB) that it is made of."""
        return np.arange(self.channels)[:: -1 if self.order == "bgr" else 1].copy()

    @property
    def table(self) -> np.ndarray:
        """(channels, 256) float32: what each pixel value becomes in each of the network's channels."""
        values = np.arange(256) * self.scale
        return np.stack([((values - mean) / std).astype(np.float32) for mean, std in zip(self.mean, self.std, strict=True)])

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Decoded images, uint8 (N, height, width, channels) -> the network's input, float32 of the same shape; one image without N also does.

        Raises DataError for another type or shape.
        """
        batch = images[None] if images.ndim == 3 else images
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != self.shape:
            raise DataError(f"images are {images.dtype} of shape {images.shape}, not uint8 of shape (N, {', '.join(map(str, self.shape))})")
        x = np.empty(batch.shape, np.float32)
        convert(np.ascontiguousarray(batch), np.arange(len(batch)), self.table, self.source, x)
        return x[0] if images.ndim == 3 else x

    def resized(self, size: tuple[int, int] | int) -> "Preprocess":
        """The same for another size: the same part of an image is used (of a longer or wider one less), at another resolution."""
        height, width = (size, size) if isinstance(size, int) else size
        to = None if self.resize_to is None else round(self.resize_to * max(height, width) / max(self.size))
        return replace(self, size=(height, width), resize_to=to)

    def to_json(self) -> dict[str, Any]:
        """The fields, for a model's file."""
        return fields.to_json(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Preprocess":
        """The Preprocess that `to_json` described; FileError naming a field that is unknown or wrong."""
        return fields.build(cls, stored, where="preprocess")

    def _one_of(self, name: str, *values: str) -> None:
        if getattr(self, name) not in values:
            raise ConfigError(f"{name}={getattr(self, name)!r} must be {' or '.join(map(repr, values))}")
