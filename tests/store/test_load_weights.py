"""model.load_weights: from every format, into models with other names and tops; and nothing changes where something does not fit."""

import re
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from networks import named, same, shake, torch_net, unnamed, weights

import numbacnn as nn
from numbacnn.errors import ConfigError, FileError, UnknownNameError
from numbacnn.store import torch

FORMATS = ("numbacnn", "keras", "keras_h5", "weights_h5", "legacy_weights")


def put(model, path, form):
    (model.save_weights if form in ("weights_h5", "legacy_weights") else model.save)(path, form)
    return path


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("make", [named, unnamed])
def test_from_every_format(tmp_path, form, make):
    source, target = make(seed=1), make(seed=2)
    assert not same(weights(source), weights(target))
    before = {id(a) for a in target.network.weights().values()}
    target.load_weights(put(source, tmp_path / "x", form))
    assert same(weights(source), weights(target))
    assert {id(a) for a in target.network.weights().values()} == before  # in place: plans hold on to the memory


@pytest.mark.parametrize("form", FORMATS)
def test_made_names_of_another_session(tmp_path, form):
    source, target = unnamed(seed=1, before=17), unnamed(seed=2)
    target.load_weights(put(source, tmp_path / "x", form))
    assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), target.get_weights(), strict=True))


def test_what_was_derived_from_weights_is_derived_again(tmp_path):
    source, target = named(seed=1), named(seed=2)
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype(np.float32)
    before = target.predict(x)  # batch normalizations are folded into convolutions now
    target.load_weights(put(source, tmp_path / "x.weights.h5", "weights_h5"))
    np.testing.assert_array_equal(target.predict(x), source.predict(x))
    assert not np.allclose(target.predict(x), before)


def unchanged(model, path, message, **options):
    before = weights(model)
    with pytest.raises(FileError, match=message) as caught:
        model.load_weights(path, **options)
    assert str(path) in str(caught.value)
    assert same(weights(model), before)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
def test_another_head(tmp_path, form):
    source, target = named(seed=1, classes=7), named(seed=2, classes=5)
    path, before = put(source, tmp_path / "x", form), weights(target)
    said = unchanged(target, path, r"predictions/kernel is \(4, 5\) in the model, \(4, 7\) in the file")
    assert "predictions/bias is (5,) in the model, (7,) in the file" in said and "skip_mismatch=True" in said and "by_name" not in said
    with pytest.warns(UserWarning, match=r"left out, since it does not fit: .*predictions/kernel is"):
        target.load_weights(path, skip_mismatch=True)
    assert weights(target)["predictions/kernel"] is not None
    for place, array in weights(target).items():
        assert np.array_equal(array, (before if place.startswith("predictions") else weights(source))[place]), place


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("make", [named, lambda **options: named(head="answers", **options)], ids=["same", "other"])
def test_without_and_with_the_top(tmp_path, form, make):
    whole, base = make(seed=1), named(seed=2, top=False)
    lacking = unchanged(whole, put(base, tmp_path / "base", form), r"the file lacks: (predictions|answers)/kernel \(4, 5\), \w+/bias \(5,\)")
    assert "by_name=True loads" in lacking and "skip_mismatch=True loads" in lacking
    unchanged(base, put(whole, tmp_path / "whole", form), "only the file has: ")
    with pytest.warns(UserWarning, match="the file lacks"):
        whole.load_weights(tmp_path / "base", skip_mismatch=True)
    head = {p: a for p, a in weights(whole).items() if p.split("/")[0] in ("predictions", "answers")}
    assert same({p: a for p, a in weights(whole).items() if p not in head}, weights(base))
    shake(base, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        base.load_weights(put(whole, tmp_path / "whole", form), by_name=True)
    assert same(weights(base), {p: a for p, a in weights(whole).items() if p not in head})


def test_by_name_where_there_are_none(tmp_path):
    model = named()
    path = put(model, tmp_path / "x.weights.h5", "weights_h5")
    with h5py.File(path, "r+") as file:
        file["layers"].visititems(lambda _, item: item.attrs.pop("name", None) and None)
    shaken = shake(named(), 5)
    unchanged(shaken, path, r"by_name=True: the file has no names of layers", by_name=True)
    shaken.load_weights(path)
    assert same(weights(shaken), weights(model))
    other = nn.Model(x := nn.Input((3,)), nn.Dense(2, name="quite_other")(x), seed=0)
    unchanged(other, put(model, tmp_path / "y", "legacy_weights"), "no layer of the file fits the model: it has stem_conv", by_name=True)


def test_renamed_layers_take_weights_in_order(tmp_path):
    source, target = named(seed=1, head="old_name"), named(seed=2, head="new_name")
    for form in FORMATS:
        shake(target, 2)
        target.load_weights(put(source, tmp_path / "x", form))
        assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), target.get_weights(), strict=True))


