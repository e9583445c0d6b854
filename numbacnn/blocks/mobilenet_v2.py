"""MobileNetV2 up to its last feature map: inverted residuals with depthwise convolutions (Sandler et al., 2018), named as in keras.applications."""

from ..functional import Symbol
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.depthwise_conv2d import DepthwiseConv2D
from ..layers.relu import ReLU
from ..layers.zero_padding2d import ZeroPadding2D
from .rules import correct_pad, divisible

# filters, repeats, strides of the first; all but the first block are six times as wide inside
STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


def _normalized(x: Symbol, name: str, relu: str | None = None) -> Symbol:
    x = BatchNormalization(momentum=0.999, name=name)(x)
    return ReLU(6.0, name=relu)(x) if relu else x


def _block(x: Symbol, filters: int, strides: int, number: int) -> Symbol:
    """Expand by 1x1, filter each channel by 3x3, project by 1x1; a shortcut where the shape stays."""
    prefix = f"block_{number}_" if number else "expanded_conv_"
    y = x
    if number:
        y = Conv2D(6 * x.shape[-1], 1, padding="same", use_bias=False, name=f"{prefix}expand")(y)
        y = _normalized(y, f"{prefix}expand_BN", f"{prefix}expand_relu")
    if strides == 2:
        y = ZeroPadding2D(correct_pad(y, 3), name=f"{prefix}pad")(y)
    y = DepthwiseConv2D(3, strides, "valid" if strides == 2 else "same", use_bias=False, name=f"{prefix}depthwise")(y)
    y = _normalized(y, f"{prefix}depthwise_BN", f"{prefix}depthwise_relu")
    y = _normalized(Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(y), f"{prefix}project_BN")
    return Add(name=f"{prefix}add")([x, y]) if strides == 1 and x.shape[-1] == filters else y


def features(x: Symbol, alpha: float = 1.0) -> Symbol:
    """(H, W, C) -> (H / 32, W / 32, 1280 or more); alpha makes every layer narrower or wider, the last one only wider."""
    x = _normalized(Conv2D(divisible(32 * alpha), 3, 2, "same", use_bias=False, name="Conv1")(x), "bn_Conv1", "Conv1_relu")
    number = 0
    for filters, repeats, strides in STAGES:
        for repeat in range(repeats):
            x = _block(x, divisible(int(filters * alpha)), strides if repeat == 0 else 1, number)
            number += 1
    x = Conv2D(divisible(1280 * alpha) if alpha > 1 else 1280, 1, use_bias=False, name="Conv_1")(x)
    return _normalized(x, "Conv_1_bn", "out_relu")
