"""MobileNetV2 (Sandler et al., 2018)."""

from ..blocks.mobilenet_v2 import features
from ..functional import Symbol
from .common import Top, classify, counted


def mobilenet_v2(x: Symbol, top: Top, *, alpha: float = 1.0) -> Symbol:
    """alpha makes every layer narrower or wider, the last one only wider; stride 32."""
    x = features(x, alpha)
    return classify(x, top, "global_average_pooling2d") if top.include else counted(x, top)