@pytest.mark.parametrize(("kind", "close"), [("float16", 1e-3), ("float64", 0), ("V2", 1e-2), (">f4", 0)])
def test_other_types_of_floats_become_float32(tmp_path, kind, close):
    source, target = named(seed=1), named(seed=2)
    path = put(source, tmp_path / "x.h5", "legacy_weights")
    with h5py.File(path, "r+") as file:
        kernel = file["stem_conv/stem_conv/kernel"][()]
        del file["stem_conv/stem_conv/kernel"]
        upper = (kernel.view(np.uint32) >> 16).astype("<u2").view("V2") if kind == "V2" else kernel.astype(kind)
        file["stem_conv/stem_conv/kernel"] = upper
    target.load_weights(path)
    np.testing.assert_allclose(weights(target)["stem_conv/kernel"], kernel, rtol=close, atol=close)
    assert target.get_layer("stem_conv").arrays["kernel"].dtype == np.float32


def test_counts_may_be_integers(tmp_path):
    x = nn.Input((4,), name="x")
    model = shake(nn.Model(x, nn.Normalization(name="norm")(x), seed=0), 1)
    path = put(model, tmp_path / "x.h5", "legacy_weights")
    with h5py.File(path, "r+") as file:
        del file["norm/norm/count"]
        file["norm/norm/count"] = np.int64(12)
    model.load_weights(path)
    assert model.get_layer("norm").arrays["count"] == 12
    with h5py.File(path, "r+") as file:
        del file["norm/norm/mean"]
        file["norm/norm/mean"] = np.zeros(4, np.int32)
    unchanged(model, path, re.escape("norm/mean: norm/mean holds int32, not floats"))


@pytest.mark.parametrize("form", ["keras", "keras_h5", "weights_h5", "legacy_weights"])
def test_the_state_of_random_generators_is_no_weight(tmp_path, form):
    """Keras stores that of some layers like weights."""
    source, target = named(seed=1), named(seed=2)
    path = put(source, tmp_path / "x", form)
    held = tmp_path / "inside" if form == "keras" else path
    if form == "keras":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        held.write_bytes(members["model.weights.h5"])
    with h5py.File(held, "r+") as file:
        if form in ("keras", "weights_h5"):
            file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
        else:
            root = file["model_weights"] if form == "keras_h5" else file
            root["flip/flip/StateVar:0"] = np.zeros(3, np.int64)
            root["flip"].attrs["weight_names"] = np.array([b"flip/StateVar:0"])
            root.attrs["layer_names"] = np.array([b"flip", *root.attrs["layer_names"]])
    if form == "keras":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (members | {"model.weights.h5": held.read_bytes()}).items():
                archive.writestr(name, data)
    target.load_weights(path)
    assert same(weights(target), weights(source))
    if form in ("keras", "keras_h5"):
        assert same(weights(nn.load(path)), weights(source))


PYTORCH = Path(__file__).parent / "torch" / "fixtures"


@pytest.mark.parametrize("file", ["net.pth", "net_stream.pth"])
def test_files_of_pytorch(file):
    model = torch_net()
    model.load_weights(PYTORCH / file)
    expected = torch.to_weights(torch.read_state_dict(PYTORCH / file), model.graph)
    assert same(weights(model), expected)
    shake(model, 1).load_weights(PYTORCH / file, names=given_names(model))
    assert same(weights(model), expected)


def given_names(model):
    theirs = ("conv1", "bn1", "depthwise", "act", "grouped", "norm", "up", "fc1", "bn2", "fc2")
    return dict(zip((h.name for h in model.layers if h.specs), theirs, strict=True))


def test_a_file_of_pytorch_for_another_head():
    model = shake(torch_net(classes=3), 1)
    before, names = weights(model), given_names(model)
    said = unchanged(model, PYTORCH / "net.pth", r"fc2\.weight has shape \(2, 3\), fc2/kernel needs \(3, 3\)", names=names)
    assert "fc2.bias has shape (2,)" in said and "skip_mismatch=True" in said
    with pytest.warns(UserWarning, match=r"fc2\.weight has shape"):
        model.load_weights(PYTORCH / "net.pth", skip_mismatch=True, names=names)
    expected = torch.match(torch.read_state_dict(PYTORCH / "net.pth"), model.graph, names).weights
    assert all(np.array_equal(a, (before if p.startswith("fc2") else expected)[p]) for p, a in weights(model).items())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, p: m.save(p / "x.weights.h5"), ConfigError, "holds weights alone: call save_weights"),
        (lambda m, p: m.save(p / "x.h5", "legacy_weights"), ConfigError, "holds weights alone: call save_weights"),
        (lambda m, p: m.save_weights(p / "x.keras"), ConfigError, "holds a whole model: call save"),
        (lambda m, p: m.save(p / "x", "onnx"), UnknownNameError, "unknown format 'onnx'"),
        (lambda m, p: m.save(p / "x", "torch"), ConfigError, "are read but not written"),
        (lambda m, p: m.save(p / "x.keras", checkpoint=True), ConfigError, "checkpoint=True is for numbacnn's own files"),
        (lambda m, p: m.save_weights(p / "no" / "x.weights.h5"), FileError, "cannot be written"),
        (lambda m, p: m.save(p / "no" / "x.keras"), FileError, "cannot be written"),
    ],
)
def test_what_cannot_be_written(tmp_path, call, error, message):
    with pytest.raises(error, match=message):
        call(named(), tmp_path)
    assert list(tmp_path.iterdir()) == []
