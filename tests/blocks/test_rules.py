"""Keras' rules for widths and borders."""

import pytest

import numbacnn as nn
from numbacnn.blocks.rules import correct_pad, divisible


@pytest.mark.parametrize(("value", "expected"), [(1, 8), (11, 16), (11.9, 16), (12, 16), (13.4, 16), (17, 16), (18, 24), (32, 32), (33.6, 32), (44.8, 48)])
def test_widths_are_multiples_of_8(value, expected):
    assert divisible(value) == expected and divisible(value) >= 0.9 * value


@pytest.mark.parametrize(
    ("shape", "kernel", "expected"), [((8, 7, 1), 3, ((0, 1), (1, 1))), ((7, 8, 1), 5, ((2, 2), (1, 2))), ((None, 8, 1), 3, ((0, 1), (0, 1)))]
)
def test_borders_depend_on_even_and_odd(shape, kernel, expected):
    assert correct_pad(nn.Input(shape), kernel) == expected


def test_the_registered_mobilenet_takes_pictures_of_any_size_as_keras_does():
    ours, theirs = nn.build("mobilenet_v2", (None, None, 3), 5), nn.keras_application("MobileNetV2", 1000, (None, None, 3), include_top=False)
    for name in ("Conv1", "block_1_pad", "block_13_pad", "Conv_1"):
        assert ours.get_layer(name).layer == theirs.get_layer(name).layer
