"""nn.keras_application: outputs as live Keras gives them, ends, sizes, preprocessing and errors."""

import json
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

import numbacnn as nn
from numbacnn.errors import ConfigError, UnknownNameError

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tools"))

import weight_rule  # noqa: E402

KERAS = json.loads((ROOT / "tests" / "applications" / "outputs.json").read_text())
SLOW = ("VGG16", "ResNet50", "InceptionV3", "InceptionResNetV2", "Xception")  # seconds each; the others have all kinds of layers


def by_rule(model, name, factor):
    """The weights that tests/applications/make_outputs.py gave Keras' network."""
    arrays = weight_rule.weights([(f"{h.name}/{n}", h.specs[n].shape) for h in model.layers for n in h.order()], KERAS["seed"], name)
    model.set_weights([*arrays[:-2], *(a * np.float32(factor) for a in arrays[-2:])])


def keras_names(model):
    """Names of the layers that are layers in Keras, too: not the stand-ins of operations, and without the names of nested models."""
    names = [h.name.rpartition("/")[2] for h in model.layers]
    operations = ("Rescaling", "Add") if model.name.startswith("convnext") else ("Rescaling",)
    kinds = [type(h.layer).__name__ for h in model.layers]
    return [n for n, kind in zip(names, kinds, strict=True) if kind not in operations or not n.startswith(("add", "multiply", "custom_scale"))]


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in KERAS["networks"]])
def test_outputs_are_those_of_keras(name):
    known = KERAS["networks"][name]
    model = nn.keras_application(name, classes=KERAS["classes"], input_shape=(known["size"], known["size"], 3), seed=0)
    by_rule(model, name, known["factor"])
    expected = np.array(known["output"])
    pixels = weight_rule.pictures(len(expected), (known["size"], known["size"]), KERAS["seed"])
    assert np.ptp(expected, axis=1).min() > 0.05  # no output that any network would give
    assert zlib.crc32("\n".join(keras_names(model)).encode()) == known["names"]
    assert np.abs(model.predict(model.preprocess.apply(pixels)) - expected).max() <= 1e-4 * expected.max()


@pytest.mark.parametrize(
    ("name", "options", "input_shape", "output_shape"),
    [
        ("MobileNetV2", {"alpha": 0.35, "classes": 7}, (None, 224, 224, 3), (None, 7)),
        ("MobileNetV2", {"alpha": 0.35, "include_top": False}, (None, None, None, 3), (None, None, None, 1280)),
        ("mobilenet-v2", {"alpha": 0.35, "include_top": False, "pooling": "max"}, (None, None, None, 3), (None, 1280)),
        ("MobileNetV3Small", {"alpha": 0.75, "minimalistic": True, "classes": 2}, (None, None, None, 3), (None, 2)),
        ("EfficientNet_B0", {"include_top": False, "input_shape": (64, 48, 3)}, (None, 64, 48, 3), (None, 2, 2, 1280)),
        ("NASNetMobile", {"include_top": False, "pooling": "avg"}, (None, 224, 224, 3), (None, 1056)),
        ("EfficientNetV2B0", {"include_top": False, "input_shape": (32, 32, 1)}, (None, 32, 32, 1), (None, 1, 1, 1280)),
    ],
)
def test_sizes_and_ends(name, options, input_shape, output_shape):
    model = nn.keras_application(name, seed=0, **options)
    assert model.input_shape == input_shape and model.output_shape == output_shape


def test_the_name_is_that_of_keras():
    assert nn.keras_application("MobileNet", 2, (32, 32, 3), alpha=0.25, seed=0).name == "mobilenet_0.25_32"
    assert nn.keras_application("EfficientNetV2B0", include_top=False, seed=0).name == "efficientnetv2-b0"


