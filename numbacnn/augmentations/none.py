"""Images as they are."""

from dataclasses import dataclass, fields
from typing import ClassVar

from ..errors import ConfigError
from .base import Augmentation


@dataclass(frozen=True)
class NoAugmentation(Augmentation):
    """Changes nothing: what validation always uses. Fields must keep their neutral values."""

    plain: ClassVar[bool] = True

    def __post_init__(self):
        for f in fields(self):
            if getattr(self, f.name) != f.default:
                raise ConfigError(f"NoAugmentation: {f.name}={getattr(self, f.name)!r} would change images: take Light or Full with this field")
