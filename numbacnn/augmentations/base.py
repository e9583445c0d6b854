"""The base of augmentations, and the contract that a plugin's fulfils."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import registry
from ..errors import ConfigError
from ..kernels.augment import ROW

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's gray


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images: each is drawn evenly from a range around "no change".

    zoom         (smallest, largest) factor that the picture is scaled by; 1 leaves it as it is
    shift        largest move, as a fraction of width and height, in each direction
    flip         half of the images are mirrored left to right
    rotation     largest turn in degrees, either way
    brightness   largest change of the factor on all channels: 0.1 means 0.9 to 1.1
    contrast     the same for the distance to middle gray
    saturation   the same for the distance to the pixel's own gray (nothing happens to gray images)

    A plugin's augmentation is a frozen dataclass that derives from this one, with fields of its own; it overrides `parameters`.
    Raises ConfigError for values outside their range.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    flip: bool = False
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    numbers: ClassVar[int] = 16  # how many random numbers `parameters` gets for each image
    plain: ClassVar[bool] = False  # nothing is changed: images are normalized only

    def __post_init__(self):
        if isinstance(self.zoom, (int, float)) or len(self.zoom) != 2 or not 0 < self.zoom[0] <= self.zoom[1]:
            raise ConfigError(f"{type(self).__name__}: zoom={self.zoom!r} must be (smallest, largest), above 0, for example (0.9, 1.1)")
        object.__setattr__(self, "zoom", (float(self.zoom[0]), float(self.zoom[1])))
        for name, high in (("shift", 1), ("rotation", 180), ("brightness", 1), ("contrast", 1), ("saturation", 1)):
            if not 0 <= getattr(self, name) <= high:
                raise ConfigError(f"{type(self).__name__}: {name}={getattr(self, name)!r} must be between 0 and {high}")

    def parameters(self, uniforms: np.ndarray) -> np.ndarray:
        """What to do with each image: random numbers of [0, 1), (N, numbers) float64 -> (N, 18) (kernels/augment.py says what they mean).

        The random numbers of an image depend on seed, epoch and image only, so the result must depend on nothing else either. `compose` builds it.
        """
        spread = 2 * uniforms - 1
        low, high = self.zoom
        return compose(
            zoom=low + (high - low) * uniforms[:, 0],
            shift_x=self.shift * spread[:, 1],
            shift_y=self.shift * spread[:, 2],
            flip=(uniforms[:, 3] < 0.5) & self.flip,
            rotation=self.rotation * spread[:, 4],
            brightness=1 + self.brightness * spread[:, 5],
            contrast=1 + self.contrast * spread[:, 6],
            saturation=1 + self.saturation * spread[:, 7],
        )


def augmentation(spec: "str | Augmentation | None") -> Augmentation:
    """The augmentation behind a registered name (a plugin's, too), or the object itself; None means none."""
    found = registry.augmentations[spec or "none"]() if spec is None or isinstance(spec, str) else spec
    if not isinstance(found, Augmentation):
        raise ConfigError(f"augment={spec!r} must be one of {', '.join(registry.augmentations)}, or an Augmentation")
    return found


def compose(zoom, shift_x, shift_y, flip, rotation, brightness, contrast, saturation) -> np.ndarray:
    """(N, 18) float32 from arrays (N,): the picture is mirrored, moved (in widths to the right and heights down), turned (degrees,
    counterclockwise) and zoomed about the center; its saturation, contrast and brightness are multiplied."""
    count = len(zoom)
    angle = np.deg2rad(rotation)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    # From the result back to the image: undo turn and zoom, then the move, then the mirror.
    back = np.stack([np.stack([cos, -sin, -shift_x], axis=1), np.stack([sin, cos, -shift_y], axis=1)], axis=1)
    back[flip, 0] *= -1
    keep = saturation[:, None, None]
    color = keep * np.eye(3) + (1 - keep) * LUMA
    color = color * (contrast * brightness)[:, None, None]
    gray = (1 - contrast) * brightness * (128 / 255)
    rows = np.empty((count, 18), np.float32)
    rows[:, :6] = back.reshape(count, 6)
    rows[:, 6:] = np.concatenate([color, np.broadcast_to(gray[:, None, None], (count, 3, 1))], axis=2).reshape(count, 12)
    return rows


def rows(augmentation: Augmentation, uniforms: np.ndarray) -> np.ndarray:
    """`augmentation.parameters`, checked, as the kernel takes it; ConfigError where a plugin's answer has another shape."""
    found = np.asarray(augmentation.parameters(uniforms), np.float32)
    if found.shape != (len(uniforms), ROW) or not np.isfinite(found).all():
        raise ConfigError(
            f"{type(augmentation).__name__}.parameters gave shape {found.shape}: it must give {ROW} finite numbers for each image, shape {(len(uniforms), ROW)}"
        )
    return np.ascontiguousarray(found)
