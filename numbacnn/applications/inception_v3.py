"""InceptionV3: branches of factorized convolutions side by side (Szegedy et al., 2016, Rethinking the Inception architecture for computer vision)."""

from ..functional import Symbol
from ..layers.activation import Activation
from ..layers.average_pooling2d import AveragePooling2D
from ..layers.batch_normalization import BatchNormalization
from ..layers.concatenate import Concatenate
from ..layers.conv2d import Conv2D
from ..layers.max_pooling2d import MaxPooling2D
from .common import Names, Top, classify, counted

Step = tuple[int, ...]  # filters, kernel rows, kernel columns[, 2: strides of 2 without padding]


def _convolution(x: Symbol, names: Names, filters: int, rows: int, columns: int, strides: int = 1, padding: str | None = None) -> Symbol:
    padding = padding or ("valid" if strides == 2 else "same")
    x = Conv2D(filters, (rows, columns), strides, padding, use_bias=False, name=names("conv2d"))(x)
    x = BatchNormalization(scale=False, name=names("batch_normalization"))(x)
    return Activation("relu", name=names("activation"))(x)


def _chain(x: Symbol, names: Names, *steps: Step) -> Symbol:
    for step in steps:
        x = _convolution(x, names, *step)
    return x


def _mixed(x: Symbol, names: Names, name: str, branches: tuple[tuple[Step, ...], ...], pool: int) -> Symbol:
    """Branches side by side, and one that pools: to `pool` filters, or (0) to half the size without a convolution."""
    outputs = [_chain(x, names, *branch) for branch in branches]
    if pool:
        means = AveragePooling2D(3, 1, "same", name=names("average_pooling2d"))(x)
        outputs.append(_convolution(means, names, pool, 1, 1))
    else:
        outputs.append(MaxPooling2D(3, 2, name=names("max_pooling2d"))(x))
    return Concatenate(name=name)(outputs)


def _seven(width: int) -> tuple[tuple[Step, ...], ...]:
    """Branches whose 7x7 kernels are factorized into 7x1 and 1x7."""
    short = ((width, 1, 1), (width, 1, 7), (192, 7, 1))
    return ((192, 1, 1),), short, ((width, 1, 1), (width, 7, 1), (width, 1, 7), (width, 7, 1), (192, 1, 7))


def _wide(x: Symbol, names: Names, number: int) -> Symbol:
    """The last blocks: 1x3 and 3x1 kernels side by side at the ends of two branches."""
    outputs = [_convolution(x, names, 320, 1, 1)]
    for steps, name in ((((384, 1, 1),), f"mixed9_{number}"), (((448, 1, 1), (384, 3, 3)), "")):
        y = _chain(x, names, *steps)
        ends = [_convolution(y, names, 384, 1, 3), _convolution(y, names, 384, 3, 1)]
        outputs.append(Concatenate(name=name or names("concatenate"))(ends))
    means = AveragePooling2D(3, 1, "same", name=names("average_pooling2d"))(x)
    outputs.append(_convolution(means, names, 192, 1, 1))
    return Concatenate(name=f"mixed{9 + number}")(outputs)


def inception_v3(x: Symbol, top: Top) -> Symbol:
    """Stride 32, without padding at the borders; images from 75 pixels on."""
    names = Names()
    x = _convolution(x, names, 32, 3, 3, 2)
    x = _convolution(x, names, 32, 3, 3, padding="valid")
    x = _convolution(x, names, 64, 3, 3)
    x = MaxPooling2D(3, 2, name=names("max_pooling2d"))(x)
    x = _convolution(x, names, 80, 1, 1, padding="valid")
    x = _convolution(x, names, 192, 3, 3, padding="valid")
    x = MaxPooling2D(3, 2, name=names("max_pooling2d"))(x)
    five = ((64, 1, 1),), ((48, 1, 1), (64, 5, 5)), ((64, 1, 1), (96, 3, 3), (96, 3, 3))
    for number, pool in enumerate((32, 64, 64)):
        x = _mixed(x, names, f"mixed{number}", five, pool)
    x = _mixed(x, names, "mixed3", (((384, 3, 3, 2),), ((64, 1, 1), (96, 3, 3), (96, 3, 3, 2))), 0)
    for number, width in enumerate((128, 160, 160, 192), 4):
        x = _mixed(x, names, f"mixed{number}", _seven(width), 192)
    ends = ((192, 1, 1), (320, 3, 3, 2)), ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3, 2))
    x = _mixed(x, names, "mixed8", ends, 0)
    for number in (0, 1):
        x = _wide(x, names, number)
    return classify(x, top) if top.include else counted(x, top)
