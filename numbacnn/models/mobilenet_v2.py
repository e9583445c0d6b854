"""mobilenet_v2: inverted residuals with depthwise convolutions (Sandler et al., 2018). Layer names are those of keras.applications."""

from ..blocks.mobilenet_v2 import features
from ..functional import Symbol
from ..layers.dense import Dense
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from .architecture import architecture
from .recipes import recipe


@architecture(splits=("block_6", "predictions"), pool="global_average_pooling2d", preprocess=recipe("tf"))
def mobilenet_v2(x: Symbol, classes: int, alpha: float = 1.0) -> Symbol:
    """(H, W, C) -> (classes,) logits; alpha makes every layer narrower or wider; stride 32."""
    y = GlobalAveragePooling2D(name="global_average_pooling2d")(features(x, alpha))
    return Dense(classes, name="predictions")(y)
