"""Our files: what is written comes back; what is damaged, hostile or from elsewhere is a FileError that says so."""

import json
import math
import os
import random
from dataclasses import dataclass, replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import init, registry
from numbacnn.errors import ConfigError, FileError, NumbacnnError
from numbacnn.graph import Graph, Node
from numbacnn.layer import Layer, Weight
from numbacnn.store import native
from numbacnn.store.native import ModelFile

L = registry.layers


def small() -> ModelFile:
    x, conv, norm = L["Input"]((8, 8, 3)), L["Conv2D"](4, 3, kernel_initializer=init.Constant(0.5)), L["BatchNormalization"]()
    nodes = (
        Node("x", x),
        Node("a/conv", conv, ("x",), stream=1),
        Node("norm", norm, ("a/conv",), stream=2),
        Node("norm_call_1", norm, ("norm",), "norm", stream=3),
        Node("sum", L["Add"](), ("norm", "norm_call_1"), stream=4),
        Node("relu", L["ReLU"](max_value=math.inf), ("sum",), stream=5),
    )
    graph = Graph(nodes, ("x",), ("relu",))
    drawn = np.random.default_rng(0)
    weights = {p: drawn.standard_normal(s).astype(np.float32) for p, s in native.expected_weights(graph).items()}
    return ModelFile(graph, weights, {"a/conv": False, "norm": True})


