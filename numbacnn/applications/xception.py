"""Xception: separable convolutions with shortcuts (Chollet, 2017, Xception: deep learning with depthwise separable convolutions)."""

from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.separable_conv2d import SeparableConv2D
from .common import Names, Top, classify, counted


def _separable(x: Symbol, filters: int, name: str) -> Symbol:
    x = SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return BatchNormalization(name=f"{name}_bn")(x)


def _active(x: Symbol, name: str) -> Symbol:
    return Activation("relu", name=f"{name}_act")(x)


def _shrinking(x: Symbol, block: int, filters: tuple[int, int], names: Names) -> Symbol:
    """Two separable convolutions and pooling beside a strided 1x1; block 2 has a ReLU before it already."""
    shortcut = Conv2D(filters[1], 1, 2, "same", use_bias=False, name=names("conv2d"))(x)
    shortcut = BatchNormalization(name=names("batch_normalization"))(shortcut)
    for number, width in enumerate(filters, 1):
        name = f"block{block}_sepconv{number}"
        x = _separable(x if (block, number) == (2, 1) else _active(x, name), width, name)
    x = MaxPooling2D(3, 2, "same", name=f"block{block}_pool")(x)
    return Add(name=names("add"))([x, shortcut])


def xception(x: Symbol, top: Top) -> Symbol:
    """Stride 32."""
    names = Names()
    for name, filters, strides in (("block1_conv1", 32, 2), ("block1_conv2", 64, 1)):
        x = Conv2D(filters, 3, strides, use_bias=False, name=name)(x)
        x = _active(BatchNormalization(name=f"{name}_bn")(x), name)
    for block, filters in ((2, 128), (3, 256), (4, 728)):
        x = _shrinking(x, block, (filters, filters), names)
    for block in range(5, 13):
        y = x
        for name in (f"block{block}_sepconv{number}" for number in (1, 2, 3)):
            y = _separable(_active(y, name), 728, name)
        x = Add(name=names("add"))([y, x])
    x = _shrinking(x, 13, (728, 1024), names)
    for name, filters in (("block14_sepconv1", 1536), ("block14_sepconv2", 2048)):
        x = _active(_separable(x, filters, name), name)
    return classify(x, top) if top.include else counted(x, top)
