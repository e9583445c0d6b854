"""Keras files that are damaged or meant to harm: each is a FileError that names the file and the place, and nothing outside is read."""

import io
import json
import os
import random
import zipfile

import h5py
import numpy as np
import pytest
from networks import named, same, weights

import numbacnn as nn
from numbacnn.errors import FileError, NumbacnnError

KERNEL = (3, 3, 3, 4)
PLACES = {"keras_h5": "model_weights/stem_conv/stem_conv/kernel", "legacy_weights": "stem_conv/stem_conv/kernel", "weights_h5": "layers/conv2d/vars/0"}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("good"), named(seed=1)
    model.save(folder / "keras", "keras")
    model.save(folder / "keras_h5", "keras_h5")
    for form in ("weights_h5", "legacy_weights"):
        model.save_weights(folder / form, form)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(form, path, message):
    model = named(seed=2)
    before = weights(model)
    for load in (model.load_weights, nn.load, nn.describe) if form in ("keras", "keras_h5") else (model.load_weights, nn.describe):
        if load is nn.describe and message is not None and message.startswith("(load)"):
            continue
        with pytest.raises(FileError, match=(message or "").removeprefix("(load)")) as caught:
            load(path)
        assert str(path) in str(caught.value)
    assert same(weights(model), before)


def put(file, place, value):
    del file[place]
    file[place] = value


def external(file, place, tmp):
    with h5py.File(tmp / "secret.h5", "w") as other:
        other["x"] = np.zeros(KERNEL, np.float32)
    put(file, place, h5py.ExternalLink(str(tmp / "secret.h5"), "/x"))


def soft(file, place, tmp):
    file.move(place, "elsewhere")
    file[place] = h5py.SoftLink("/elsewhere")


def outside(file, place, tmp):
    (tmp / "raw").write_bytes(bytes(432))
    del file[place]
    file.create_dataset(place, KERNEL, np.float32, external=[(str(tmp / "raw"), 0, 432)])


def virtual(file, place, tmp):
    with h5py.File(tmp / "secret.h5", "w") as other:
        other["x"] = np.zeros(KERNEL, np.float32)
    layout = h5py.VirtualLayout(KERNEL, np.float32)
    layout[:] = h5py.VirtualSource(str(tmp / "secret.h5"), "x", KERNEL)
    del file[place]
    file.create_virtual_dataset(place, layout)


def linked_layer(file, place, tmp):
    layer = "/".join(place.split("/")[:-2])
    file.move(layer, "elsewhere")
    file[layer] = h5py.SoftLink("/elsewhere")


def complex_numbers(file, place, tmp):
    put(file, place, np.zeros(KERNEL, np.complex64))


def texts(file, place, tmp):
    put(file, place, np.full(KERNEL, b"a"))


def compound(file, place, tmp):
    del file[place]
    file.create_dataset(place, KERNEL, np.dtype([("a", np.float32)]))


def truths(file, place, tmp):
    put(file, place, np.zeros(KERNEL, bool))


def integers(file, place, tmp):
    put(file, place, np.zeros(KERNEL, np.int8))


def broadcastable(file, place, tmp):
    put(file, place, np.zeros((1, 1, 1, 1), np.float32))


def scalar(file, place, tmp):
    put(file, place, np.float32(1))


def turned(file, place, tmp):
    put(file, place, np.zeros((4, 3, 3, 3), np.float32))


def huge(file, place, tmp):
    del file[place]
    file.create_dataset(place, (1 << 20, 1 << 20), np.float32)


def unwritten(file, place, tmp):
    del file[place]
    file.create_dataset(place, KERNEL, np.float32)


def filtered(file, place, tmp):
    del file[place]
    file.create_dataset(place, data=np.zeros(KERNEL, np.float32), compression="lzf")


def nothing(file, place, tmp):
    del file[place]
    file.create_dataset(place, data=h5py.Empty(np.float32))


def group(file, place, tmp):
    del file[place]
    file.create_group(place)


def missing(file, place, tmp):
    del file[place]


ATTACKS = [
    (external, "is a link to another place"),
    (soft, "is a link to another place"),
    (linked_layer, "is a link to another place"),
    (outside, "takes its data from other files"),
    (virtual, "takes its data from other files"),
    (complex_numbers, "holds complex64, not plain numbers"),
    (texts, r"(load)stem_conv/kernel: .* holds \w+, not floats"),
    (compound, "not plain numbers"),
    (truths, "holds bool, not plain numbers"),
    (integers, r"(load)stem_conv/kernel: .* holds int8, not floats \(a quantized model"),
    (broadcastable, r"(load)stem_conv/kernel is \(3, 3, 3, 4\) in the model, \(1, 1, 1, 1\) in the file"),
    (scalar, r"(load)stem_conv/kernel is \(3, 3, 3, 4\) in the model, \(\) in the file"),
    (turned, r"(load)stem_conv/kernel is \(3, 3, 3, 4\) in the model, \(4, 3, 3, 3\) in the file"),
    (huge, r"(load)stem_conv/kernel is \(3, 3, 3, 4\) in the model, \(1048576, 1048576\) in the file"),
    (unwritten, r"(load)claims 432 bytes, which a file of"),
    (filtered, "filter other than gzip"),
    (nothing, "not plain numbers"),
    (group, "is no dataset"),
]


