"""Keras' layouts in detail: what lies where under which name, as Keras itself would write it."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.errors import FileError
from numbacnn.store import align
from numbacnn.store.keras import legacy, weights_h5
from numbacnn.store.keras.tree import KerasLayer
from numbacnn.store.matching import leaves
from numbacnn.store.safe import SafeFile

CONV = (("kernel", (3, 3, 3, 4)), ("bias", (4,)))
TREE = (
    KerasLayer("image", "InputLayer", "image"),
    KerasLayer("a", "Conv2D", "a", CONV),
    KerasLayer("r", "ReLU", "r"),
    KerasLayer("+", "Add", is_operation=True),
    KerasLayer("eye", "Functional", children=(KerasLayer("b", "Conv2D", "eye/b", CONV), KerasLayer("c", "Conv2D", "eye/c", CONV))),
    KerasLayer("d", "Conv2D", "d", CONV),
    KerasLayer("e", "PReLU", "e", (("alpha", (4,)),)),
)
VALUES = {f"{o}/{w}": np.full(s, i, np.float32) for i, o in enumerate(("a", "eye/b", "eye/c", "d")) for w, s in CONV} | {"e/alpha": np.full(4, 9, np.float32)}


def test_the_legacy_layout(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        legacy.write_layers(file, TREE, VALUES, "2.15.0")
    with h5py.File(tmp_path / "x.h5") as file:
        assert file.attrs["layer_names"].tolist() == [b"image", b"a", b"r", b"eye", b"d", b"e"]  # operations are no layers
        assert file.attrs["keras_version"] == b"2.15.0" and file.attrs["backend"] == b"tensorflow"
        assert file["a"].attrs["weight_names"].tolist() == [b"a/kernel", b"a/bias"]
        assert file["eye"].attrs["weight_names"].tolist() == [b"b/kernel", b"b/bias", b"c/kernel", b"c/bias"]
        assert file["r"].attrs["weight_names"].shape == (0,)
        assert file["eye/c/kernel"][0, 0, 0, 0] == 2 and file["a/a/kernel"].dtype == np.float32 and file["a/a/kernel"].chunks is None
    with SafeFile(tmp_path / "x.h5") as file:
        assert legacy.root_of(file) == "/"
        layers = legacy.read_layers(file, "/")
        assert [layer.name for layer in layers] == ["a", "eye", "d", "e"]
        assert np.array_equal(layers[1].weights[2].read(), VALUES["eye/c/kernel"])


def test_the_new_layout(tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        weights_h5.write_layers(file, TREE, VALUES)
    with h5py.File(tmp_path / "x.weights.h5") as file:
        assert set(file["layers"]) == {"conv2d", "conv2d_1", "functional", "p_re_lu"}
        assert set(file["layers/functional/layers"]) == {"conv2d", "conv2d_1"}
        assert file["layers/conv2d_1/vars/0"][0, 0, 0, 0] == 3 and file["layers/conv2d_1/vars"].attrs["name"] == "d"
        assert file["layers/functional/layers/conv2d_1/vars/1"][0] == 2
    with SafeFile(tmp_path / "x.weights.h5") as file:
        found = {layer.key: layer for layer in weights_h5.read_layers(file)}
    assert set(found) == {key for key, layer in weights_h5.keyed(TREE) if layer.weights}
    assert [found[k].name for k in ("conv2d", "conv2d_1", "p_re_lu")] == ["a", "d", "e"]


@st.composite
def trees(draw, depth=2):
    """Layers with unlike names, some of them models."""
    numbers = iter(range(10**6))
    classes = {"Conv2D": CONV, "PReLU": (("alpha", (4,)),), "ReLU": (), "BatchNormalization": tuple((n, (2,)) for n in ("gamma", "moving_mean"))}

    def level(depth, above):
        layers = []
        for kind in draw(st.lists(st.sampled_from([*classes, *(["Functional", "Sequential"] if depth else [])]), min_size=1, max_size=4)):
            name = f"my{next(numbers)}"
            if kind in classes:
                layers.append(KerasLayer(name, kind, f"{above}{name}", classes[kind]))
            else:
                layers.append(KerasLayer(name, kind, children=level(depth - 1, f"{above}{name}/")))
        return tuple(layers)

    return level(depth, "")


def paths_of(tree):
    return {f"{leaf.layer.owner}/{w}": s for leaf in leaves(tree) for w, s in leaf.layer.weights}


@settings(max_examples=30)
@given(trees(), st.randoms(use_true_random=False))
def test_any_tree_comes_back(tmp_path_factory, tree, chance):
    """In both layouts, whatever was frozen: models' weights may come in any order of layers; and to a flat model as well."""
    folder, expected = tmp_path_factory.mktemp("tree"), paths_of(tree)
    values = {path: np.full(shape, i, np.float32) for i, (path, shape) in enumerate(expected.items())}
    with h5py.File(folder / "x.h5", "w") as file:
        legacy.write_layers(file, tree, values, "2.15.0")
        for layer in tree:
            if layer.children and file[layer.name].attrs["weight_names"].size:
                names = file[layer.name].attrs["weight_names"].tolist()
                layers = list(dict.fromkeys(n.rpartition(b"/")[0] for n in names))
                chance.shuffle(layers)
                file[layer.name].attrs["weight_names"] = np.array(sorted(names, key=lambda n: layers.index(n.rpartition(b"/")[0])))
    with h5py.File(folder / "x.weights.h5", "w") as file:
        weights_h5.write_layers(file, tree, values)
    flat = tuple(KerasLayer(leaf.layer.owner, leaf.layer.class_name, leaf.layer.owner, leaf.layer.weights) for leaf in leaves(tree))
    with SafeFile(folder / "x.h5") as file:
        stored = legacy.read_layers(file, "/")
        for ours in (tree, flat):
            found = align.ordered(ours, stored)
            assert found.complete, found.complaint()
            assert {p: w.read().max(initial=-1) for p, w in found.pairs.items()} == {p: v.max(initial=-1) for p, v in values.items()}
    with SafeFile(folder / "x.weights.h5") as file:
        found = align.by_key(tree, weights_h5.read_layers(file))
        assert found.complete, found.complaint()
        assert {p: w.read().max(initial=-1) for p, w in found.pairs.items()} == {p: v.max(initial=-1) for p, v in values.items()}


