"""Where a graph begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from ..graph import Shape
from ..layer import Layer, option


@dataclass(frozen=True)
class Input(Layer):
    """A graph's input: an array that the user gives.

    shape   of one example, without the batch axis; None for an axis whose length may differ from call to call

    Shapes: no input -> (N, *shape).  Raises ConfigError for a shape that is not a tuple of integers ≥ 1 and Nones.
    """

    shape: tuple[int | None, ...] = option(draw=False)

    def __post_init__(self):
        shape = self.shape
        if not isinstance(shape, (tuple, list)) or not all(s is None or (isinstance(s, int) and not isinstance(s, bool) and s >= 1) for s in shape):
            raise ConfigError(
                f"Input: shape={shape!r} must be a tuple of integers of at least 1 (None: any length), without the batch axis, such as (64, 64, 3)"
            )
        object.__setattr__(self, "shape", tuple(shape))

    def output_shape(self) -> Shape:
        return self.shape

    def forward(self, step: Any) -> None:
        """Nothing to note: the plan puts the user's array into step.y."""

    def backward(self, step: Any) -> None:
        """Nothing to note: an input has no input."""

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield (cls((4, 5, 3)),)
        yield (cls((None, None, 3)),)
