"""Configurations out of files that Keras wrote: with the files' weights they compute what Keras computed."""

import json
import zipfile

import h5py
import keras_files
import numpy as np
import pytest

from numbacnn import loading
from numbacnn.errors import FileError
from numbacnn.store.keras.config import read_config
from numbacnn.store.native import ModelFile


def config_of(name, kind):
    """(configuration, version) of the whole-model file, in the old or the new format."""
    path = keras_files.folder() / f"{name}.{kind}"
    if kind == "h5":
        with h5py.File(path) as file:
            return json.loads(file.attrs["model_config"]), file.attrs["keras_version"]
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("config.json")), json.loads(file.read("metadata.json"))["keras_version"]


def read(name, kind):
    config, version = config_of(name, kind)
    return read_config(config, version, lambda reason: FileError(f"{name}.{kind}: {reason}"))


def leaves(tree):
    """Layer name -> layer, of all models in the tree."""
    for layer in tree:
        yield from leaves(layer.children) if layer.children else [(layer.name, layer)]


def weights(tree, name):
    """owner/weight -> array from the old format's weights, as simply as these files allow: layers by name, weights in order."""
    found = {}
    with h5py.File(keras_files.folder() / f"{name}_legacy.h5") as file:
        for layer in tree:
            stored = [] if layer.is_operation else list(file[layer.name].attrs["weight_names"])
            for i, path in enumerate(n.decode() if isinstance(n, bytes) else n for n in stored):
                if layer.children:
                    *_, owner, weight = path.partition(":")[0].split("/")
                    inner = dict(leaves(layer.children))[owner]
                    assert weight in dict(inner.weights)
                    found[f"{inner.owner}/{weight}"] = file[layer.name][path][()]
                else:
                    found[f"{layer.owner}/{layer.weights[i][0]}"] = file[layer.name][path][()]
    return found


@pytest.mark.parametrize("name", keras_files.NAMES)
def test_computes_what_keras_computed(name):
    graph, tree, trainable = read(name, "h5")
    model = loading.restore(ModelFile(graph, weights(tree, name), trainable))
    xs, expected = keras_files.expected(name, "x"), keras_files.expected(name, "z")
    outputs = model.predict(xs if len(xs) > 1 else xs[0])
    for y, z in zip(outputs if isinstance(outputs, list) else [outputs], expected, strict=True):
        assert np.abs(y - z).max() <= keras_files.tolerance(name) * np.abs(z).max()


@pytest.mark.parametrize("name", keras_files.NAMES)
def test_both_formats_hold_the_same_network(name):
    old, new = read(name, "h5"), read(name, "keras")
    assert old[0] == new[0] and old[2] == new[2]
    assert [(t.name, t.class_name, t.weights, t.is_operation) for t in old[1]] == [(t.name, t.class_name, t.weights, t.is_operation) for t in new[1]]


def test_what_is_frozen_and_what_is_nested():
    for name in ("frozen_k3", "frozen_tf2"):
        _, tree, trainable = read(name, "keras")
        assert not any(trainable[owner] for owner in ("stem", "base/conv1", "base/bn2")) and trainable["out"]
        assert [c.name for c in tree[2].children] == ["base_input", "conv1", "bn1", "act", "conv2", "bn2", "gap"]


def test_names_with_slashes():
    graph, tree, _ = read("named_tf2", "h5")
    assert [t.name for t in tree] == ["in", "Conv/kernel", "Conv/BatchNorm", "Conv", "last", "flat"]
    assert [t.owner for t in tree] == [n.name for n in graph.nodes]
