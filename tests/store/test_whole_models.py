"""Whole models written in every format and read again, and weights alone refused kindly."""

import os

import numpy as np
import pytest
from networks import named, same, weights

import numbacnn as nn
from numbacnn.errors import FileError
from numbacnn.store import files

FORMATS = ("numbacnn", "keras", "keras_h5")


@pytest.mark.parametrize("form", FORMATS)
def test_everything_comes_back(tmp_path, form):
    model = named(seed=1)
    model.classes, model.preprocess = ("a", "b", "ü/c", "d", "e"), nn.Preprocess(size=(6, 6), mean=(1.0, 2.0, 3.0))
    model.get_layer("stem_conv").trainable = False
    model.save(tmp_path / "model", form)
    assert os.listdir(tmp_path) == ["model"]
    back = nn.load(tmp_path / "model")
    assert same(weights(back), weights(model))
    assert (back.name, back.classes, back.preprocess) == (model.name, model.classes, model.preprocess)
    assert {o: h.trainable for o, h in back.handles.items() if h.specs} == {o: h.trainable for o, h in model.handles.items() if h.specs}
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(back.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMATS)
def test_shared_layers_models_in_models_and_several_ends(tmp_path, form):
    inner_x = nn.Input((4, 4, 2), name="inner_x")
    inner = nn.Model(inner_x, nn.Flatten(name="flat")(nn.Conv2D(3, 3, name="conv")(inner_x)), name="eye", seed=1)
    left, right = nn.Input((4, 4, 2), name="left"), nn.Input((4, 4, 2), name="right")
    both = nn.Concatenate(name="both")([inner(left), inner(right)])
    model = nn.Model([left, right], [nn.Dense(3, name="kind")(both), nn.Dense(1, name="distance")(both)], seed=2)
    model.save(tmp_path / "model", form)
    back = nn.load(tmp_path / "model")
    xs = [np.random.default_rng(i).standard_normal((2, 4, 4, 2)).astype(np.float32) for i in range(2)]
    for mine, again in zip(model.predict(xs), back.predict(xs), strict=True):
        np.testing.assert_allclose(again, mine, rtol=1e-5, atol=1e-6)
    assert back.count_params() == model.count_params()
    target = nn.Model([left, right], [nn.Dense(3, name="kind")(both), nn.Dense(1, name="distance")(both)], seed=3)
    target.load_weights(tmp_path / "model")
    assert same(weights(target), weights(model))


@pytest.mark.parametrize(
    ("name", "form"), [("x.keras", "keras"), ("x.KERAS", "keras"), ("x.h5", "numbacnn"), ("x", "numbacnn"), ("x.weights.h5", "weights_h5")]
)
def test_formats_by_ending(name, form):
    assert files.format_of(name) == form


@pytest.mark.parametrize("form", ["weights_h5", "legacy_weights"])
def test_weights_alone_are_no_model(tmp_path, form):
    named().save_weights(tmp_path / "x.h5", form)
    with pytest.raises(FileError, match=r"x\.h5 is .*: it holds weights alone\. Make the model first, then model\.load_weights\('.*x\.h5'\)"):
        nn.load(tmp_path / "x.h5")


@pytest.mark.parametrize("form", [*FORMATS, "weights_h5"])
def test_the_old_file_stays_when_writing_fails(tmp_path, form, monkeypatch):
    model, path = named(), tmp_path / "x"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(FileError, match=r"cannot be written: .*No space"):
        (model.save_weights if form == "weights_h5" else model.save)(path, form)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]
