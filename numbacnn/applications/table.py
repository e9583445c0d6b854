"""keras.applications' networks by name: the function that builds each, with what Keras says of it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ConfigError, UnknownNameError
from ..functional import Symbol
from . import efficientnet_v2 as v2
from .common import Top
from .convnext import convnext
from .densenet import densenet
from .efficientnet import efficientnet
from .inception_resnet_v2 import inception_resnet_v2
from .inception_v3 import inception_v3
from .mobilenet import mobilenet
from .mobilenet_v2 import mobilenet_v2
from .mobilenet_v3 import LARGE, SMALL, mobilenet_v3
from .nasnet import nasnet
from .resnet import resnet, resnet_v2
from .vgg import vgg
from .xception import xception


@dataclass(frozen=True)
class Application:
    """One network.

    function     (symbol, Top, **options) -> symbol
    title        the model's name in Keras; braces stand for options and the number of rows
    size         height and width that the published weights expect
    pixels       how the network wants its pixels: Keras' modes "caffe" (BGR minus means), "tf" (-1..1), "torch" (mean and deviation of
                 ImageNet), or "raw" (0..255: the network itself does the rest)
    splits       prefixes of the first layers of the second and third learning-rate group: the late layers (from stride 16 on), the head
    options      of the function
    smallest     height and width below which Keras refuses images
    any_size     whether the network with its top takes images of any size unless told otherwise
    fixed        whether the size must be known when the network is built
    """

    function: Callable[..., Symbol]
    title: str
    size: int
    pixels: Literal["caffe", "tf", "torch", "raw"]
    splits: tuple[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    smallest: int = 32
    any_size: bool = False
    fixed: bool = False

    def __call__(self, x: Symbol, top: Top, **options: Any) -> Symbol:
        """The network on x; options replace the table's. Raises ConfigError for one that the network does not have."""
        known = [p.name for p in inspect.signature(self.function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        if unknown := [name for name in options if name not in known]:
            raise ConfigError(f"{self.function.__name__} has no option {unknown[0]!r} (it has: {', '.join(known) or 'none'})")
        return self.function(x, top, **(self.options | options))


def _efficientnet(number: int, width: float, depth: float, size: int, dropout_rate: float) -> Application:
    options = {"width": width, "depth": depth, "dropout_rate": dropout_rate}
    return Application(efficientnet, f"efficientnetb{number}", size, "raw", ("block4a", "predictions"), options)


def _efficientnet_v2(ending: str, size: int, **options: Any) -> Application:
    return Application(v2.efficientnet_v2, f"efficientnetv2-{ending}", size, "raw", ("block4a", "predictions"), options)


def _convnext(ending: str, depths: tuple[int, ...], width: int) -> Application:
    name = f"convnext_{ending}"
    options = {"name": name, "depths": depths, "widths": tuple(width << stage for stage in range(4))}
    return Application(convnext, name, 224, "raw", (f"{name}_downsampling_block_1", f"{name}_head"), options)


def _resnet(layers: int, *blocks: int) -> dict[str, Application]:
    splits = ("conv4_block1", "predictions")
    return {
        f"ResNet{layers}": Application(resnet, f"resnet{layers}", 224, "caffe", splits, {"blocks": blocks}),
        f"ResNet{layers}V2": Application(resnet_v2, f"resnet{layers}v2", 224, "tf", splits, {"blocks": blocks}),
    }


def _nasnet(size: int, filters: int, blocks: int, stem_filters: int, skip_reduction: bool) -> Application:
    options = {"penultimate_filters": filters, "blocks": blocks, "stem_filters": stem_filters, "skip_reduction": skip_reduction}
    return Application(nasnet, "NASNet", size, "tf", (f"reduction_conv_1_reduce_{blocks}", "predictions"), options, fixed=True)


APPLICATIONS: dict[str, Application] = {
    "VGG16": Application(vgg, "vgg16", 224, "caffe", ("block4", "fc1"), {"repeats": (2, 2, 3, 3, 3)}),
    "VGG19": Application(vgg, "vgg19", 224, "caffe", ("block4", "fc1"), {"repeats": (2, 2, 4, 4, 4)}),
    **_resnet(50, 3, 4, 6, 3),
    **_resnet(101, 3, 4, 23, 3),
    **_resnet(152, 3, 8, 36, 3),
    "InceptionV3": Application(inception_v3, "inception_v3", 299, "tf", ("mixed3", "predictions"), smallest=75),
    "InceptionResNetV2": Application(inception_resnet_v2, "inception_resnet_v2", 299, "tf", ("mixed_6a", "predictions"), smallest=75),
    "Xception": Application(xception, "xception", 299, "tf", ("block4_", "predictions"), smallest=71),
    "MobileNet": Application(mobilenet, "mobilenet_{alpha:.2f}_{rows}", 224, "tf", ("conv_pad_6", "conv_preds")),
    "MobileNetV2": Application(mobilenet_v2, "mobilenetv2_{alpha:.2f}_{rows}", 224, "tf", ("block_6_", "predictions")),
    "MobileNetV3Small": Application(mobilenet_v3, "MobileNetV3Small", 224, "raw", ("expanded_conv_3_", "conv_2"), {"rows": SMALL, "last": 1024}, any_size=True),
    "MobileNetV3Large": Application(mobilenet_v3, "MobileNetV3Large", 224, "raw", ("expanded_conv_6_", "conv_2"), {"rows": LARGE, "last": 1280}, any_size=True),
    **{
        f"DenseNet{layers}": Application(densenet, f"densenet{layers}", 224, "torch", ("conv4_block1", "predictions"), {"blocks": blocks})
        for layers, blocks in ((121, (6, 12, 24, 16)), (169, (6, 12, 32, 32)), (201, (6, 12, 48, 32)))
    },
    "EfficientNetB0": _efficientnet(0, 1.0, 1.0, 224, 0.2),
    "EfficientNetB1": _efficientnet(1, 1.0, 1.1, 240, 0.2),
    "EfficientNetB2": _efficientnet(2, 1.1, 1.2, 260, 0.3),
    "EfficientNetB3": _efficientnet(3, 1.2, 1.4, 300, 0.3),
    "EfficientNetB4": _efficientnet(4, 1.4, 1.8, 380, 0.4),
    "EfficientNetB5": _efficientnet(5, 1.6, 2.2, 456, 0.4),
    "EfficientNetB6": _efficientnet(6, 1.8, 2.6, 528, 0.5),
    "EfficientNetB7": _efficientnet(7, 2.0, 3.1, 600, 0.5),
    "EfficientNetV2B0": _efficientnet_v2("b0", 224, stages=v2.B, statistics=True),
    "EfficientNetV2B1": _efficientnet_v2("b1", 240, stages=v2.B, statistics=True, depth=1.1),
    "EfficientNetV2B2": _efficientnet_v2("b2", 260, stages=v2.B, statistics=True, width=1.1, depth=1.2),
    "EfficientNetV2B3": _efficientnet_v2("b3", 300, stages=v2.B, statistics=True, width=1.2, depth=1.4),
    "EfficientNetV2S": _efficientnet_v2("s", 384, stages=v2.S, stem=24),
    "EfficientNetV2M": _efficientnet_v2("m", 480, stages=v2.M, stem=24),
    "EfficientNetV2L": _efficientnet_v2("l", 480, stages=v2.L, stem=32),
    "NASNetMobile": _nasnet(224, 1056, 4, 32, False),
    "NASNetLarge": _nasnet(331, 4032, 6, 96, True),
    "ConvNeXtTiny": _convnext("tiny", (3, 3, 9, 3), 96),
    "ConvNeXtSmall": _convnext("small", (3, 3, 27, 3), 96),
    "ConvNeXtBase": _convnext("base", (3, 3, 27, 3), 128),
    "ConvNeXtLarge": _convnext("large", (3, 3, 27, 3), 192),
    "ConvNeXtXLarge": _convnext("xlarge", (3, 3, 27, 3), 256),
}


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def find(name: str) -> Application:
    """The network that Keras calls `name`; "efficientnet_b0" and "EfficientNetB0" are one. Raises UnknownNameError."""
    known = {_plain(n): a for n, a in APPLICATIONS.items()}
    if not isinstance(name, str) or _plain(name) not in known:
        raise UnknownNameError("network of keras.applications", name, APPLICATIONS)
    return known[_plain(name)]
