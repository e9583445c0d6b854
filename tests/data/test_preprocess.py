"""Normalization, and the checks of Preprocess."""

import json

import numpy as np
import pytest

from numbacnn.data.preprocess import Preprocess
from numbacnn.errors import ConfigError, DataError, FileError


def test_default_is_minus_one_to_one():
    x = Preprocess(2).apply(np.array([0, 255, 51], np.uint8).reshape(1, 1, 3).repeat(2, 0).repeat(2, 1))
    assert x.dtype == np.float32 and x.shape == (2, 2, 3)
    np.testing.assert_allclose(x[0, 0], [-1, 1, -0.6], atol=1e-6)


def test_every_option_of_normalization():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    rgb = Preprocess((4, 5), scale=1 / 255, mean=mean, std=std).apply(images)
    np.testing.assert_allclose(rgb, (images / 255 - mean) / std, rtol=1e-6, atol=1e-6)
    bgr = Preprocess((4, 5), scale=1.0, mean=(1.0, 2.0, 3.0), order="bgr").apply(images)
    np.testing.assert_allclose(bgr, images[..., ::-1] - np.array([1.0, 2.0, 3.0]), rtol=1e-6)
    gray = Preprocess((4, 5), "gray").apply(images[..., :1])
    np.testing.assert_allclose(gray, images[..., :1] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(Preprocess((4, 5)).apply(images[:, ::-1]), Preprocess((4, 5)).apply(images)[:, ::-1])


def test_other_arrays_are_refused():
    for images in (np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 5, 3), np.uint8), np.zeros((4, 4), np.uint8)):
        with pytest.raises(DataError, match="not uint8 of shape"):
            Preprocess(4).apply(images)


def test_json_and_back():
    for preprocess in (
        Preprocess(),
        Preprocess(8, "gray", "pad"),
        Preprocess((224, 224), "rgb", "crop", "bicubic", 256, 1 / 128, 127 / 128, (1, 1, 1), "bgr"),
    ):
        assert Preprocess.from_json(json.loads(json.dumps(preprocess.to_json()))) == preprocess
    with pytest.raises(FileError, match="sharpen"):
        Preprocess.from_json({"sharpen": 1})
    with pytest.raises(FileError, match="resize"):
        Preprocess.from_json({"resize": "melt"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 0}, "size=0"),
        ({"size": (8,)}, "size="),
        ({"size": (8, 2.5)}, "size="),
        ({"size": "8"}, "size="),
        ({"color": "pink"}, "color='pink'"),
        ({"resize": "melt"}, "'stretch' or 'crop' or 'pad'"),
        ({"interpolation": "best"}, "interpolation"),
        ({"order": "gbr"}, "order"),
        ({"size": 64, "resize": "crop", "resize_to": 63}, "resize_to=63"),
        ({"resize_to": 80}, "is for resize='crop'"),
        ({"mean": (1.0, 2.0)}, "mean="),
        ({"color": "gray", "std": (1.0, 1.0, 1.0)}, "std="),
        ({"std": 0.0}, "not 0"),
        ({"scale": float("nan")}, "finite"),
    ],
)
def test_values_that_cannot_work(fields, message):
    with pytest.raises(ConfigError, match=message):
        Preprocess(**fields)


def test_another_size_of_the_same_part_of_an_image():
    wide = Preprocess((224, 224), resize="crop", resize_to=256)
    assert wide.resized(112) == Preprocess(112, resize="crop", resize_to=128)
    assert wide.resized((100, 448)) == Preprocess((100, 448), resize="crop", resize_to=512)
    assert Preprocess(8, "gray", "pad").resized((5, 6)) == Preprocess((5, 6), "gray", "pad")
    for size in range(1, 300):
        assert wide.resized(size).resize_to >= size
