"""What is special to the convolution layers: errors, sizes that are not known yet, the choice of an algorithm."""

import pytest

from numbacnn.convolutions import PRODUCTS, WEIGHTS, Convolution
from numbacnn.errors import ConfigError, ShapeError
from numbacnn.layers.conv2d import Conv2D
from numbacnn.layers.conv2d_transpose import Conv2DTranspose


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Conv2D(4, 3, strides=2, dilation_rate=2), "strides=(2, 2) and dilation_rate=(2, 2)"),
        (lambda: Conv2D(4, 3, groups=3), "filters=4 cannot be shared out among groups=3"),
        (lambda: Conv2D(4, 0), "kernel_size=0"),
        (lambda: Conv2D(0, 3), "filters=0"),
        (lambda: Conv2D(4, 3, padding="full"), "padding='full'"),
        (lambda: Conv2DTranspose(4, 3, strides=2, dilation_rate=2), "cannot both be above 1"),
        (lambda: Conv2DTranspose(4, 3, strides=2, output_padding=2), "output_padding=(2, 2) must be below strides=(2, 2)"),
    ],
)
def test_bad_options(make, says):
    with pytest.raises(ConfigError) as error:
        make()
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (Conv2D(4, 3), (2, 5, 3), "kernel_size=(3, 3) with dilation_rate=(1, 1) does not fit in"),
        (Conv2D(4, 3, groups=2), (5, 5, 3), "3 channels cannot be shared out among groups=2"),
        (Conv2D(4, 3), (5,), "images"),
        (Conv2DTranspose(4, 2, 2, "same", 0), (1, 5, 3), "nothing is left with output_padding=(0, 0)"),
    ],
)
def test_bad_shapes(layer, shape, says):
    with pytest.raises(ShapeError) as error:
        layer.output_shape(shape)
    assert says in str(error.value)


def test_unknown_sizes():
    assert Conv2D(4, 3, padding="same").output_shape((None, 7, 3)) == (None, 7, 4)
    assert Conv2D(4, 3, 2).output_shape((None, None, 3)) == (None, None, 4)
    assert Conv2DTranspose(4, 3, 2).output_shape((None, 3, 3)) == (None, 7, 4)


@pytest.mark.parametrize(
    ("channels", "size", "options", "name"),
    [
        (3, 1, {}, "pointwise"),
        (3, 1, {"strides": (2, 2)}, "direct"),
        (3, 3, {}, "direct, with borders"),
        (3, 3, {"dilation": (2, 2)}, "direct, with borders"),
        (8, 3, {}, "direct"),
    ],
)
def test_choice_of_algorithm(channels, size, options, name):
    problem = Convolution(2, (5, 5, channels), (5, 5, 4), (size, size), low=(size // 2, size // 2), **options)
    for candidates in (PRODUCTS, WEIGHTS):
        assert next(c.name for c in candidates if c.supports(problem) is None) == name


def test_a_transposed_problem_reads_what_the_other_writes():
    problem = Convolution(2, (9, 7, 3), (4, 3, 8), (3, 3), (2, 2))
    assert problem.transpose.source == problem.target == (4, 3, 8)
    assert problem.transpose.transpose == problem
    assert str(problem.transpose) != str(problem)
