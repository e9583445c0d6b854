"""Small changes that keep the meaning of nearly every picture, digits and letters included."""

from dataclasses import dataclass

from .base import Augmentation


@dataclass(frozen=True)
class Light(Augmentation):
    """Zoom 0.9 to 1.1, shift up to 5 %, brightness up to 10 %. Fields as in Augmentation."""

    zoom: tuple[float, float] = (0.9, 1.1)
    shift: float = 0.05
    brightness: float = 0.1
