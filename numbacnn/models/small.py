"""small: a plain stack of convolutions that trains in minutes on a CPU, for images from 8x8 to a few hundred pixels."""

from ..functional import Symbol
from ..layers.batch_normalization import BatchNormalization
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.dropout import Dropout
from ..layers.global_average_pooling2d import GlobalAveragePooling2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.relu import ReLU
from .architecture import architecture


@architecture(splits=("stage3", "predictions"), pool="average_pool")
def small(x: Symbol, classes: int, width: int = 32, dropout: float = 0.2) -> Symbol:
    """(H, W, C) -> (classes,) logits.

    Stages of 3x3 convolution, batch normalization and ReLU, each twice as wide as the one before and with 2x2 max-pooling
    behind it, until 4 pixels are left (four stages at most); then global average pooling, dropout and a dense layer.
    """
    sides = [s for s in x.shape[:2] if s is not None]
    stages = max(1, min(4, (min(sides) // 4).bit_length())) if sides else 4
    for stage in range(stages):
        for half in ("a", "b")[: 1 if stage < 2 and stages == 4 else 2]:
            x = Conv2D(width << stage, 3, padding="same", use_bias=False, name=f"stage{stage + 1}{half}_conv")(x)
            x = BatchNormalization(momentum=0.9, name=f"stage{stage + 1}{half}_bn")(x)
            x = ReLU(name=f"stage{stage + 1}{half}_relu")(x)
        if stage < stages - 1:
            x = MaxPooling2D(2, name=f"stage{stage + 1}_pool")(x)
    x = GlobalAveragePooling2D(name="average_pool")(x)
    x = Dropout(dropout, name="dropout")(x)
    return Dense(classes, name="predictions")(x)
