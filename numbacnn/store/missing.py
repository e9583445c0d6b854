"""What stands for a layer whose plugin is not there, so that the rest of a model can be looked at."""

from dataclasses import dataclass
from typing import Any

from ..errors import PluginError, ShapeError
from ..graph import Shape
from ..layer import Layer, Weight


@dataclass(frozen=True)
class MissingLayer(Layer):
    """Has the shapes that the file tells, and does nothing. Raises PluginError where it is asked to work.

    title   registered name of the layer;  why: what is the matter, and the way out
    shape   of its output; None: the file does not say
    held    (name, shape) of its weights
    """

    title: str
    why: str
    shape: tuple[int | None, ...] | None
    held: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def shown_as(self) -> str:
        return f"{self.title}, not installed"

    def output_shape(self, *xs: Shape) -> Shape:
        if self.shape is None:
            raise ShapeError(f"the file does not say what shape it gives, and {self.why}")
        return self.shape

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        return {name: Weight(shape) for name, shape in self.held}

    def multiply_adds(self, *xs: Shape) -> None:
        return None

    def forward(self, step: Any) -> None:
        raise PluginError(self.why)

    def backward(self, step: Any) -> None:
        raise PluginError(self.why)