@pytest.mark.parametrize(
    ("name", "options", "pixel", "expected"),
    [
        ("ResNet50", {}, (10, 20, 30), (30 - 103.939, 20 - 116.779, 10 - 123.68)),
        ("ResNet50V2", {}, (0, 51, 255), (-1, -0.6, 1)),
        ("DenseNet121", {}, (255, 0, 51), ((1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225)),
        ("MobileNetV3Small", {}, (10, 20, 255), (10, 20, 255)),
    ],
)
def test_preprocessing(name, options, pixel, expected):
    model = nn.keras_application(name, include_top=False, input_shape=(40, 32, 3), seed=0, **options)
    assert model.preprocess.size == (40, 32)
    pixels = np.broadcast_to(np.array(pixel, np.uint8), (40, 32, 3))
    np.testing.assert_allclose(model.preprocess.apply(pixels)[3, 5], expected, rtol=1e-5, atol=1e-5)


def test_preprocessing_of_other_channels():
    gray = nn.keras_application("MobileNetV2", include_top=False, input_shape=(32, 32, 1), alpha=0.35, seed=0)
    assert gray.preprocess.color == "gray" and gray.preprocess.channels == 1
    assert nn.keras_application("MobileNetV2", include_top=False, input_shape=(32, 32, 4), alpha=0.35, seed=0).preprocess is None
    assert nn.keras_application("MobileNetV2", include_top=False, alpha=0.35, seed=0).preprocess.size == (224, 224)


def test_groups_without_a_head_are_two():
    assert nn.keras_application("MobileNetV2", alpha=0.35, seed=0).splits == ("block_6_", "predictions")
    assert nn.keras_application("MobileNetV2", alpha=0.35, include_top=False, seed=0).splits == ("block_6_",)


def test_published_weights_of_efficientnet_have_a_layer_more():
    plain, published = (nn.keras_application("EfficientNetB0", include_top=False, imagenet=flag, seed=0) for flag in (False, True))
    names = [[handle.name for handle in model.layers] for model in (plain, published)]
    assert [name for name in names[1] if name not in names[0]] == ["rescaling_1"]
    assert published.get_layer("rescaling_1").layer.scale == pytest.approx([0.229**-0.5, 0.224**-0.5, 0.225**-0.5])


def test_logits():
    logits, softmax = (nn.keras_application("MobileNet", 4, (32, 32, 3), classifier_activation=a, alpha=0.25, seed=0) for a in (None, "softmax"))
    x = np.random.default_rng(1).random((2, 32, 32, 3), np.float32)
    e = np.exp(logits.predict(x))
    np.testing.assert_allclose(softmax.predict(x), e / e.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "ResNet51"}, UnknownNameError, "unknown network of keras.applications 'ResNet51'; did you mean 'ResNet50'"),
        ({"name": 50}, UnknownNameError, "unknown network of keras.applications 50"),
        ({"name": "VGG16", "classes": 0}, ConfigError, "classes=0 must be the number of classes"),
        ({"name": "VGG16", "classes": True}, ConfigError, "classes=True must be"),
        ({"name": "VGG16", "pooling": "mean"}, ConfigError, "pooling='mean' must be 'avg', 'max' or None"),
        ({"name": "VGG16", "classifier_activation": "sofmax"}, UnknownNameError, "sofmax"),
        ({"name": "VGG16", "input_shape": (224, 224)}, ConfigError, r"must be \(height, width, channels\)"),
        ({"name": "VGG16", "input_shape": 224}, ConfigError, r"must be \(height, width, channels\)"),
        ({"name": "VGG16", "input_shape": (31, 64, 3)}, ConfigError, "at least 32x32"),
        ({"name": "InceptionV3", "input_shape": (74, 75, 3)}, ConfigError, "at least 75x75"),
        ({"name": "VGG16", "input_shape": (None, None, 3)}, ConfigError, "give the size, or include_top=False"),
        ({"name": "NASNetMobile", "input_shape": (None, None, 3), "include_top": False}, ConfigError, "must be known here: give the size"),
        ({"name": "MobileNet", "beta": 1}, ConfigError, r"has no option 'beta' \(it has: alpha, depth_multiplier, dropout\)"),
        ({"name": "Xception", "alpha": 1}, ConfigError, "it has: none"),
    ],
)
def test_bad_input(arguments, error, words):
    with pytest.raises(error, match=words):
        nn.keras_application(**arguments)


def test_models_in_the_model_are_nested_in_files_of_keras(tmp_path):
    """ConvNeXt's stem and downsamplings: Keras has a Sequential for each, and its files of weights follow that."""
    tiny = {"classes": 3, "input_shape": (32, 32, 3), "depths": (1, 1, 1, 1), "widths": (4, 8, 12, 16)}
    model = nn.keras_application("ConvNeXtTiny", **tiny, seed=0)
    for form, file in (("weights_h5", "x.weights.h5"), ("legacy_weights", "x.h5")):
        other = nn.keras_application("ConvNeXtTiny", **tiny, seed=1)
        model.save_weights(tmp_path / file, form)
        other.load_weights(tmp_path / file)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    with h5py.File(tmp_path / "x.weights.h5") as file:
        assert file["layers/sequential/layers/conv2d/vars/0"].shape == (4, 4, 3, 4)
        assert file["layers/sequential_3/layers/conv2d/vars/0"].shape == (2, 2, 12, 16)
        assert file["layers/conv2d_3/vars/0"].shape == (7, 7, 1, 16)
    with h5py.File(tmp_path / "x.h5") as file:
        names = [name.decode() if isinstance(name, bytes) else name for name in file.attrs["layer_names"]]
        assert names[:4] == ["input_layer", "convnext_tiny_prestem_normalization", "convnext_tiny_stem", "convnext_tiny_stage_0_block_0_depthwise_conv"]
        assert len(file["convnext_tiny_stem"].attrs["weight_names"]) == 4
