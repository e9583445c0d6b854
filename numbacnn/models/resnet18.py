"""resnet18: residual network of 18 layers (He et al., 2015, Deep residual learning for image recognition)."""

from ..functional import Symbol
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.relu import ReLU
from ..layers.zero_padding2d import ZeroPadding2D


def convolution(x: Symbol, filters: int, kernel: int, strides: int, name: str) -> Symbol:
    """Convolution with symmetric zero padding (PyTorch's, which published weights expect) and batch normalization behind it."""
    border = kernel // 2
    if strides > 1 and border:
        x = ZeroPadding2D(border, name=f"{name}_pad")(x)
    x = Conv2D(filters, kernel, strides, "valid" if strides > 1 else "same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(x)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def basic_block(x: Symbol, filters: int, strides: int, name: str) -> Symbol:
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = convolution(x, filters, 1, strides, f"{name}_shortcut")
    y = ReLU(name=f"{name}_1_relu")(convolution(x, filters, 3, strides, f"{name}_1"))
    y = convolution(y, filters, 3, 1, f"{name}_2")
    return ReLU(name=f"{name}_out")(Add(name=f"{name}_add")([y, shortcut]))


def resnet18(x: Symbol, classes: int) -> Symbol:
    """(H, W, C) -> (classes,) logits; stride 32, so images from about 32 pixels on."""
    x = ReLU(name="stem_relu")(convolution(x, 64, 7, 2, "stem"))
    x = ZeroPadding2D(1, name="stem_pool_pad")(x)  # behind a ReLU, zeros are as good as the -inf of padded pooling
    x = MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, filters in enumerate((64, 128, 256, 512), 1):
        for block in (1, 2):
            x = basic_block(x, filters, 2 if stage > 1 and block == 1 else 1, f"stage{stage}_block{block}")
    x = GlobalAveragePooling2D(name="average_pool")(x)
    return Dense(classes, name="predictions")(x)
