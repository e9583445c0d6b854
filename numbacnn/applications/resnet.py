"""ResNet50, 101 and 152 (He et al., 2015, Deep residual learning for image recognition), and V2 (2016, Identity mappings in deep residual networks)."""

from collections.abc import Sequence

from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.zero_padding2d import ZeroPadding2D
from .common import Names, Top, classify, pooled

FILTERS = (64, 128, 256, 512)  # of the stages conv2 … conv5; their outputs have four times as many


def _normalized(x: Symbol, name: str, relu: str | None = None) -> Symbol:
    x = BatchNormalization(epsilon=1.001e-5, name=name)(x)
    return Activation("relu", name=relu)(x) if relu else x


def _stem(x: Symbol, normalized: bool) -> Symbol:
    x = ZeroPadding2D(3, name="conv1_pad")(x)
    x = Conv2D(64, 7, 2, name="conv1_conv")(x)
    if normalized:
        x = _normalized(x, "conv1_bn", "conv1_relu")
    x = ZeroPadding2D(1, name="pool1_pad")(x)
    return MaxPooling2D(3, 2, name="pool1_pool")(x)


def _block(x: Symbol, filters: int, strides: int, name: str, first: bool) -> Symbol:
    """1x1, 3x3, 1x1 beside a shortcut; the stride is in the first 1x1."""
    shortcut = x
    if first:
        shortcut = _normalized(Conv2D(4 * filters, 1, strides, name=f"{name}_0_conv")(x), f"{name}_0_bn")
    y = _normalized(Conv2D(filters, 1, strides, name=f"{name}_1_conv")(x), f"{name}_1_bn", f"{name}_1_relu")
    y = _normalized(Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(y), f"{name}_2_bn", f"{name}_2_relu")
    y = _normalized(Conv2D(4 * filters, 1, name=f"{name}_3_conv")(y), f"{name}_3_bn")
    return Activation("relu", name=f"{name}_out")(Add(name=f"{name}_add")([shortcut, y]))


def resnet(x: Symbol, top: Top, *, blocks: Sequence[int]) -> Symbol:
    """blocks: of each of the four stages; stride 32."""
    x = _stem(x, normalized=True)
    for stage, (filters, times) in enumerate(zip(FILTERS, blocks, strict=True), 2):
        for block in range(1, times + 1):
            x = _block(x, filters, 2 if stage > 2 and block == 1 else 1, f"conv{stage}_block{block}", block == 1)
    return classify(x, top) if top.include else pooled(x, top)


def _block_v2(x: Symbol, filters: int, strides: int, name: str, first: bool, names: Names) -> Symbol:
    """Normalization and ReLU come first; the stride is in the 3x3, and a shortcut that it shrinks is every second pixel."""
    active = _normalized(x, f"{name}_preact_bn", f"{name}_preact_relu")
    if first:
        shortcut = Conv2D(4 * filters, 1, strides, name=f"{name}_0_conv")(active)
    else:
        shortcut = MaxPooling2D(1, strides, name=names("max_pooling2d"))(x) if strides > 1 else x
    y = Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(active)
    y = _normalized(y, f"{name}_1_bn", f"{name}_1_relu")
    y = ZeroPadding2D(1, name=f"{name}_2_pad")(y)
    y = Conv2D(filters, 3, strides, use_bias=False, name=f"{name}_2_conv")(y)
    y = _normalized(y, f"{name}_2_bn", f"{name}_2_relu")
    y = Conv2D(4 * filters, 1, name=f"{name}_3_conv")(y)
    return Add(name=f"{name}_out")([shortcut, y])


def resnet_v2(x: Symbol, top: Top, *, blocks: Sequence[int]) -> Symbol:
    """blocks: of each of the four stages; stride 32."""
    names = Names()
    x = _stem(x, normalized=False)
    for stage, (filters, times) in enumerate(zip(FILTERS, blocks, strict=True), 2):
        for block in range(1, times + 1):
            x = _block_v2(x, filters, 2 if stage < 5 and block == times else 1, f"conv{stage}_block{block}", block == 1, names)
    x = _normalized(x, "post_bn", "post_relu")
    return classify(x, top) if top.include else pooled(x, top)
