"""What the families share: how a network ends, and names as Keras makes them."""

from dataclasses import dataclass

from ..functional import Symbol
from ..init import VarianceScaling
from ..layer import Activation
from ..layers.dense import Dense
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.global_max_pooling2d import GlobalMaxPooling2D

CONVOLUTION = VarianceScaling(2.0, "fan_out", "truncated_normal")  # first weights of both generations of EfficientNet
CLASSIFIER = VarianceScaling(1 / 3, "fan_out", "uniform")


@dataclass(frozen=True)
class Top:
    """How a network ends: in `classes` values behind `activation`, or (include=False) in features, pooled where `pooling` says how."""

    classes: int = 1000
    include: bool = True
    pooling: str | None = None
    activation: Activation = "softmax"


class Names:
    """Names of the layers that have none of their own, counted as a new session of Keras does: conv2d, conv2d_1, conv2d_2, …"""

    def __init__(self):
        self.counts: dict[str, int] = {}

    def __call__(self, kind: str) -> str:
        number = self.counts.get(kind, 0)
        self.counts[kind] = number + 1
        return f"{kind}_{number}" if number else kind


def pooled(x: Symbol, top: Top, average: str = "avg_pool", maximum: str = "max_pool") -> Symbol:
    """The end without classes: (H, W, C), or (C,) where pooling is "avg" or "max"; the names are those of the pooling layers."""
    if top.pooling == "avg":
        return GlobalAveragePooling2D(name=average)(x)
    return GlobalMaxPooling2D(name=maximum)(x) if top.pooling == "max" else x


def counted(x: Symbol, top: Top) -> Symbol:
    """`pooled` for the families whose pooling layers have no names of their own."""
    return pooled(x, top, "global_average_pooling2d", "global_max_pooling2d")


def classify(x: Symbol, top: Top, pool: str = "avg_pool") -> Symbol:
    """The end with classes: the mean of each channel, and a dense layer."""
    x = GlobalAveragePooling2D(name=pool)(x)
    return Dense(top.classes, top.activation, name="predictions")(x)
