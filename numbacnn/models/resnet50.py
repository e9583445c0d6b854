"""resnet50: residual network of 50 layers with bottlenecks, whose 3x3 convolution has the strides as in torchvision (He et al., 2015)."""

from ..functional import Symbol
from .architecture import architecture
from .residual import FACTS, bottleneck, residual_network


@architecture(**FACTS)
def resnet50(x: Symbol, classes: int) -> Symbol:
    """(H, W, C) -> (classes,) logits; stride 32, so images from about 32 pixels on."""
    return residual_network(x, classes, bottleneck, (3, 4, 6, 3))
