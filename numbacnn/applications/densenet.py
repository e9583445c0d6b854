"""DenseNet121, 169 and 201: every layer of a block sees the outputs of all before it (Huang et al., 2017, Densely connected convolutional networks)."""

from collections.abc import Sequence

from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.average_pooling2d import AveragePooling2D
from ..layers.batch_normalization import BatchNormalization
from ..layers.concatenate import Concatenate
from ..layers.conv2d import Conv2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.zero_padding2d import ZeroPadding2D
from .common import Names, Top, classify, pooled

GROWTH = 32  # channels that a layer adds


def _normalized(x: Symbol, name: str, relu: str) -> Symbol:
    return Activation("relu", name=relu)(BatchNormalization(epsilon=1.001e-5, name=name)(x))


def _layer(x: Symbol, name: str) -> Symbol:
    y = _normalized(x, f"{name}_0_bn", f"{name}_0_relu")
    y = Conv2D(4 * GROWTH, 1, use_bias=False, name=f"{name}_1_conv")(y)
    y = _normalized(y, f"{name}_1_bn", f"{name}_1_relu")
    y = Conv2D(GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
    return Concatenate(name=f"{name}_concat")([x, y])


def densenet(x: Symbol, top: Top, *, blocks: Sequence[int]) -> Symbol:
    """blocks: layers of each of the four dense blocks; stride 32."""
    names = Names()
    x = ZeroPadding2D(3, name=names("zero_padding2d"))(x)
    x = Conv2D(64, 7, 2, use_bias=False, name="conv1_conv")(x)
    x = _normalized(x, "conv1_bn", "conv1_relu")
    x = ZeroPadding2D(1, name=names("zero_padding2d"))(x)
    x = MaxPooling2D(3, 2, name="pool1")(x)
    for stage, times in enumerate(blocks, 2):
        for block in range(1, times + 1):
            x = _layer(x, f"conv{stage}_block{block}")
        if stage < len(blocks) + 1:  # half the channels, half the size
            x = _normalized(x, f"pool{stage}_bn", f"pool{stage}_relu")
            x = Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=f"pool{stage}_conv")(x)
            x = AveragePooling2D(2, 2, name=f"pool{stage}_pool")(x)
    x = _normalized(x, "bn", "relu")
    return classify(x, top) if top.include else pooled(x, top)
