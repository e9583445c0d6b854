"""For photos and drawings, whose meaning survives a mirror."""

from dataclasses import dataclass

from .light import Light


@dataclass(frozen=True)
class Full(Light):
    """Light, and horizontal flips, rotation up to 10°, contrast and saturation up to 20 %. Fields as in Augmentation."""

    flip: bool = True
    rotation: float = 10.0
    contrast: float = 0.2
    saturation: float = 0.2
