"""nn.describe: every format, with layers that are not installed too."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from networks import named, unnamed

import numbacnn as nn
from numbacnn.errors import FileError

FORMATS = {"numbacnn": True, "keras": True, "keras_h5": True, "weights_h5": False, "legacy_weights": False}


@pytest.mark.parametrize(("form", "whole"), FORMATS.items())
def test_every_format(tmp_path, form, whole):
    model, path = named(), tmp_path / "x"
    (model.save if whole else model.save_weights)(path, form)
    found = nn.describe(path)
    assert (found.format, found.whole, found.path, found.bytes) == (form, whole, str(path), path.stat().st_size)
    assert found.parameters == model.count_params()
    layers = {layer.name: layer for layer in found.layers}
    weighted = [name for name in layers if layers[name].weights]
    expected = [h.name for h in model.layers if h.specs]
    assert weighted == expected or (form == "weights_h5" and sorted(weighted) == sorted(expected))  # HDF5 lists groups by their names
    assert [(w.shape, w.dtype) for w in layers["stem_bn"].weights] == [((4,), "float32")] * 4
    assert layers["predictions"].parameters == 25
    names = ["0", "1"] if form in ("keras", "weights_h5") else ["kernel", "bias"]
    assert [w.name for w in layers["predictions"].weights] == names
    if whole:
        assert layers["stem_conv"].class_name == "Conv2D" and layers["stem_relu"].class_name == "ReLU" and not layers["stem_relu"].weights
        assert set(found.versions) == {"numbacnn" if form == "numbacnn" else "keras"}
    assert json.loads(json.dumps(found.to_json()))["parameters"] == model.count_params()


def test_an_archive_without_names_of_layers_in_its_weights(tmp_path):
    model = unnamed()
    model.save(tmp_path / "x.keras")
    found = nn.describe(tmp_path / "x.keras")
    assert [layer.name for layer in found.layers if layer.weights] == ["conv2d_1", "conv2d_2", "dense_1"]


def test_layers_that_are_not_installed(tmp_path):
    config = {"class_name": "Functional", "config": {"layers": [{"class_name": "MyLayer", "config": {"name": "mine"}}, {"class_name": 3}, None]}}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"mine"])
        layer = group.create_group("mine")
        layer.attrs["weight_names"] = np.array([b"mine/w:0"])
        layer["mine/w:0"] = np.zeros((2, 3), np.float16)
    found = nn.describe(tmp_path / "x.h5")
    assert found.versions == {"keras": "2.15.0"}
    (layer,) = found.layers
    assert (layer.name, layer.class_name, layer.weights[0].name, layer.weights[0].dtype, layer.parameters) == ("mine", "MyLayer", "w:0", "float16", 6)


def test_quantized_and_foreign_files(tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros((2, 3), np.int8)
    assert nn.describe(tmp_path / "x.weights.h5").layers[0].weights[0].dtype == "int8"
    (tmp_path / "y").write_text("no model")
    with pytest.raises(FileError, match="is no model and holds no weights"):
        nn.describe(tmp_path / "y")


@pytest.mark.parametrize("file", ["net.pth", "net_stream.pth"])
def test_pytorch(file):
    found = nn.describe(Path(__file__).parent / "torch" / "fixtures" / file)
    assert (found.format, found.whole) == ("torch", False)
    layers = {layer.name: layer for layer in found.layers}
    assert {"conv1", "bn1", "fc2"} <= set(layers)
    assert [(w.name, w.shape) for w in layers["fc2"].weights] == [("weight", (2, 3)), ("bias", (2,))]