@pytest.mark.parametrize("form", PLACES)
@pytest.mark.parametrize(("attack", "message"), ATTACKS, ids=[a.__name__ for a, _ in ATTACKS])
def test_a_dataset_that_is_not_what_it_should_be(tmp_path, good, form, attack, message):
    path = tmp_path / "x.h5"
    path.write_bytes(good[form])
    with h5py.File(path, "r+") as file:
        attack(file, PLACES[form], tmp_path)
    refused(form, path, message)


@pytest.mark.parametrize(("attack", "message"), ATTACKS, ids=[a.__name__ for a, _ in ATTACKS])
def test_the_same_within_an_archive(tmp_path, good, attack, message):
    inside = tmp_path / "inside.h5"
    with zipfile.ZipFile(io.BytesIO(good["keras"])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    inside.write_bytes(members["model.weights.h5"])
    with h5py.File(inside, "r+") as file:
        attack(file, PLACES["weights_h5"], tmp_path)
    path = repack(tmp_path, members | {"model.weights.h5": inside.read_bytes()})
    refused("keras", path, message)


def repack(tmp_path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(tmp_path / "x.keras", "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return tmp_path / "x.keras"


def test_a_missing_dataset(tmp_path, good):
    for form, message in (("legacy_weights", "stem_conv/kernel is missing"), ("weights_h5", "")):
        path = tmp_path / form
        path.write_bytes(good[form])
        with h5py.File(path, "r+") as file:
            missing(file, PLACES[form], tmp_path)
        if form == "weights_h5":
            with pytest.raises(FileError, match=r"the file lacks: stem_conv/kernel"):
                named().load_weights(path)
        else:
            refused(form, path, message)


def attribute(place, name, value):
    def edit(file):
        if name in file[place].attrs:
            del file[place].attrs[name]
        if value is not None:
            file[place].attrs[name] = value

    return edit


def many(file):
    """One layer's group under 300 names, which all lead to the same data."""
    del file.attrs["layer_names"]
    for i in range(300):
        file[f"c{i}"] = file["stem_conv"]
    file.attrs["layer_names"] = np.array([f"c{i}".encode() for i in range(300)])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (attribute("/", "layer_names", np.arange(3)), "attribute layer_names of / is no list of texts"),
        (attribute("/", "layer_names", "stem_conv"), "attribute layer_names of / is no list of texts"),
        (attribute("/", "layer_names", np.array([[b"a"]])), "attribute layer_names of / is no list of texts"),
        (attribute("/", "layer_names", np.array([b"stem_conv", b"stem_conv"])), "layer 'stem_conv' is named twice"),
        (attribute("/", "layer_names", np.array([b"stem_conv", b""])), "layer '' has no weight_names"),
        (attribute("/", "layer_names", np.array([b"stem_conv", b"nowhere"])), "layer 'nowhere' has no weight_names"),
        (attribute("/", "layer_names", np.array([b"stem_conv/../stem_conv"])), "is no name for a thing in a file"),
        (attribute("/", "layer_names", np.array([b"."])), "is no name for a thing in a file"),
        (attribute("/", "layer_names", np.array([b"\xff\xfe"])), "attribute layer_names of / cannot be read"),
        (attribute("stem_conv", "weight_names", None), "layer 'stem_conv' has no weight_names"),
        (attribute("stem_conv", "weight_names", np.array([b"", b"stem_conv/kernel"])), "layer 'stem_conv' has a weight without a name"),
        (attribute("stem_conv", "weight_names", np.array([b"stem_conv/kernel"] * 2)), "names weight 'stem_conv/kernel' twice"),
        (attribute("stem_conv", "weight_names", np.array([b"../stem_bn/stem_bn/gamma"])), "is no name for a thing in a file"),
        (attribute("stem_conv", "weight_names", np.array([b"stem_conv//kernel"])), "is no name for a thing in a file"),
        (attribute("stem_conv", "weight_names", np.array([b"stem_conv"])), "stem_conv is no dataset"),
        (attribute("stem_conv", "weight_names", h5py.Empty("S3")), "is no list of texts"),
        (many, "(load)only the file has"),
    ],
)
def test_names_that_are_not_what_they_should_be(tmp_path, good, edit, message):
    path = tmp_path / "x.h5"
    path.write_bytes(good["legacy_weights"])
    with h5py.File(path, "r+") as file:
        edit(file)
    refused("legacy_weights", path, message)


def circle(file):
    file["layers/conv2d/layers"] = file["layers"]


def doubling(file):
    """Two ways into each next group: a million ways to the last of twenty."""
    below = file.create_group("layers/a/layers")
    for _ in range(19):
        inner = file.create_group(f"g{len(file)}")
        for name in ("a", "b"):
            below.create_group(name)["layers"] = inner
        below = inner
    below.create_group("a/vars")["0"] = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (circle, "layers/conv2d/layers is a group that lies elsewhere"),
        (doubling, "is a group that lies elsewhere"),
        (lambda file: file.create_group("layers/conv2d/vars/x"), "holds 'x', which is no number of a weight"),
        (lambda file: file["layers/conv2d/vars"].create_dataset("²", data=0.0), "which is no number of a weight"),
        (lambda file: put(file, "layers/conv2d", np.zeros(3)), "layers/conv2d is no group"),
        (lambda file: put(file, "layers/conv2d/vars", np.zeros(3)), "layers/conv2d/vars is no group"),
    ],
)
def test_groups_that_are_not_what_they_should_be(tmp_path, good, edit, message):
    path = tmp_path / "x.h5"
    path.write_bytes(good["weights_h5"])
    with h5py.File(path, "r+") as file:
        edit(file)
    refused("weights_h5", path, message)


