"""Focal loss for yes-or-no outputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..layer import option
from .focal import Focal


@dataclass(frozen=True)
class BinaryFocal(Focal):
    """`Focal` with task "multi_label" and without weights: the defaults of Keras' binary_focal_crossentropy."""

    alpha: float | None = option(None, low=0.0, high=1.0)
    task: Literal["single_label", "multi_label"] = "multi_label"

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (1,)
        yield cls(1.5, 0.3), (2, 3, 2)
