"""densenet121: every layer reads what all layers before it in its block gave (Huang et al., 2017). Layer names are those of keras.applications."""

from ..functional import Symbol
from ..layers.average_pooling2d import AveragePooling2D
from ..layers.batch_normalization import BatchNormalization
from ..layers.concatenate import Concatenate
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.relu import ReLU
from ..layers.zero_padding2d import ZeroPadding2D
from .architecture import architecture
from .recipes import recipe

BLOCKS = ((2, 6), (3, 12), (4, 24), (5, 16))  # number in the names, layers
GROWTH = 32  # channels that each layer adds


def _activated(x: Symbol, bn: str, relu: str) -> Symbol:
    return ReLU(name=relu)(BatchNormalization(epsilon=1.001e-5, name=bn)(x))


def _convolution(x: Symbol, filters: int, kernel: int, name: str) -> Symbol:
    return Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)


def dense_layer(x: Symbol, name: str) -> Symbol:
    """x with GROWTH channels more: normalization and ReLU before a 1x1 convolution, and again before a 3x3 one."""
    y = _convolution(_activated(x, f"{name}_0_bn", f"{name}_0_relu"), 4 * GROWTH, 1, f"{name}_1_conv")
    y = _convolution(_activated(y, f"{name}_1_bn", f"{name}_1_relu"), GROWTH, 3, f"{name}_2_conv")
    return Concatenate(name=f"{name}_concat")([x, y])


def transition(x: Symbol, name: str) -> Symbol:
    """Between blocks: half the channels, half the height and width."""
    x = _convolution(_activated(x, f"{name}_bn", f"{name}_relu"), x.shape[-1] // 2, 1, f"{name}_conv")
    return AveragePooling2D(2, name=f"{name}_pool")(x)


@architecture(splits=("conv4_block1", "predictions"), pool="avg_pool", preprocess=recipe("torch"))
def densenet121(x: Symbol, classes: int) -> Symbol:
    """(H, W, C) -> (classes,) logits; stride 32, so images of at least 32 pixels."""
    x = ZeroPadding2D(3, name="zero_padding2d")(x)
    x = Conv2D(64, 7, 2, use_bias=False, name="conv1_conv")(x)
    x = ZeroPadding2D(1, name="zero_padding2d_1")(_activated(x, "conv1_bn", "conv1_relu"))
    x = MaxPooling2D(3, 2, name="pool1")(x)
    for block, layers in BLOCKS:
        for number in range(1, layers + 1):
            x = dense_layer(x, f"conv{block}_block{number}")
        if block < 5:
            x = transition(x, f"pool{block}")
    x = GlobalAveragePooling2D(name="avg_pool")(_activated(x, "bn", "relu"))
    return Dense(classes, name="predictions")(x)
