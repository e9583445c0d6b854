"""ConvNeXt: a residual network with the habits of transformers (Liu et al., 2022, A ConvNet for the 2020s). Takes pixels 0..255."""

from collections.abc import Sequence

from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.add import Add
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.layer_normalization import LayerNormalization
from ..layers.layer_scale import LayerScale
from ..layers.normalization import Normalization
from .common import Names, Top, counted

MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
VARIANCE = ((0.229 * 255) ** 2, (0.224 * 255) ** 2, (0.225 * 255) ** 2)


def _normalized(x: Symbol, name: str) -> Symbol:
    return LayerNormalization(epsilon=1e-6, name=name)(x)


def _block(x: Symbol, name: str, names: Names) -> Symbol:
    width = x.shape[-1]
    y = Conv2D(width, 7, padding="same", groups=width, name=f"{name}_depthwise_conv")(x)
    y = _normalized(y, f"{name}_layernorm")
    y = Dense(4 * width, name=f"{name}_pointwise_conv_1")(y)
    y = Activation("gelu", name=f"{name}_gelu")(y)
    y = Dense(width, name=f"{name}_pointwise_conv_2")(y)
    y = LayerScale(1e-6, width, name=f"{name}_layer_scale")(y)
    y = Activation("linear", name=f"{name}_identity")(y)
    return Add(name=names("add"))([x, y])


def convnext(x: Symbol, top: Top, *, name: str, depths: Sequence[int], widths: Sequence[int]) -> Symbol:
    """depths, widths: blocks and channels of each of the four stages; name: what all names begin with; stride 32.

    The stem and the downsamplings are models of their own in Keras; here their layers are called after those, "model/layer".
    """
    names = Names()
    if x.shape[-1] == 3:
        x = Normalization(mean=MEAN, variance=VARIANCE, name=f"{name}_prestem_normalization")(x)
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        if stage == 0:
            x = Conv2D(width, 4, 4, name=f"{name}_stem/{name}_stem_conv")(x)
            x = _normalized(x, f"{name}_stem/{name}_stem_layernorm")
        else:
            block = f"{name}_downsampling_block_{stage - 1}"
            x = _normalized(x, f"{block}/{name}_downsampling_layernorm_{stage - 1}")
            x = Conv2D(width, 2, 2, name=f"{block}/{name}_downsampling_conv_{stage - 1}")(x)
        for block in range(depth):
            x = _block(x, f"{name}_stage_{stage}_block_{block}", names)
    if not top.include:
        return _normalized(counted(x, top), "layer_normalization")
    x = GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
    x = _normalized(x, f"{name}_head_layernorm")
    return Dense(top.classes, top.activation, name=f"{name}_head_dense")(x)