def test_many_weights_of_one_layer_are_in_order_of_their_numbers(tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        for i in range(12):
            file[f"layers/a/vars/{i}"] = np.float32(i)
    with SafeFile(tmp_path / "x.weights.h5") as file:
        (layer,) = weights_h5.read_layers(file)
        assert [float(w.read()) for w in layer.weights] == list(range(12))


def test_files_of_2023_call_groups_otherwise(tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        file["_layer_checkpoint_dependencies/functional/_layer_checkpoint_dependencies/conv2d/vars/0"] = np.zeros(3, np.float32)
        file["optimizer/vars/0"] = np.int64(3)
    with SafeFile(tmp_path / "x.weights.h5") as file:
        assert [layer.key for layer in weights_h5.read_layers(file)] == ["functional/layers/conv2d"]


@pytest.mark.parametrize("count", [3, 400, 3000])
def test_long_lists_of_names_are_split(tmp_path, count):
    names = [f"layer_{i}_" + "x" * (i % 200) for i in range(count)]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        legacy.put_texts(file, "layer_names", names)
        assert ("layer_names" in file.attrs) == (count == 3)
        assert all(file.attrs[a].nbytes <= 64_512 for a in file.attrs)
    with SafeFile(tmp_path / "x.h5") as file:
        assert file.texts("/", "layer_names") == names


@pytest.mark.parametrize("kind", ["S", "vlen ascii", "vlen utf-8"])
def test_every_kind_of_text(tmp_path, kind):
    names = ["conv/a", "größe"] if kind != "vlen ascii" else ["conv/a", "b"]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["layer_names"] = np.array([n.encode() for n in names]) if kind == "S" else np.array(names, h5py.string_dtype(kind.split()[1]))
        file.attrs["weight_names"] = np.zeros(0)
    with SafeFile(tmp_path / "x.h5") as file:
        assert file.texts("/", "layer_names") == names
        assert file.texts("/", "weight_names") == []
        assert file.texts("/", "other") is None and file.texts("nowhere", "layer_names") is None


def test_groups_of_layers_whose_names_have_slashes(tmp_path):
    tree = (KerasLayer("Conv", "Conv2D", "Conv", CONV), KerasLayer("Conv/BatchNorm", "PReLU", "Conv/BatchNorm", (("alpha", (4,)),)))
    values = {"Conv/kernel": VALUES["a/kernel"], "Conv/bias": VALUES["a/bias"], "Conv/BatchNorm/alpha": VALUES["e/alpha"]}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        legacy.write_layers(file, tree, values, "2.15.0")
    with SafeFile(tmp_path / "x.h5") as file:
        found = legacy.read_layers(file, "/")
        assert [layer.name for layer in found] == ["Conv", "Conv/BatchNorm"]
        assert np.array_equal(found[1].weights[0].read(), values["Conv/BatchNorm/alpha"])
        with pytest.raises(FileError, match=r"holds float32 of shape \(3, 3, 3, 4\)"):
            file.numbers("Conv/Conv/kernel", (4,))
