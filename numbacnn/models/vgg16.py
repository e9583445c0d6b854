"""vgg16: sixteen plain layers (Simonyan and Zisserman, 2014). Layer names are those of keras.applications."""

from ..functional import Symbol
from ..layers.conv2d import Conv2D
from ..layers.dense import Dense
from ..layers.flatten import Flatten
from ..layers.max_pooling2d import MaxPooling2D
from .architecture import architecture
from .recipes import recipe

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, filters


@architecture(splits=("block4", "predictions"), pool="flatten", preprocess=recipe("caffe"))
def vgg16(x: Symbol, classes: int) -> Symbol:
    """(H, W, C) -> (classes,) logits; stride 32, so images of at least 32 pixels; the size is fixed by the first dense layer, `fc1`."""
    for stage, (count, filters) in enumerate(STAGES, 1):
        for number in range(1, count + 1):
            x = Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"block{stage}_conv{number}")(x)
        x = MaxPooling2D(2, name=f"block{stage}_pool")(x)
    x = Flatten(name="flatten")(x)
    for number in (1, 2):
        x = Dense(4096, activation="relu", kernel_initializer="he_normal", name=f"fc{number}")(x)
    return Dense(classes, name="predictions")(x)