def full() -> ModelFile:
    return replace(
        small(),
        preprocess={"size": [8, 8], "mean": [0.5, math.nan]},
        classes=("cat", "\u00fcber/dog", "a\0b"),
        task="multi_label",
        compiled={"optimizer": {"name": "Adam"}},
        optimizer={"momentum": np.arange(5, dtype=np.float32), "velocity": np.ones(5)},
        loop={"epoch": np.int64(3), "best": math.inf, "state": np.arange(3)},
        extra={"anything": [1, None, True]},
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "model.h5"
    native.write(path, full())
    return path.read_bytes()


@pytest.fixture
def path(tmp_path, good):
    (tmp_path / "model.h5").write_bytes(good)
    return tmp_path / "model.h5"


def same(a: ModelFile, b: ModelFile) -> None:
    assert a.graph == b.graph and list(a.weights) == list(b.weights)
    for name, value in a.weights.items():
        np.testing.assert_array_equal(value, b.weights[name])
        assert b.weights[name].dtype == np.float32 and b.weights[name].flags.c_contiguous
    assert (a.trainable, a.classes, a.task, a.compiled, a.extra) == (b.trainable, b.classes, b.task, b.compiled, b.extra)


def test_round_trip(tmp_path):
    native.write(tmp_path / "m.h5", small())
    back = native.read(tmp_path / "m.h5")
    same(small(), back)
    assert (back.preprocess, back.optimizer, back.loop) == (None, None, None)
    assert back.versions["layers"]["Conv2D"]["distribution"] == "numbacnn"
    assert os.listdir(tmp_path) == ["m.h5"]


def test_checkpoint_round_trip(path):
    back = native.read(str(path))
    same(full(), back)
    assert back.preprocess["size"] == [8, 8] and math.isnan(back.preprocess["mean"][1])
    assert back.loop == {"epoch": 3, "best": math.inf, "state": [0, 1, 2]}
    assert {s: (a.dtype.name, a.tolist()) for s, a in back.optimizer.items()} == {
        "momentum": ("float32", [0, 1, 2, 3, 4]),
        "velocity": ("float64", [1, 1, 1, 1, 1]),
    }


# ---- writing


def test_the_old_file_stays_when_writing_fails(path, monkeypatch):
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(FileError, match=r"model\.h5 cannot be written: .*No space"):
        native.write(path, small())
    assert path.read_bytes() == before and os.listdir(path.parent) == ["model.h5"]


def test_what_cannot_be_written(tmp_path):
    model = small()
    with pytest.raises(FileError, match="cannot be written"):
        native.write(tmp_path / "no" / "m.h5", model)
    with pytest.raises(ConfigError, match=r"norm/gamma: missing, not \(4,\); norm/beta: \(3,\), not \(4,\); .*extra: no layer has it"):
        weights = {p: w for p, w in model.weights.items() if p != "norm/gamma"} | {"norm/beta": np.zeros(3), "extra": np.zeros(1)}
        native.write(tmp_path / "m.h5", replace(model, weights=weights))
    with pytest.raises(ConfigError, match=r"extra: <object .* cannot be stored"):
        native.write(tmp_path / "m.h5", replace(model, extra={"x": object()}))

    @dataclass(frozen=True)
    class Unregistered(Layer):
        def weights(self, x):
            return {"w": Weight(())}

    graph = Graph((*model.graph.nodes, Node("mine", Unregistered(), ("relu",))), ("x",), ("mine",))
    with pytest.raises(ConfigError, match=r'Unregistered has no registered name.*entry-points."numbacnn.layers"'):
        native.write(tmp_path / "m.h5", replace(model, graph=graph, weights=model.weights | {"mine/w": np.float32(1)}))
    assert os.listdir(tmp_path) == []


# ---- reading what is not right


def refused(path, message):
    with pytest.raises(FileError, match=message) as caught:
        native.read(path)
    assert str(path) in str(caught.value)


def test_not_a_model(tmp_path):
    refused(tmp_path / "none.h5", "there is no file")
    refused(tmp_path, "is no file but a folder")
    for name, data, message in (
        ("empty", b"", "is empty"),
        ("text", b"hello" * 100, "is no HDF5 file"),
        ("head", b"\x89HDF\r\n\x1a\n", "truncated or damaged"),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, message)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    refused(tmp_path / "other.h5", "not one that numbacnn wrote: give its model.h5 or checkpoint.h5")
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file.attrs["format"] = "numbacnn"  # of variable length, as h5py writes them
        file.attrs["version"] = 1
    refused(tmp_path / "text.h5", "graph is missing")


def test_truncated_at_many_places(path, good):
    for at in sorted({*range(0, len(good), max(1, len(good) // 150)), *range(1, 64), len(good) - 1}):
        path.write_bytes(good[:at])
        refused(path, "truncated or damaged|is empty|is no HDF5 file")


def test_flipped_bytes_never_crash(path, good):
    chance = random.Random(0)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.choice((1, 4, 30))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            native.read(path)
        except NumbacnnError as error:
            assert str(path) in str(error)


def change(path, place, edit):
    """Replace the JSON at a place."""
    with h5py.File(path, "r+") as file:
        value = json.loads(file[place][()]) if place in file else None
        if place in file:
            del file[place]
        value = edit(value)
        file[place] = np.bytes_(value if isinstance(value, bytes) else json.dumps(value).encode())


def at(*keys, value):
    """An edit that sets value[keys[0]][keys[1]]… ."""

    def edit(whole):
        inner = whole
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return whole

    return edit


@pytest.mark.parametrize(
    ("place", "edit", "message"),
    [
        ("graph", lambda g: b"{", "graph cannot be read"),
        ("graph", lambda g: b"[" * 100_000, "graph cannot be read"),
        ("graph", lambda g: b"\xff\xfe", "graph cannot be read"),
        ("graph", lambda g: [], "graph holds list"),
        ("graph", lambda g: {}, "graph must hold nodes"),
        ("graph", at("nodes", value=[3]), "node is no JSON object"),
        ("graph", at("nodes", 0, "colour", value="red"), "nodes have 'colour', which this version does not know: upgrade"),
        ("graph", at("nodes", 0, "stream", value="1"), "node 'x' lacks stream"),
        ("graph", at("nodes", 1, "inputs", value=[["x"]]), "node 'a/conv' has inputs"),
        ("graph", at("nodes", 1, "inputs", value=["relu"]), "reads 'relu', which does not come before it"),
        ("graph", at("nodes", 1, "inputs", value=[]), r"a/conv|do not fit"),
        ("graph", at("nodes", 1, "name", value="x"), "two layers are named 'x'"),
        ("graph", at("outputs", value=["y"]), "no node 'y'"),
        ("graph", at("nodes", 1, "fields", "filters", value="many"), r"layer 'a/conv'\.filters='many' is no int"),
        ("graph", at("nodes", 1, "fields", "filters", value=-1), "layer 'a/conv': Conv2D cannot have these fields"),
        ("graph", at("nodes", 1, "fields", "filters", value=10**12), r"a/conv/kernel has shape \(3, 3, 3, 4\), its layer needs \(3, 3, 3, 1000000000000\)"),
        ("graph", at("nodes", 1, "fields", "sparkle", value=1), "Conv2D has no field 'sparkle'; known: .* newer version"),
        ("graph", at("nodes", 1, "fields", "kernel_initializer", value={"class": "Popen", "fields": {}}), "unknown initializer 'Popen'"),
        ("graph", at("nodes", 1, "fields", "activation", value={"class": "os.system", "fields": {}}), r"unknown layer 'os\.system'"),
        ("graph", at("nodes", 5, "layer", value="RELU7"), "unknown layer 'RELU7'; did you mean .* does not say which distribution"),
        ("graph", at("nodes", 0, "fields", "shape", value=[8, 8, 3, 1]), "layer 'a/conv'"),
        ("graph", at("trainable", "norm", value=1), "trainable must say true or false"),
        ("graph", at("weights", value=["a/conv/kernel"] * 6), "list of different paths"),
        ("graph", at("weights", 0, value="other"), "a/conv/kernel is missing; other belongs to no layer"),
        ("preprocess", lambda p: [1], "preprocess holds list"),
        ("classes", at("names", value=[1, 2]), "classes must hold names"),
        ("classes", at("task", value="regression"), "classes must hold names"),
        ("loop", lambda p: b"", "loop"),
        ("versions", lambda p: 3, "versions holds int"),
    ],
)
def test_changed_json(path, place, edit, message):
    change(path, place, edit)
    refused(path, message)


def test_all_wrong_weights_are_listed_at_once(path):
    with h5py.File(path, "r+") as file:
        del file["weights/0"], file["weights/1"]
        file["weights/1"] = np.zeros(7, np.float32)
        file["weights/99"] = np.zeros(1, np.float32)
    refused(path, r"weights/99 is not in the graph's list; a/conv/kernel has no data; a/conv/bias has shape \(7,\), its layer needs \(4,\)$")


def test_layers_of_a_missing_plugin(path):
    change(path, "graph", at("nodes", 5, "layer", value="Snake"))
    change(path, "versions", at("layers", "Snake", value={"distribution": "numbacnn-snake", "version": "0.3"}))
    refused(
        path, r"layer 'Snake' is not installed; the file says that it comes from numbacnn-snake 0\.3: if you trust that, pip install 'numbacnn-snake>=0\.3'"
    )
    change(path, "versions", at("layers", "Snake", value={"distribution": "numbacnn", "version": "9.0"}))
    refused(path, r"unknown layer 'Snake'.*written by numbacnn 9\.0: upgrade numbacnn")
    change(path, "versions", at("layers", "Snake", value={"distribution": "x; rm -rf /", "version": "9.0"}))
    refused(path, "does not say which distribution")


@pytest.mark.parametrize("version", [2, "1", 1.5])
def test_other_formats(path, version):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = version
    refused(path, "has format .*, this numbacnn reads format 1: upgrade")


def external(file, tmp):
    with h5py.File(tmp / "secret.h5", "w") as other:
        other["x"] = np.zeros((3, 3, 3, 4), np.float32)
    file["weights/0"] = h5py.ExternalLink(str(tmp / "secret.h5"), "/x")


def soft(file, tmp):
    file["weights/0"] = h5py.SoftLink("/optimizer/velocity")


def dangling(file, tmp):
    file["weights/0"] = h5py.SoftLink("/nowhere")


def outside(file, tmp):
    (tmp / "raw").write_bytes(bytes(432))
    file["weights"].create_dataset("0", (3, 3, 3, 4), np.float32, external=[(str(tmp / "raw"), 0, 432)])


def virtual(file, tmp):
    external(file, tmp)
    del file["weights/0"]
    layout = h5py.VirtualLayout((3, 3, 3, 4), np.float32)
    layout[:] = h5py.VirtualSource(str(tmp / "secret.h5"), "x", (3, 3, 3, 4))
    file["weights"].create_virtual_dataset("0", layout)


def linked_group(file, tmp):
    file.move("weights", "elsewhere")
    file["weights"] = h5py.SoftLink("/elsewhere")


def unwritten(file, tmp):
    file["weights"].create_dataset("0", (3, 3, 3, 4), np.float32)


def huge(file, tmp):
    file["weights"].create_dataset("0", (1 << 20, 1 << 20), np.float32)


def bomb(file, tmp):
    file["weights/0"] = np.zeros((3, 3, 3, 4), np.float32)
    del file["loop"]
    file.create_dataset("loop", (), "S60000000")


def large_slot(file, tmp):
    file["weights/0"] = np.zeros((3, 3, 3, 4), np.float32)
    file["optimizer"].create_dataset("huge", (1 << 33,), np.float32, chunks=(1 << 10,), compression="gzip")


def many_links(file, tmp):
    file["weights/0"] = np.zeros((3, 3, 3, 4), np.float32)
    file["optimizer/big"] = np.zeros(100_000, np.float32)
    for i in range(50):
        file[f"optimizer/{i}"] = file["optimizer/big"]


def doubles(file, tmp):
    file["weights/0"] = np.zeros((3, 3, 3, 4), np.float64)


def compound(file, tmp):
    file["weights"].create_dataset("0", (3, 3, 3, 4), np.dtype([("a", np.float32)]))


def objects(file, tmp):
    file["weights"].create_dataset("0", (3, 3, 3, 4), h5py.vlen_dtype(np.float32))


def references(file, tmp):
    file["weights"].create_dataset("0", (3, 3, 3, 4), h5py.ref_dtype)


def group(file, tmp):
    file.create_group("weights/0")


def cycle(file, tmp):
    file["weights/0"] = file["/"]


def filtered(file, tmp):
    file["weights"].create_dataset("0", data=np.zeros((3, 3, 3, 4), np.float32), compression="lzf")


def nothing(file, tmp):
    file["weights"].create_dataset("0", data=h5py.Empty(np.float32))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (external, r"weights/0 is a link to another place"),
        (soft, "weights/0 is a link"),
        (dangling, "weights/0 is a link"),
        (outside, "takes its data from other files"),
        (virtual, "takes its data from other files"),
        (linked_group, "weights is a link"),
        (unwritten, "claims 432 bytes, which a file of"),
        (huge, r"has shape \(1048576, 1048576\), its layer needs"),
        (bomb, "loop claims 60,000,000 bytes"),
        (large_slot, "optimizer/huge claims 34,359,738,368 bytes"),
        (many_links, "optimizer/.* claims 400,000 bytes"),
        (doubles, "weights/0 holds float64, not float32"),
        (compound, "not plain numbers"),
        (objects, "not plain numbers"),
        (references, "not plain numbers"),
        (group, "weights/0 is no dataset"),
        (cycle, "weights/0 is no dataset"),
        (filtered, "filter other than gzip"),
        (nothing, "not plain numbers"),
    ],
)
def test_hostile_files(path, tmp_path, attack, message):
    with h5py.File(path, "r+") as file:
        del file["weights/0"]
        attack(file, tmp_path)
    refused(path, message)


def test_compressed_and_big_endian_weights_are_read(path):
    kernel = full().weights["a/conv/kernel"]
    with h5py.File(path, "r+") as file:
        del file["weights/0"]
        file["weights"].create_dataset("0", data=kernel.astype(">f4"), compression="gzip", shuffle=True, fletcher32=True)
    same(full(), native.read(path))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_other_json_in_the_graph(tmp_path_factory, good, data):
    path = tmp_path_factory.mktemp("json") / "m.h5"
    path.write_bytes(good)

    def edit(graph):
        inner, keys = graph, []
        while isinstance(inner, (dict, list)) and inner and (not keys or data.draw(st.integers(0, 4))):
            keys.append(data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner)))))
            holder, inner = inner, inner[keys[-1]]
        holder[keys[-1]] = data.draw(json_values)
        return graph

    change(path, "graph", edit)
    try:
        native.read(path)
    except FileError as error:
        assert str(path) in str(error)
