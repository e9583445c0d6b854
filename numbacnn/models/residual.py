"""What the residual networks share: convolutions in PyTorch's geometry, both kinds of blocks, and the network around them."""

from collections.abc import Callable

from ..functional import Symbol
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.relu import ReLU
from ..layers.zero_padding2d import ZeroPadding2D
from .recipes import recipe

Block = Callable[[Symbol, int, int, str], Symbol]  # (input, filters, strides, name) -> output

FACTS = {"splits": ("stage3", "predictions"), "pool": "average_pool", "preprocess": recipe("torch")}  # of all of them, as published by torchvision


def convolution(x: Symbol, filters: int, kernel: int, strides: int, name: str) -> Symbol:
    """Convolution with symmetric zero padding (PyTorch's, which published weights expect) and batch normalization behind it."""
    border = kernel // 2
    if strides > 1 and border:
        x = ZeroPadding2D(border, name=f"{name}_pad")(x)
    x = Conv2D(filters, kernel, strides, "valid" if strides > 1 else "same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(x)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def joined(x: Symbol, y: Symbol, strides: int, name: str) -> Symbol:
    """x + y behind a ReLU; x goes through a 1x1 convolution first where the shape changes."""
    filters = y.shape[-1]
    if strides > 1 or x.shape[-1] != filters:
        x = convolution(x, filters, 1, strides, f"{name}_shortcut")
    return ReLU(name=f"{name}_out")(Add(name=f"{name}_add")([y, x]))


def basic_block(x: Symbol, filters: int, strides: int, name: str) -> Symbol:
    """Two 3x3 convolutions beside a shortcut."""
    y = ReLU(name=f"{name}_1_relu")(convolution(x, filters, 3, strides, f"{name}_1"))
    y = convolution(y, filters, 3, 1, f"{name}_2")
    return joined(x, y, strides, name)


def bottleneck(x: Symbol, filters: int, strides: int, name: str) -> Symbol:
    """1x1, 3x3 (which has the strides, as in torchvision) and 1x1 convolutions, the last to four times the filters, beside a shortcut."""
    y = ReLU(name=f"{name}_1_relu")(convolution(x, filters, 1, 1, f"{name}_1"))
    y = ReLU(name=f"{name}_2_relu")(convolution(y, filters, 3, strides, f"{name}_2"))
    y = convolution(y, 4 * filters, 1, 1, f"{name}_3")
    return joined(x, y, strides, name)


def residual_network(x: Symbol, classes: int, block: Block, repeats: tuple[int, ...]) -> Symbol:
    """(H, W, C) -> (classes,) logits; stride 32, so images from about 32 pixels on."""
    x = ReLU(name="stem_relu")(convolution(x, 64, 7, 2, "stem"))
    x = ZeroPadding2D(1, name="stem_pool_pad")(x)  # behind a ReLU, zeros are as good as the -inf of padded pooling
    x = MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, count in enumerate(repeats, 1):
        for number in range(1, count + 1):
            x = block(x, 32 << stage, 2 if stage > 1 and number == 1 else 1, f"stage{stage}_block{number}")
    x = GlobalAveragePooling2D(name="average_pool")(x)
    return Dense(classes, name="predictions")(x)
