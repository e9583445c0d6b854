"""EfficientNetB0 … B7 (Tan and Le, 2019, EfficientNet: rethinking model scaling for convolutional neural networks). Takes pixels 0..255."""

import math

from ..blocks.rules import correct_pad, divisible
from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.depthwise_conv2d import DepthwiseConv2D
from ..layers.dropout import Dropout
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.multiply import Multiply
from ..layers.normalization import Normalization
from ..layers.rescaling import Rescaling
from ..layers.reshape import Reshape
from ..layers.zero_padding2d import ZeroPadding2D
from .common import CLASSIFIER, CONVOLUTION, Top, pooled

# kernel, repeats, filters, expansion, strides of the first
STAGES = ((3, 1, 16, 1, 1), (3, 2, 24, 6, 2), (5, 2, 40, 6, 2), (3, 3, 80, 6, 2), (5, 3, 112, 6, 1), (5, 4, 192, 6, 2), (3, 1, 320, 6, 1))
DEVIATIONS = (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue, in 0..1


def convolution(x: Symbol, filters: int, name: str, kernel: int = 1, strides: int = 1, padding: str = "same") -> Symbol:
    """A convolution without bias, for a normalization to follow."""
    return Conv2D(filters, kernel, strides, padding, use_bias=False, kernel_initializer=CONVOLUTION, name=name)(x)


def normalized(x: Symbol, name: str, active: str | None = None, momentum: float = 0.99) -> Symbol:
    """Batch normalization, and SiLU where it has a name."""
    x = BatchNormalization(momentum=momentum, name=name)(x)
    return Activation("silu", name=active)(x) if active else x


def squeeze_excite(x: Symbol, squeezed: int, name: str) -> Symbol:
    """Channels scaled by what the whole image shows (Hu et al., 2018)."""
    y = GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    y = Reshape((1, 1, x.shape[-1]), name=f"{name}se_reshape")(y)
    y = Conv2D(max(1, squeezed), 1, padding="same", activation="silu", kernel_initializer=CONVOLUTION, name=f"{name}se_reduce")(y)
    y = Conv2D(x.shape[-1], 1, padding="same", activation="sigmoid", kernel_initializer=CONVOLUTION, name=f"{name}se_expand")(y)
    return Multiply(name=f"{name}se_excite")([x, y])


def shortcut(x: Symbol, y: Symbol, strides: int, rate: float, name: str) -> Symbol:
    """y, with x added where the shape stays; in training y is left out of an image's sum with probability `rate` (Huang et al., 2016)."""
    if strides != 1 or x.shape[-1] != y.shape[-1]:
        return y
    if rate > 0:
        y = Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(y)
    return Add(name=f"{name}add")([y, x])


def classified(x: Symbol, top: Top, dropout_rate: float) -> Symbol:
    """The end of both generations."""
    if not top.include:
        return pooled(x, top)
    x = GlobalAveragePooling2D(name="avg_pool")(x)
    if dropout_rate > 0:
        x = Dropout(dropout_rate, name="top_dropout")(x)
    return Dense(top.classes, top.activation, kernel_initializer=CLASSIFIER, name="predictions")(x)


def _block(x: Symbol, kernel: int, filters: int, expansion: int, strides: int, rate: float, name: str) -> Symbol:
    y = x
    if expansion != 1:
        y = normalized(convolution(y, expansion * x.shape[-1], f"{name}expand_conv"), f"{name}expand_bn", f"{name}expand_activation")
    if strides == 2:
        y = ZeroPadding2D(correct_pad(y, kernel), name=f"{name}dwconv_pad")(y)
    padding = "valid" if strides == 2 else "same"
    y = DepthwiseConv2D(kernel, strides, padding, use_bias=False, depthwise_initializer=CONVOLUTION, name=f"{name}dwconv")(y)
    y = normalized(y, f"{name}bn", f"{name}activation")
    y = squeeze_excite(y, int(x.shape[-1] * 0.25), name)
    y = normalized(convolution(y, filters, f"{name}project_conv"), f"{name}project_bn")
    return shortcut(x, y, strides, rate, name)


def efficientnet(
    x: Symbol, top: Top, *, width: float, depth: float, dropout_rate: float = 0.2, drop_connect_rate: float = 0.2, imagenet: bool = False
) -> Symbol:
    """width, depth: factors of B0's channels and repeats; stride 32.

    imagenet: with the layer that Keras adds when it loads the published weights, which divides by the square root of the
    deviations once more. (It has no weights: files load without it as well, but mean something else.)
    """
    x = Rescaling(1 / 255, name="rescaling")(x)
    x = Normalization(name="normalization")(x)
    if imagenet:
        x = Rescaling(tuple(1 / math.sqrt(d) for d in DEVIATIONS), name="rescaling_1")(x)
    x = ZeroPadding2D(correct_pad(x, 3), name="stem_conv_pad")(x)
    x = normalized(convolution(x, divisible(32 * width), "stem_conv", 3, 2, "valid"), "stem_bn", "stem_activation")
    repeated = [math.ceil(depth * repeats) for _, repeats, *_ in STAGES]
    number, blocks = 0, float(sum(repeated))
    for stage, ((kernel, _, filters, expansion, strides), repeats) in enumerate(zip(STAGES, repeated, strict=True), 1):
        for repeat in range(repeats):
            name, rate = f"block{stage}{chr(ord('a') + repeat)}_", drop_connect_rate * number / blocks
            x = _block(x, kernel, divisible(filters * width), expansion, strides if repeat == 0 else 1, rate, name)
            number += 1
    x = normalized(convolution(x, divisible(1280 * width), "top_conv"), "top_bn", "top_activation")
    return classified(x, top, dropout_rate)
