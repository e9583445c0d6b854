"""resnet34: residual network of 34 layers in basic blocks (He et al., 2015, Deep residual learning for image recognition)."""

from ..functional import Symbol
from .architecture import architecture
from .residual import FACTS, basic_block, residual_network


@architecture(**FACTS)
def resnet34(x: Symbol, classes: int) -> Symbol:
    """(H, W, C) -> (classes,) logits; stride 32, so images from about 32 pixels on."""
    return residual_network(x, classes, basic_block, (3, 4, 6, 3))