def changed(name, value):
    return lambda members: members | {name: value}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (changed("config.json", b"{"), "config.json is no JSON"),
        (changed("config.json", b"[" * 100_000), "config.json is no JSON"),
        (changed("config.json", b"\xff\xfe"), "config.json is no JSON"),
        (changed("config.json", b"[]"), "config.json holds list"),
        (changed("metadata.json", b"3"), "metadata.json holds int"),
        (changed("config.json", b" " * (65 << 20)), "config.json has 68,157,440 bytes, 67,108,864 were expected"),
        (changed("model.weights.h5", b"nothing"), r"model\.weights\.h5 is no HDF5 file"),
        (changed("model.weights.h5", b"\x89HDF\r\n\x1a\n"), r"model\.weights\.h5 is truncated or damaged"),
        (changed("model.weights.h5", bytes(200 << 20)), r"model\.weights\.h5 has 209,715,200 bytes"),
        (changed("metadata.json", json.dumps({"numbacnn": {"classes": [1]}}).encode()), "(load)what numbacnn noted in the file"),
        (changed("metadata.json", json.dumps({"numbacnn": {"preprocess": 5}}).encode()), "(load)what numbacnn noted in the file"),
    ],
)
def test_members_that_are_not_what_they_should_be(tmp_path, good, edit, message):
    with zipfile.ZipFile(io.BytesIO(good["keras"])) as archive:
        members = edit({name: archive.read(name) for name in archive.namelist()})
    path = repack(tmp_path, members, zipfile.ZIP_DEFLATED)
    if message.startswith("(load)") or ".json" in message:
        with pytest.raises(FileError, match=message.removeprefix("(load)")):
            nn.load(path)
    else:
        refused("keras", path, message)


@pytest.mark.parametrize("form", ["keras", "keras_h5", "weights_h5", "legacy_weights"])
def test_truncated_at_many_places(tmp_path, good, form):
    path, whole, model = tmp_path / "x", good[form], named()
    for at in sorted({*range(0, len(whole), max(1, len(whole) // 60)), 5, 9, len(whole) - 1}):
        path.write_bytes(whole[:at])
        with pytest.raises(FileError, match=r"truncated|damaged|is empty|is no") as caught:
            model.load_weights(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("form", ["keras", "keras_h5", "weights_h5", "legacy_weights"])
def test_flipped_bytes_never_crash(tmp_path, good, form):
    chance, path, model = random.Random(0), tmp_path / "x", named()
    loads = [model.load_weights, nn.describe, *([nn.load] if form in ("keras", "keras_h5") else [])]
    for _ in range(60):
        data = bytearray(good[form])
        for _ in range(chance.choice((1, 4, 30))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        for load in loads:
            try:
                load(path)
            except NumbacnnError as error:
                assert str(path) in str(error)


def test_a_model_in_a_model_is_never_read_from_outside(tmp_path, good, monkeypatch):
    """Not even opened: the file that a link names would be seen."""
    path = tmp_path / "x.h5"
    path.write_bytes(good["keras_h5"])
    with h5py.File(path, "r+") as file:
        del file["model_weights"]
        file["model_weights"] = h5py.ExternalLink(os.fspath(tmp_path / "other.h5"), "/model_weights")
    refused("keras_h5", path, "model_weights is a link to another place")
