"""MobileNet: depthwise and 1x1 convolutions in turn (Howard et al., 2017, MobileNets: efficient convolutional neural networks)."""

from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.depthwise_conv2d import DepthwiseConv2D
from ..layers.dropout import Dropout
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.relu import ReLU
from ..layers.reshape import Reshape
from ..layers.zero_padding2d import ZeroPadding2D
from .common import Top, counted

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))  # filters, strides


def _normalized(x: Symbol, name: str) -> Symbol:
    return ReLU(6.0, name=f"{name}_relu")(BatchNormalization(name=f"{name}_bn")(x))


def mobilenet(x: Symbol, top: Top, *, alpha: float = 1.0, depth_multiplier: int = 1, dropout: float = 0.001) -> Symbol:
    """alpha makes every layer narrower or wider, depth_multiplier the depthwise ones; stride 32."""
    x = _normalized(Conv2D(int(32 * alpha), 3, 2, "same", use_bias=False, name="conv1")(x), "conv1")
    for block, (filters, strides) in enumerate(BLOCKS, 1):
        if strides == 2:
            x = ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{block}")(x)
        padding = "valid" if strides == 2 else "same"
        x = DepthwiseConv2D(3, strides, padding, depth_multiplier, use_bias=False, name=f"conv_dw_{block}")(x)
        x = _normalized(x, f"conv_dw_{block}")
        x = _normalized(Conv2D(int(filters * alpha), 1, padding="same", use_bias=False, name=f"conv_pw_{block}")(x), f"conv_pw_{block}")
    if not top.include:
        return counted(x, top)
    x = GlobalAveragePooling2D(keepdims=True, name="global_average_pooling2d")(x)
    x = Dropout(dropout, name="dropout")(x)
    x = Conv2D(top.classes, 1, padding="same", name="conv_preds")(x)
    x = Reshape((top.classes,), name="reshape_2")(x)
    return Activation(top.activation or "linear", name="predictions")(x)
