"""mobilenet_v2: inverted residuals with depthwise convolutions (Sandler et al., 2018). Layer names are those of keras.applications."""

from ..functional import Symbol
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.depthwise_conv2d import DepthwiseConv2D
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.relu import ReLU
from ..layers.zero_padding2d import ZeroPadding2D
from .architecture import architecture
from .recipes import recipe

# expansion, filters, repeats, strides of the first
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _normalized(x: Symbol, name: str, relu: str | None = None) -> Symbol:
    x = BatchNormalization(momentum=0.999, name=name)(x)
    return ReLU(max_value=6.0, name=relu)(x) if relu else x


def divisible(value: float, by: int = 8) -> int:
    """The multiple of `by` nearest to value, but not below 90 % of it."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded


def correct_pad(x: Symbol, kernel: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zero padding in front of a strided 'valid' convolution as keras.applications has it: one less on top and left for even sizes."""
    border = kernel // 2
    return tuple((border - (1 - n % 2) if n is not None else border, border) for n in x.shape[:2])


def inverted_residual(x: Symbol, filters: int, strides: int, expansion: int, number: int) -> Symbol:
    """Expand by 1x1, filter each channel by 3x3, project by 1x1; a shortcut where the shape stays."""
    prefix = f"block_{number}_" if number else "expanded_conv_"
    y = x
    if number:
        y = Conv2D(expansion * x.shape[-1], 1, padding="same", use_bias=False, name=f"{prefix}expand")(y)
        y = _normalized(y, f"{prefix}expand_BN", f"{prefix}expand_relu")
    if strides == 2:
        y = ZeroPadding2D(correct_pad(y, 3), name=f"{prefix}pad")(y)
    y = DepthwiseConv2D(3, strides, "valid" if strides == 2 else "same", use_bias=False, name=f"{prefix}depthwise")(y)
    y = _normalized(y, f"{prefix}depthwise_BN", f"{prefix}depthwise_relu")
    y = _normalized(Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(y), f"{prefix}project_BN")
    return Add(name=f"{prefix}add")([x, y]) if strides == 1 and x.shape[-1] == filters else y


@architecture(splits=("block_6", "predictions"), pool="global_average_pooling2d", preprocess=recipe("tf"))
def mobilenet_v2(x: Symbol, classes: int, alpha: float = 1.0) -> Symbol:
    """(H, W, C) -> (classes,) logits; alpha makes every layer narrower or wider; stride 32."""
    y = Conv2D(divisible(32 * alpha), 3, 2, "same", use_bias=False, name="Conv1")(x)
    y = _normalized(y, "bn_Conv1", "Conv1_relu")
    number = 0
    for expansion, filters, repeats, strides in STAGES:
        for repeat in range(repeats):
            y = inverted_residual(y, divisible(filters * alpha), strides if repeat == 0 else 1, expansion, number)
            number += 1
    y = Conv2D(divisible(1280 * alpha) if alpha > 1 else 1280, 1, use_bias=False, name="Conv_1")(y)
    y = _normalized(y, "Conv_1_bn", "out_relu")
    return Dense(classes, name="predictions")(GlobalAveragePooling2D(name="global_average_pooling2d")(y))
