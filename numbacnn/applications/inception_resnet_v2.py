"""InceptionResNetV2: Inception's branches beside shortcuts (Szegedy et al., 2017, Inception-v4, Inception-ResNet)."""

from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.add import Add
from ..layers.average_pooling2d import AveragePooling2D
from ..layers.batch_normalization import BatchNormalization
from ..layers.concatenate import Concatenate
from ..layers.conv2d import Conv2D
from ..layers.max_pooling2d import MaxPooling2D
from ..layers.rescaling import Rescaling
from .common import Names, Top, classify, counted

Step = tuple  # filters, kernel[, 2: strides of 2 without padding]

# branches of the three kinds of residual blocks
BRANCHES = {
    "block35": (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
    "block17": (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    "block8": (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
}


def _convolution(
    x: Symbol, names: Names, filters: int, kernel: int | tuple[int, int], strides: int = 1, padding: str | None = None, name: str | None = None
) -> Symbol:
    padding = padding or ("valid" if strides == 2 else "same")
    x = Conv2D(filters, kernel, strides, padding, use_bias=False, name=name or names("conv2d"))(x)
    x = BatchNormalization(scale=False, name=f"{name}_bn" if name else names("batch_normalization"))(x)
    return Activation("relu", name=f"{name}_ac" if name else names("activation"))(x)


def _branch(x: Symbol, names: Names, steps: tuple[Step, ...]) -> Symbol:
    for step in steps:
        x = _convolution(x, names, *step)
    return x


def _reduction(x: Symbol, names: Names, name: str, branches: tuple) -> Symbol:
    """Branches that halve the size, and a pooling."""
    outputs = [_branch(x, names, branch) for branch in branches]
    return Concatenate(name=name)([*outputs, MaxPooling2D(3, 2, name=names("max_pooling2d"))(x)])


def _residual(x: Symbol, names: Names, kind: str, number: int, scale: float, active: bool = True) -> Symbol:
    """x + scale * branches(x). Keras has one layer for the sum, `custom_scale_layer`; here the scale is a Rescaling before an Add of that name."""
    name = f"{kind}_{number}"
    mixed = Concatenate(name=f"{name}_mixed")([_branch(x, names, branch) for branch in BRANCHES[kind]])
    up = Conv2D(x.shape[-1], 1, padding="same", name=f"{name}_conv")(mixed)
    total = names("custom_scale_layer")
    x = Add(name=total)([x, Rescaling(scale, name=f"{total}_scale")(up)])
    return Activation("relu", name=f"{name}_ac")(x) if active else x


def inception_resnet_v2(x: Symbol, top: Top) -> Symbol:
    """Stride 32, without padding at the borders; images from 75 pixels on."""
    names = Names()
    x = _convolution(x, names, 32, 3, 2)
    x = _convolution(x, names, 32, 3, padding="valid")
    x = _convolution(x, names, 64, 3)
    x = MaxPooling2D(3, 2, name=names("max_pooling2d"))(x)
    x = _convolution(x, names, 80, 1, padding="valid")
    x = _convolution(x, names, 192, 3, padding="valid")
    x = MaxPooling2D(3, 2, name=names("max_pooling2d"))(x)
    branches = [_branch(x, names, steps) for steps in (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)))]
    means = AveragePooling2D(3, 1, "same", name=names("average_pooling2d"))(x)
    x = Concatenate(name="mixed_5b")([*branches, _convolution(means, names, 64, 1)])
    for number in range(1, 11):
        x = _residual(x, names, "block35", number, 0.17)
    x = _reduction(x, names, "mixed_6a", (((384, 3, 2),), ((256, 1), (256, 3), (384, 3, 2))))
    for number in range(1, 21):
        x = _residual(x, names, "block17", number, 0.1)
    x = _reduction(x, names, "mixed_7a", (((256, 1), (384, 3, 2)), ((256, 1), (288, 3, 2)), ((256, 1), (288, 3), (320, 3, 2))))
    for number in range(1, 10):
        x = _residual(x, names, "block8", number, 0.2)
    x = _residual(x, names, "block8", 10, 1.0, active=False)
    x = _convolution(x, names, 1536, 1, name="conv_7b")
    return classify(x, top) if top.include else counted(x, top)
