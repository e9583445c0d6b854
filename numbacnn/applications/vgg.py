"""VGG16 and VGG19: stacks of 3x3 convolutions (Simonyan and Zisserman, 2014, Very deep convolutional networks for large-scale image recognition)."""

from collections.abc import Sequence

from ..functional import Symbol
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.flatten import Flatten
from ..layers.max_pooling2d import MaxPooling2D
from .common import Top, counted


def vgg(x: Symbol, top: Top, *, repeats: Sequence[int]) -> Symbol:
    """repeats: convolutions of each of the five blocks; stride 32."""
    for block, (filters, times) in enumerate(zip((64, 128, 256, 512, 512), repeats, strict=True), 1):
        for convolution in range(1, times + 1):
            x = Conv2D(filters, 3, padding="same", activation="relu", name=f"block{block}_conv{convolution}")(x)
        x = MaxPooling2D(2, 2, name=f"block{block}_pool")(x)
    if not top.include:
        return counted(x, top)
    x = Flatten(name="flatten")(x)
    for name in ("fc1", "fc2"):
        x = Dense(4096, "relu", name=name)(x)
    return Dense(top.classes, top.activation, name="predictions")(x)
