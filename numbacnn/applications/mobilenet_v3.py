"""MobileNetV3, small and large (Howard et al., 2019, Searching for MobileNetV3). Takes pixels 0..255."""

from collections.abc import Sequence

from ..blocks.rules import correct_pad, divisible
from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.depthwise_conv2d import DepthwiseConv2D
from ..layers.dropout import Dropout
from ..layers.flatten import Flatten
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.multiply import Multiply
from ..layers.relu import ReLU
from ..layers.rescaling import Rescaling
from ..layers.zero_padding2d import ZeroPadding2D
from .common import Names, Top, pooled

# expansion, filters, kernel, strides, squeeze-and-excite?, hard swish?
SMALL = (
    (1, 16, 3, 2, True, False),
    (72 / 16, 24, 3, 2, False, False),
    (88 / 24, 24, 3, 1, False, False),
    (4, 40, 5, 2, True, True),
    (6, 40, 5, 1, True, True),
    (6, 40, 5, 1, True, True),
    (3, 48, 5, 1, True, True),
    (3, 48, 5, 1, True, True),
    (6, 96, 5, 2, True, True),
    (6, 96, 5, 1, True, True),
    (6, 96, 5, 1, True, True),
)
LARGE = (
    (1, 16, 3, 1, False, False),
    (4, 24, 3, 2, False, False),
    (3, 24, 3, 1, False, False),
    (3, 40, 5, 2, True, False),
    (3, 40, 5, 1, True, False),
    (3, 40, 5, 1, True, False),
    (6, 80, 3, 2, False, True),
    (2.5, 80, 3, 1, False, True),
    (2.3, 80, 3, 1, False, True),
    (2.3, 80, 3, 1, False, True),
    (6, 112, 3, 1, True, True),
    (6, 112, 3, 1, True, True),
    (6, 160, 5, 2, True, True),
    (6, 160, 5, 1, True, True),
    (6, 160, 5, 1, True, True),
)


class _Builder:
    """The pieces of one network: its names, and whether it has its advanced parts."""

    def __init__(self, minimalistic: bool):
        self.names, self.minimalistic = Names(), minimalistic

    def active(self, x: Symbol, hard: bool = True) -> Symbol:
        if hard and not self.minimalistic:
            return Activation("hard_silu", name=self.names("activation"))(x)
        return ReLU(name=self.names("re_lu"))(x)

    @staticmethod
    def normalized(x: Symbol, name: str) -> Symbol:
        return BatchNormalization(momentum=0.999, name=name)(x)

    def squeeze_excite(self, x: Symbol, prefix: str) -> Symbol:
        """Scales channels by a hard sigmoid, which Keras writes as relu6(y + 3) / 6 with an addition and a multiplication that are no layers."""
        filters = x.shape[-1]
        y = GlobalAveragePooling2D(keepdims=True, name=f"{prefix}squeeze_excite_avg_pool")(x)
        y = Conv2D(divisible(filters * 0.25), 1, padding="same", name=f"{prefix}squeeze_excite_conv")(y)
        y = ReLU(name=f"{prefix}squeeze_excite_relu")(y)
        y = Conv2D(filters, 1, padding="same", name=f"{prefix}squeeze_excite_conv_1")(y)
        y = Rescaling(1.0, offset=3.0, name=self.names("add"))(y)
        y = ReLU(6.0, name=self.names("re_lu"))(y)
        y = Rescaling(1 / 6, name=self.names("multiply"))(y)
        return Multiply(name=f"{prefix}squeeze_excite_mul")([x, y])

    def block(self, x: Symbol, number: int, row: tuple, alpha: float) -> Symbol:
        expansion, filters, kernel, strides, squeeze, hard = row
        filters, kernel = divisible(filters * alpha), 3 if self.minimalistic else kernel
        prefix = f"expanded_conv_{number}_" if number else "expanded_conv_"
        y = x
        if number:
            y = Conv2D(divisible(x.shape[-1] * expansion), 1, padding="same", use_bias=False, name=f"{prefix}expand")(y)
            y = self.active(self.normalized(y, f"{prefix}expand_bn"), hard)
        if strides == 2:
            y = ZeroPadding2D(correct_pad(y, kernel), name=f"{prefix}depthwise_pad")(y)
        y = DepthwiseConv2D(kernel, strides, "valid" if strides == 2 else "same", use_bias=False, name=f"{prefix}depthwise")(y)
        y = self.active(self.normalized(y, f"{prefix}depthwise_bn"), hard)
        if squeeze and not self.minimalistic:
            y = self.squeeze_excite(y, prefix)
        y = Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(y)
        y = self.normalized(y, f"{prefix}project_bn")
        return Add(name=f"{prefix}add")([x, y]) if strides == 1 and x.shape[-1] == filters else y


def mobilenet_v3(x: Symbol, top: Top, *, rows: Sequence[tuple], last: int, alpha: float = 1.0, minimalistic: bool = False, dropout_rate: float = 0.2) -> Symbol:
    """rows: the blocks; last: channels before the classes; alpha makes every layer narrower or wider; stride 32.

    minimalistic: without squeeze-and-excite, hard swish and 5x5 kernels.
    """
    made = _Builder(minimalistic)
    x = Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(x)
    x = Conv2D(16, 3, 2, "same", use_bias=False, name="conv")(x)
    x = made.active(made.normalized(x, "conv_bn"))
    for number, row in enumerate(rows):
        x = made.block(x, number, row, alpha)
    x = Conv2D(divisible(x.shape[-1] * 6), 1, padding="same", use_bias=False, name="conv_1")(x)
    x = made.active(made.normalized(x, "conv_1_bn"))
    if not top.include:
        return pooled(x, top)
    x = GlobalAveragePooling2D(keepdims=True, name="global_average_pooling2d")(x)
    x = Conv2D(divisible(last * alpha) if alpha > 1 else last, 1, padding="same", name="conv_2")(x)
    x = made.active(x)
    if dropout_rate > 0:
        x = Dropout(dropout_rate, name="dropout")(x)
    x = Conv2D(top.classes, 1, padding="same", name="logits")(x)
    x = Flatten(name="flatten")(x)
    return Activation(top.activation or "linear", name="predictions")(x)
