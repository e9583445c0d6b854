"""EfficientNetV2 B0 … B3, S, M and L (Tan and Le, 2021, EfficientNetV2: smaller models and faster training). Takes pixels 0..255."""

import math
from collections.abc import Sequence

from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.depthwise_conv2d import DepthwiseConv2D
from ..layers.normalization import Normalization
from ..layers.rescaling import Rescaling
from .common import CONVOLUTION, Top
from .efficientnet import classified, convolution, shortcut, squeeze_excite
from .efficientnet import normalized as any_normalized

# repeats, filters, expansion, strides of the first, fused (one 3x3 convolution instead of 1x1, depthwise 3x3 and squeeze-and-excite)?
B = (
    (1, 16, 1, 1, True),
    (2, 32, 4, 2, True),
    (2, 48, 4, 2, True),
    (3, 96, 4, 2, False),
    (5, 112, 6, 1, False),
    (8, 192, 6, 2, False),
)
S = (
    (2, 24, 1, 1, True),
    (4, 48, 4, 2, True),
    (4, 64, 4, 2, True),
    (6, 128, 4, 2, False),
    (9, 160, 6, 1, False),
    (15, 256, 6, 2, False),
)
M = (
    (3, 24, 1, 1, True),
    (5, 48, 4, 2, True),
    (5, 80, 4, 2, True),
    (7, 160, 4, 2, False),
    (14, 176, 6, 1, False),
    (18, 304, 6, 2, False),
    (5, 512, 6, 1, False),
)
L = (
    (4, 32, 1, 1, True),
    (7, 64, 4, 2, True),
    (7, 96, 4, 2, True),
    (10, 192, 4, 2, False),
    (19, 224, 6, 1, False),
    (25, 384, 6, 2, False),
    (7, 640, 6, 1, False),
)


def _normalized(x: Symbol, name: str, active: str | None = None) -> Symbol:
    return any_normalized(x, name, active, momentum=0.9)


def _fused(x: Symbol, filters: int, expansion: int, strides: int, rate: float, name: str) -> Symbol:
    if expansion != 1:
        y = _normalized(convolution(x, expansion * x.shape[-1], f"{name}expand_conv", 3, strides), f"{name}expand_bn", f"{name}expand_activation")
        y = _normalized(convolution(y, filters, f"{name}project_conv"), f"{name}project_bn")
    else:
        y = _normalized(convolution(x, filters, f"{name}project_conv", 3, strides), f"{name}project_bn")
        y = Activation("silu", name=f"{name}project_activation")(y)
    return shortcut(x, y, strides, rate, name)


def _block(x: Symbol, filters: int, expansion: int, strides: int, rate: float, name: str) -> Symbol:
    y = _normalized(convolution(x, expansion * x.shape[-1], f"{name}expand_conv"), f"{name}expand_bn", f"{name}expand_activation")
    y = DepthwiseConv2D(3, strides, "same", use_bias=False, depthwise_initializer=CONVOLUTION, name=f"{name}dwconv2")(y)
    y = _normalized(y, f"{name}bn", f"{name}activation")
    y = squeeze_excite(y, int(x.shape[-1] * 0.25), name)
    y = _normalized(convolution(y, filters, f"{name}project_conv"), f"{name}project_bn")
    return shortcut(x, y, strides, rate, name)


def efficientnet_v2(
    x: Symbol,
    top: Top,
    *,
    stages: Sequence[tuple],
    stem: int = 32,
    width: float = 1.0,
    depth: float = 1.0,
    statistics: bool = False,
    dropout_rate: float = 0.2,
    drop_connect_rate: float = 0.2,
) -> Symbol:
    """stages: the rows above; stem: filters of the first convolution; width, depth: factors of channels and repeats; stride 32.

    statistics: pixels become (x / 255 - mean) / deviation of ImageNet (B0 … B3), else x / 128 - 1; images that are not RGB always the latter.
    """

    def scaled(filters: int) -> int:
        return max(8, int(filters * width + 4) // 8 * 8)

    if statistics and x.shape[-1] == 3:
        x = Rescaling(1 / 255, name="rescaling")(x)
        x = Normalization(mean=(0.485, 0.456, 0.406), variance=(0.229**2, 0.224**2, 0.225**2), name="normalization")(x)
    else:
        x = Rescaling(1 / 128, offset=-1.0, name="rescaling")(x)
    x = _normalized(convolution(x, scaled(stem), "stem_conv", 3, 2), "stem_bn", "stem_activation")
    number, blocks = 0, float(sum(repeats for repeats, *_ in stages))  # Keras counts without `depth`
    for stage, (repeats, filters, expansion, strides, fused) in enumerate(stages, 1):
        for repeat in range(math.ceil(depth * repeats)):
            name, rate = f"block{stage}{chr(ord('a') + repeat)}_", drop_connect_rate * number / blocks
            x = (_fused if fused else _block)(x, scaled(filters), expansion, strides if repeat == 0 else 1, rate, name)
            number += 1
    x = _normalized(convolution(x, scaled(1280), "top_conv"), "top_bn", "top_activation")
    return classified(x, top, dropout_rate)
