"""NASNet-A, mobile and large: cells that a search found (Zoph et al., 2018, Learning transferable architectures for scalable image recognition)."""

from ..blocks.rules import correct_pad
from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.add import Add
from ..layers.average_pooling2d import AveragePooling2D
from ..layers.batch_normalization import BatchNormalization
from ..layers.concatenate import Concatenate
from ..layers.conv2d import Conv2D
from ..layers.cropping2d import Cropping2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.separable_conv2d import SeparableConv2D
from ..layers.zero_padding2d import ZeroPadding2D
from .common import Names, Top, classify, counted


def _normalized(x: Symbol, name: str) -> Symbol:
    return BatchNormalization(momentum=0.9997, name=name)(x)


def _one(x: Symbol, filters: int, name: str) -> Symbol:
    return Conv2D(filters, 1, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)(x)


class _Builder:
    """The cells of one network, which count their unnamed layers together."""

    def __init__(self):
        self.names = Names()

    def relu(self, x: Symbol) -> Symbol:
        return Activation("relu", name=self.names("activation"))(x)

    def separable(self, x: Symbol, filters: int, kernel: int, block: str, strides: int = 1) -> Symbol:
        """ReLU, separable convolution and normalization, twice; the stride is in the first."""
        x = self.relu(x)
        if strides == 2:
            x = ZeroPadding2D(correct_pad(x, kernel), name=f"separable_conv_1_pad_{block}")(x)
        padding = "valid" if strides == 2 else "same"
        x = SeparableConv2D(filters, kernel, strides, padding, use_bias=False, name=f"separable_conv_1_{block}")(x)
        x = self.relu(_normalized(x, f"separable_conv_1_bn_{block}"))
        x = SeparableConv2D(filters, kernel, padding="same", use_bias=False, name=f"separable_conv_2_{block}")(x)
        return _normalized(x, f"separable_conv_2_bn_{block}")

    def adjusted(self, before: Symbol | None, x: Symbol, filters: int, block: str) -> Symbol:
        """The output of the cell before the last, in the size and width that this cell needs."""
        if before is None:
            return x
        if before.shape[-2] != x.shape[-2]:  # half the size: even pixels, and odd ones
            p = Activation("relu", name=f"adjust_relu_1_{block}")(before)
            even = AveragePooling2D(1, 2, name=f"adjust_avg_pool_1_{block}")(p)
            even = _one(even, filters // 2, f"adjust_conv_1_{block}")
            odd = ZeroPadding2D(((0, 1), (0, 1)), name=self.names("zero_padding2d"))(p)
            odd = Cropping2D(((1, 0), (1, 0)), name=self.names("cropping2d"))(odd)
            odd = AveragePooling2D(1, 2, name=f"adjust_avg_pool_2_{block}")(odd)
            odd = _one(odd, filters // 2, f"adjust_conv_2_{block}")
            return _normalized(Concatenate(name=self.names("concatenate"))([even, odd]), f"adjust_bn_{block}")
        if before.shape[-1] != filters:
            return _normalized(_one(self.relu(before), filters, f"adjust_conv_projection_{block}"), f"adjust_bn_{block}")
        return before

    def normal(self, x: Symbol, before: Symbol, filters: int, block: str) -> Symbol:
        """A cell that keeps the size."""
        p = self.adjusted(before, x, filters, block)
        h = _normalized(_one(self.relu(x), filters, f"normal_conv_1_{block}"), f"normal_bn_1_{block}")

        def mean(y: Symbol, place: str) -> Symbol:
            return AveragePooling2D(3, 1, "same", name=f"normal_{place}_{block}")(y)

        pairs = [
            [self.separable(h, filters, 5, f"normal_left1_{block}"), self.separable(p, filters, 3, f"normal_right1_{block}")],
            [self.separable(p, filters, 5, f"normal_left2_{block}"), self.separable(p, filters, 3, f"normal_right2_{block}")],
            [mean(h, "left3"), p],
            [mean(p, "left4"), mean(p, "right4")],
            [self.separable(h, filters, 3, f"normal_left5_{block}"), h],
        ]
        sums = [Add(name=f"normal_add_{i}_{block}")(pair) for i, pair in enumerate(pairs, 1)]
        return Concatenate(name=f"normal_concat_{block}")([p, *sums])

    def reduction(self, x: Symbol, before: Symbol | None, filters: int, block: str) -> Symbol:
        """A cell that halves the size."""
        p = self.adjusted(before, x, filters, block)
        h = _normalized(_one(self.relu(x), filters, f"reduction_conv_1_{block}"), f"reduction_bn_1_{block}")
        padded = ZeroPadding2D(correct_pad(h, 3), name=f"reduction_pad_1_{block}")(h)
        left = self.separable(h, filters, 5, f"reduction_left1_{block}", 2)
        right = self.separable(p, filters, 7, f"reduction_right1_{block}", 2)
        first = Add(name=f"reduction_add_1_{block}")([left, right])
        left = MaxPooling2D(3, 2, name=f"reduction_left2_{block}")(padded)
        right = self.separable(p, filters, 7, f"reduction_right2_{block}", 2)
        second = Add(name=f"reduction_add_2_{block}")([left, right])
        left = AveragePooling2D(3, 2, name=f"reduction_left3_{block}")(padded)
        right = self.separable(p, filters, 5, f"reduction_right3_{block}", 2)
        third = Add(name=f"reduction_add3_{block}")([left, right])
        means = AveragePooling2D(3, 1, "same", name=f"reduction_left4_{block}")(first)
        fourth = Add(name=self.names("add"))([second, means])
        left = self.separable(first, filters, 3, f"reduction_left4_{block}")
        right = MaxPooling2D(3, 2, name=f"reduction_right5_{block}")(padded)
        fifth = Add(name=f"reduction_add4_{block}")([left, right])
        return Concatenate(name=f"reduction_concat_{block}")([second, third, fourth, fifth])


def nasnet(x: Symbol, top: Top, *, penultimate_filters: int, blocks: int, stem_filters: int, skip_reduction: bool) -> Symbol:
    """penultimate_filters: channels before the classes; blocks: normal cells of each of the three stages; stride 32.

    skip_reduction: the first cell behind a reduction sees the cell before it instead of the reduction's own input.
    """
    made, filters = _Builder(), penultimate_filters // 24
    x = Conv2D(stem_filters, 3, 2, use_bias=False, kernel_initializer="he_normal", name="stem_conv1")(x)
    x = _normalized(x, "stem_bn1")
    before = None
    for block, width in (("stem_1", filters // 4), ("stem_2", filters // 2)):
        x, before = made.reduction(x, before, width, block), x
    for stage in range(3):
        if stage:
            reduced = made.reduction(x, before, filters << stage, f"reduce_{stage * blocks}")
            x, before = reduced, before if skip_reduction else x
        for block in range(blocks):
            number = stage * blocks + block + (1 if stage else 0)
            x, before = made.normal(x, before, filters << stage, str(number)), x
    x = made.relu(x)
    return classify(x, top, "global_average_pooling2d") if top.include else counted(x, top)
