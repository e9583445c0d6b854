"""Configurations of Keras models, in every spelling: what they become here."""

import math
from dataclasses import dataclass, replace

import pytest

from numbacnn import registry
from numbacnn.errors import FileError
from numbacnn.init import Initializer
from numbacnn.layer import Elementwise, Layer, Weight
from numbacnn.store.keras.config import parse_json, read_config
from numbacnn.store.keras.tree import KerasLayer, tree_of

L = registry.layers


def fail(reason):
    return FileError(f"there.h5: {reason}")


def read(config, version="3.15.1"):
    return read_config(config, version, fail)


def entry(class_name, name, nodes=(), **config):
    return {"class_name": class_name, "config": {"name": name, "trainable": True, "dtype": "float32", **config}, "name": name, "inbound_nodes": list(nodes)}


def source(name="x", shape=(8, 8, 3)):
    return {"class_name": "InputLayer", "config": {"name": name, "batch_shape": [None, *shape]}, "name": name, "inbound_nodes": []}


def tensor(name, call=0, index=0):
    return {"class_name": "__keras_tensor__", "config": {"shape": [None], "dtype": "float32", "keras_history": [name, call, index]}}


def new(*args, **kwargs):
    return {"args": list(args), "kwargs": kwargs}


def functional(layers, inputs=(("x", 0, 0),), outputs=(("y", 0, 0),), name="model", class_name="Functional", **more):
    ends = {"input_layers": [list(i) for i in inputs], "output_layers": [list(o) for o in outputs]}
    return {"class_name": class_name, "config": {"name": name, "layers": layers, **ends}, "name": name, **more}


def one(class_name, version="3.15.1", shape=(8, 8, 3), **config):
    """The layers of ours that one layer of Keras becomes."""
    graph, _, _ = read(functional([source(shape=shape), entry(class_name, "y", [new(tensor("x"))], **config)]), version)
    return [node.layer for node in graph.nodes[1:]]


# ---- one layer

CONV = {"filters": 4, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "activation": "linear", "use_bias": True}
LAYERS = [
    ("Conv2D", {**CONV, "dilation_rate": [1, 1], "groups": 1, "data_format": "channels_last"}, L["Conv2D"](4, 3)),
    ("Conv2D", {**CONV, "kernel_initializer": {"class_name": "HeNormal", "config": {"seed": None}}}, L["Conv2D"](4, 3, kernel_initializer="he_normal")),
    ("Conv2D", {**CONV, "kernel_initializer": {"class_name": "Secret", "config": {}}, "bias_constraint": {"class_name": "X"}}, L["Conv2D"](4, 3)),
    (
        "Conv2D",
        {**CONV, "kernel_initializer": {"class_name": "VarianceScaling", "config": {"scale": 2.0, "mode": "fan_in", "distribution": "uniform"}}},
        L["Conv2D"](4, 3, kernel_initializer="he_uniform"),
    ),
    ("Conv2D", {**CONV, "activation": {"module": "builtins", "class_name": "function", "config": "swish"}}, L["Conv2D"](4, 3, activation="swish")),
    ("Conv2D", {**CONV, "activation": "silu"}, L["Conv2D"](4, 3, activation="swish")),
    (
        "Conv2D",
        {**CONV, "activation": {"module": "keras.layers", "class_name": "LeakyReLU", "config": {"name": "l", "negative_slope": 0.1}}},
        L["Conv2D"](4, 3, activation=L["LeakyReLU"](0.1)),
    ),
    ("DepthwiseConv2D", {"kernel_size": [3, 3], "depth_multiplier": 2, "groups": 1, "kernel_initializer": None}, L["DepthwiseConv2D"](3, depth_multiplier=2)),
    ("SeparableConv2D", {"filters": 4, "kernel_size": [3, 3], "groups": 1, "use_bias": False}, L["SeparableConv2D"](4, 3, use_bias=False)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "output_padding": None, "groups": 1}, L["Conv2DTranspose"](4, 3)),
    (
        "BatchNormalization",
        {"axis": [3], "momentum": 0.9, "epsilon": 1e-5, "renorm": False, "fused": None},
        L["BatchNormalization"](momentum=0.9, epsilon=1e-5),
    ),
    ("BatchNormalization", {"axis": -1, "scale": False, "synchronized": False}, L["BatchNormalization"](scale=False)),
    ("BatchNormalizationV1", {"axis": [3], "momentum": 0.9}, L["BatchNormalization"](momentum=0.9)),
    ("LayerNormalization", {"axis": [3], "epsilon": 1e-6, "rms_scaling": False}, L["LayerNormalization"](epsilon=1e-6)),
    ("GroupNormalization", {"axis": 3, "groups": 3}, L["GroupNormalization"](3)),
    ("Normalization", {"axis": [3], "mean": None, "variance": None, "invert": False}, L["Normalization"]()),
    ("Normalization", {"axis": [-1], "mean": [1.0, 2.0, 3.0], "variance": [[[[1.0, 4.0, 9.0]]]]}, L["Normalization"](mean=(1, 2, 3), variance=(1, 4, 9))),
    ("Normalization", {"axis": None, "mean": 0.5, "variance": 2.0}, L["Normalization"](mean=0.5, variance=2.0)),
    ("Rescaling", {"scale": 0.5, "offset": -1}, L["Rescaling"](0.5, -1.0)),
    ("Rescaling", {"scale": [1.0, 2.0, 3.0], "offset": 0.0}, L["Rescaling"]((1.0, 2.0, 3.0))),
    ("Rescaling", {"scale": {"class_name": "__numpy__", "config": {"value": 0.25, "dtype": "float32"}}}, L["Rescaling"](0.25)),
    ("LeakyReLU", {"alpha": 0.30000001192092896}, L["LeakyReLU"](0.30000001192092896)),
    ("LeakyReLU", {"negative_slope": {"class_name": "__numpy__", "config": {"value": 0.1}}}, L["LeakyReLU"](0.1)),
    ("ReLU", {"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.5}, L["ReLU"](6.0, 0.1, 0.5)),
    ("ThresholdedReLU", {"theta": 1.0}, L["ReLU"](threshold=1.0)),
    ("PReLU", {"shared_axes": [1, 2], "alpha_initializer": {"class_name": "Zeros", "config": {}}}, L["PReLU"](shared_axes=(1, 2))),
    ("ELU", {"alpha": 0.5}, L["ELU"](0.5)),
    ("Softmax", {"axis": [-1]}, L["Softmax"]()),
    ("Activation", {"activation": None}, L["Activation"]("linear")),
    ("Activation", {"activation": "hard_silu"}, L["Activation"]("hard_swish")),
    ("Activation", {"activation": "my_package>Mish"}, L["Activation"]("Mish")),
    ("Dropout", {"rate": 0.2, "noise_shape": [None, 1, 1, 3], "seed": 5}, L["Dropout"](0.2, (None, 1, 1, 3))),
    ("StochasticDepth", {"drop_path_rate": 0.2}, L["Dropout"](0.2, (None, 1, 1, 1))),
    ("SpatialDropout2D", {"rate": 0.2, "seed": None, "noise_shape": None}, L["SpatialDropout2D"](0.2)),
    ("RandomFlip", {"mode": "horizontal", "seed": 1, "data_format": "channels_last"}, L["Identity"]()),
    ("MaxPooling2D", {"pool_size": [2, 2], "strides": None, "padding": "same"}, L["MaxPooling2D"](2, padding="same")),
    ("GlobalAveragePooling2D", {"keepdims": True}, L["GlobalAveragePooling2D"](True)),
    ("ZeroPadding2D", {"padding": [[0, 1], [1, 0]]}, L["ZeroPadding2D"](((0, 1), (1, 0)))),
    ("UpSampling2D", {"size": [2, 2], "interpolation": "bilinear"}, L["UpSampling2D"](2, "bilinear")),
    ("Resizing", {"height": 4, "width": 5, "interpolation": "nearest", "antialias": False, "fill_mode": "constant"}, L["Resizing"](4, 5, "nearest")),
    ("CenterCrop", {"height": 5, "width": 8}, L["Cropping2D"](((1, 2), (0, 0)))),
    ("Reshape", {"target_shape": [64, None]}, L["Reshape"]((64, -1))),
    ("LayerScale", {"init_values": 1e-6, "projection_dim": 3}, L["LayerScale"](1e-6, 3)),
    ("Squeeze>ReLU6", {}, L["ReLU6"]()),  # a registered layer of ours by its registered name
]


@pytest.mark.parametrize(("class_name", "config", "expected"), LAYERS, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(LAYERS)])
def test_a_layer(class_name, config, expected):
    assert one(class_name, **config) == [expected]


@pytest.mark.parametrize(("version", "slope"), [("3.15.1", 1 / 6), ("2.15.0", 0.2), ("2.2.4-tf", 0.2), (None, 0.2)])
def test_hard_sigmoid_depends_on_the_version(version, slope):
    (layer,) = one("Activation", version, activation="hard_sigmoid")
    ((part, _),) = layer.parts()
    assert part == L["HardSigmoid"](slope=slope)


KERAS_S_OWN = {"module": "keras.src.applications.inception_resnet_v2", "registered_name": "Custom>CustomScaleLayer"}


@pytest.mark.parametrize(("class_name", "more"), [("CustomScaleLayer", {}), ("Custom>CustomScaleLayer", {}), ("CustomScaleLayer", KERAS_S_OWN)])
def test_a_layer_that_becomes_two(class_name, more):
    layers = [source("a"), source("b"), {**entry(class_name, "y", [new([tensor("a"), tensor("b")])], scale=0.17), **more}]
    graph, tree, _ = read(functional(layers, [["a", 0, 0], ["b", 0, 0]]))
    scaled, total = graph.nodes[2:]
    assert (scaled.layer, scaled.inputs) == (L["Rescaling"](0.17), ("b",))
    assert (total.name, total.layer, total.inputs) == ("y", L["Add"](), ("a", scaled.name))
    assert tree[2] == KerasLayer("y", class_name, "y")


@pytest.mark.parametrize("dtype", ["float32", None, "mixed_float16", {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}])
def test_dtypes_that_keep_weights_in_float32(dtype):
    assert one("ReLU", dtype=dtype) == [L["ReLU"]()]


@dataclass(frozen=True)
class Attention(Layer):
    """A plugin's layer, for what a file of Keras says of a user's class."""

    heads: int = 1
    start: float = 0.5
    activation: str | Layer | None = None
    kernel_initializer: str | Initializer = "zeros"

    def weights(self, x):
        return {"gate": Weight((self.heads,), self.kernel_initializer)}


@dataclass(frozen=True)
class Tilt(Elementwise):
    """A plugin's activation."""

    @staticmethod
    def f(x):
        return 2.0 * x

    @staticmethod
    def df(x):
        return 2.0


class Point:
    group, dist = "numbacnn.layers", type("dist", (), {"name": "my-layers", "version": "0.3"})

    def __init__(self, cls):
        self.name, self.value, self.load = cls.__name__, f"my_layers:{cls.__name__}", lambda: cls


@pytest.fixture
def plugin(monkeypatch):
    added = {cls.__name__: [Point(cls)] for cls in (Attention, Tilt)}
    monkeypatch.setitem(registry.layers.__dict__, "points", dict(registry.layers.points) | added)
    monkeypatch.setitem(registry.layers.__dict__, "_names", dict(registry.layers._names) | {"attention": "Attention", "tilt": "Tilt"})
    yield
    for name in added:
        registry.layers._loaded.pop(name, None)


def test_a_plugin_s_layer_takes_the_place_of_a_user_s_class(plugin):
    options = {"heads": 2, "start": 0.25, "activation": "my_layers>Tilt", "kernel_initializer": {"class_name": "Ones", "config": {}}}
    stored = {**entry("my_layers>Attention", "y", [new(tensor("x"))], **options), "module": "my_layers", "registered_name": "my_layers>Attention"}
    graph, tree, _ = read(functional([source(), stored]))
    assert graph["y"].layer == Attention(2, 0.25, "Tilt", "ones")
    assert tree[1] == KerasLayer("y", "my_layers>Attention", "y", (("gate", (2,)),))
    stored["config"]["window"] = 7
    with pytest.raises(FileError, match=r"there\.h5: layer 'y' .my_layers>Attention.: Attention has no field 'window'"):
        read(functional([source(), stored]))


# ---- the same network in all spellings

FIELDS = {"filters": 4, "kernel_size": [3, 3]}
SPELLINGS = {
    "Sequential, Keras 3": {"class_name": "Sequential", "config": {"name": "s", "layers": [source(), entry("Conv2D", "c", **FIELDS), entry("Flatten", "y")]}},
    "Sequential, a bare list": {
        "class_name": "Sequential",
        "config": [
            {"class_name": "Conv2D", "config": {"name": "c", **FIELDS, "batch_input_shape": [None, 8, 8, 3]}},
            {"class_name": "Flatten", "config": {"name": "y"}},
        ],
    },
    "Sequential, built later": {
        "class_name": "Sequential",
        "config": {"name": "s", "build_input_shape": [None, 8, 8, 3], "layers": [entry("Conv2D", "c", **FIELDS), entry("Flatten", "y")]},
    },
    "Sequential, build_config": {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [entry("Conv2D", "c", **FIELDS), entry("Flatten", "y")]},
        "build_config": {"input_shape": [None, 8, 8, 3]},
    },
    "Functional, tf.keras 2": functional(
        [source(), entry("Conv2D", "c", [[["x", 0, 0, {}]]], **FIELDS), entry("Flatten", "y", [[["c", 0, 0, {"training": False}]]])],
    ),
    "Model, old, three items, other order": functional(
        [entry("Flatten", "y", [[["c", 0, 0]]]), entry("Conv2D", "c", [[["x", 0, 0]]], **FIELDS), source()], class_name="Model"
    ),
    "Functional, Keras 3": functional(
        [source(), entry("Conv2D", "c", [new(tensor("x"))], **FIELDS), entry("Flatten", "y", [new(tensor("c"), training=None, mask=None)])],
    ),
}


@pytest.mark.parametrize("config", SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_of_one_network(config):
    graph, tree, trainable = read(config)
    assert [n.layer for n in graph.nodes] == [L["Input"]((8, 8, 3)), L["Conv2D"](4, 3), L["Flatten"]()]
    assert [n.name for n in graph.nodes[1:]] == ["c", "y"] and graph.outputs == ("y",)
    named = {layer.name: layer for layer in tree}
    assert named["c"] == KerasLayer("c", "Conv2D", "c", (("kernel", (3, 3, 3, 4)), ("bias", (4,))))
    assert ("x" in named) == (config["class_name"] != "Sequential")
    assert trainable == {"c": True, "y": True}


@pytest.mark.parametrize("ends", [["x", 0, 0], [["x", 0, 0]], {"in": ["x", 0, 0]}, [[["x", 0, 0]]]], ids=str)
def test_spellings_of_inputs(ends):
    config = functional([source(), entry("ReLU", "y", [new(tensor("x"))])])
    config["config"]["input_layers"] = ends
    config["config"]["output_layers"] = {"out": ["y", 0, 0]}
    graph, _, _ = read(config)
    assert (graph.inputs, graph.outputs) == (("x",), ("y",))


# ---- models in the model


def tower(name="tower", listed=True, sequential=False, outputs=(("r", 0, 0),)):
    call = [[["t", 0, 0, {}]]] if listed else [new(tensor("t"))]
    then = [[["c", 0, 0, {}]]] if listed else [new(tensor("c"))]
    layers = [source("t"), entry("Conv2D", "c", call, filters=2, kernel_size=3), entry("ReLU", "r", then)]
    if sequential:
        return {"class_name": "Sequential", "config": {"name": name, "layers": layers}, "name": name}
    return functional(layers, [["t", 0, 0]], outputs, name)


def two_towers(first, last, listed, sequential, direct):
    """A tower called on a and on b; y = tower(b) - tower(a), and where `direct`, tower(b) is an output as well."""
    inner = tower(listed=listed, sequential=sequential)
    calls = [[["a", 0, 0, {}]], [["b", 0, 0, {}]]] if listed else [new(tensor("a")), new(tensor("b"))]
    inner["inbound_nodes"] = calls
    operands = ("tower", 1 + first), ("tower", first)
    node = [[[n, c, 0, {}] for n, c in operands]] if listed else [new([tensor(n, c) for n, c in operands])]
    ends = [["y", 0, 0], *([["tower", 1 + last, 0]] if direct else [])]
    return functional([source("a"), source("b"), inner, entry("Subtract", "y", node)], [["a", 0, 0], ["b", 0, 0]], ends)


@pytest.mark.parametrize(
    ("first", "last", "listed", "sequential", "direct"),
    [
        (1, 1, True, False, True),  # tf.keras 2 counts calls of models from 1
        (1, 1, True, True, True),
        (0, 0, True, True, True),  # and from 0 where they did not know their input
        (0, 1, False, False, True),  # Keras 3 counts from 0, but a Functional's outputs from 1
        (0, 0, False, True, True),
        (0, 0, False, False, False),
        (1, 1, True, False, False),
    ],
)
def test_which_call_of_a_model_is_meant(first, last, listed, sequential, direct):
    graph, tree, _ = read(two_towers(first, last, listed, sequential, direct))
    on_a, on_b = "tower/r", "tower/r_call_2"
    assert graph["tower/c"].inputs == ("a",) and graph["tower/c_call_2"].inputs == ("b",)
    assert graph["tower/c_call_2"].owner == "tower/c" and graph["tower/c_call_2"].layer is graph["tower/c"].layer
    assert graph["y"].inputs == (on_b, on_a)
    assert graph.outputs == (("y", on_b) if direct else ("y",))
    nested = tree[2]
    assert (nested.name, nested.class_name, nested.owner) == ("tower", "Sequential" if sequential else "Functional", None)
    assert [c.name for c in nested.children] == (["c", "r"] if sequential else ["t", "c", "r"])
    assert nested.children[-2].owner == "tower/c"


def test_a_call_that_cannot_be_told():
    config = two_towers(1, 1, True, False, False)
    config["config"]["layers"][3]["inbound_nodes"] = [[["tower", 1, 0, {}], ["a", 0, 0, {}]]]
    with pytest.raises(FileError, match=r"'tower'.*called 2 times, but calls \[1\] are read"):
        read(config)


def test_an_output_of_a_model_that_nobody_reads():
    inner = tower(listed=False, outputs=(("c", 0, 0), ("r", 0, 0)))
    inner["config"]["layers"].append(entry("Dense", "d", [new(tensor("r"))], units=5))
    inner["config"]["output_layers"].append(["d", 0, 0])
    inner["inbound_nodes"] = [new(tensor("x"))]
    graph, tree, trainable = read(functional([source(), inner, entry("ReLU", "y", [new(tensor("tower", 0, 1))])]))
    assert graph["y"].inputs == ("tower/r",)
    dense = tree[1].children[-1]
    assert dense == KerasLayer("d", "Dense", None, (("kernel", (2, 5)), ("bias", (5,))))  # its weights are in the file all the same
    assert "tower/d" not in trainable and "tower/d" not in [n.name for n in graph.nodes]


def test_what_is_frozen():
    inner = tower(listed=False)
    inner["config"]["trainable"] = False
    inner["inbound_nodes"] = [new(tensor("s"), training=False)]
    layers = [source(), entry("Conv2D", "s", [new(tensor("x"))], filters=3, kernel_size=1, trainable=False), inner]
    _, tree, trainable = read(functional([*layers, entry("Dense", "y", [new(tensor("tower"))], units=2)]))
    assert trainable == {"s": False, "tower/c": False, "tower/r": False, "y": True}
    assert [(t.name, t.trainable) for t in tree] == [("x", True), ("s", False), ("tower", False), ("y", True)]


def test_a_model_with_a_dict_of_inputs():
    layers = [source("p"), source("q"), entry("Subtract", "d", [new([tensor("p"), tensor("q")])])]
    inner = functional(layers, [], [["d", 0, 0]], "inner")
    inner["config"]["input_layers"] = {"p": ["p", 0, 0], "q": ["q", 0, 0]}
    inner["inbound_nodes"] = [new({"q": tensor("x"), "p": tensor("r")})]
    graph, _, _ = read(functional([source(), entry("ReLU", "r", [new(tensor("x"))]), inner], outputs=[["inner", 1, 0]]))
    assert graph["inner/d"].inputs == ("r", "x") and graph.outputs == ("inner/d",)


def test_a_sequential_that_begins_with_a_model():
    inner = tower(listed=False)
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [inner, entry("Flatten", "y")]}}
    graph, tree, _ = read(config)
    assert graph.nodes[0].layer == L["Input"]((8, 8, 3)) and graph["tower/c"].inputs == (graph.inputs[0],)
    assert [t.name for t in tree] == ["tower", "y"]


def test_names_with_slashes_and_names_that_meet():
    inner = tower(listed=False)
    inner["inbound_nodes"] = [new(tensor("tower/c"))]
    layers = [source(), entry("Conv2D", "tower/c", [new(tensor("x"))], filters=3, kernel_size=1), inner]
    graph, tree, _ = read(functional(layers, outputs=[["tower", 1, 0]]))
    assert [n.name for n in graph.nodes] == ["x", "tower/c", "tower/c_2", "tower/r"]
    assert (tree[1].owner, tree[2].children[1].owner) == ("tower/c", "tower/c_2")


# ---- functions

OPERATIONS = [
    ("Add", [tensor("x"), 3.0], {}, L["Rescaling"](1.0, 3.0)),
    ("Add", [3, tensor("x")], {}, L["Rescaling"](1.0, 3.0)),
    ("Subtract", [tensor("x"), 3.0], {}, L["Rescaling"](1.0, -3.0)),
    ("Subtract", [1.0, tensor("x")], {}, L["Rescaling"](-1.0, 1.0)),
    ("Multiply", [tensor("x"), [1.0, 2.0, 4.0]], {}, L["Rescaling"]((1.0, 2.0, 4.0))),
    ("TrueDivide", [tensor("x"), 4.0], {}, L["Rescaling"](0.25)),
    ("Maximum", [tensor("x"), 0], {}, L["ReLU"]()),
    ("Add", [tensor("x"), tensor("x")], {}, L["Add"]()),
    ("Relu6", [tensor("x")], {}, L["ReLU6"]()),
    ("Silu", [tensor("x")], {}, L["Swish"]()),
    ("HardSigmoid", [tensor("x")], {}, L["HardSigmoid"]()),
    ("Gelu", [tensor("x")], {"approximate": True}, L["GELU"](approximate=True)),
    ("LeakyRelu", [tensor("x")], {"negative_slope": 0.1}, L["LeakyReLU"](0.1)),
    ("Softmax", [tensor("x")], {"axis": 3}, L["Softmax"]()),
    ("Clip", [tensor("x")], {"x_min": 0.0, "x_max": 6.0}, L["ReLU"](6.0)),
    ("Mean", [tensor("x")], {"axis": [1, 2], "keepdims": True}, L["GlobalAveragePooling2D"](True)),
    ("Concatenate", [[tensor("x"), tensor("x")]], {"axis": -1}, L["Concatenate"]()),
    ("Reshape", [tensor("x")], {"newshape": [-1, 64, 3]}, L["Reshape"]((64, 3))),
    ("Transpose", [tensor("x")], {"axes": [0, 3, 1, 2]}, L["Permute"]((3, 1, 2))),
    ("Square", [tensor("x")], {}, L["Multiply"]()),
    ("Negative", [tensor("x")], {}, L["Rescaling"](-1.0)),
    ("Elu", [tensor("x")], {}, L["ELU"]()),
    ("ReLU", [tensor("x")], {"max_value": 4.0, "negative_slope": 0.1, "threshold": 0.0}, L["ReLU"](4.0, 0.1)),
]


@pytest.mark.parametrize("module", ["keras.src.ops.numpy", None])
@pytest.mark.parametrize(("class_name", "args", "settings", "expected"), OPERATIONS, ids=[f"{o[0]}-{i}" for i, o in enumerate(OPERATIONS)])
def test_an_operation(class_name, args, settings, expected, module):
    made = {"class_name": class_name, "config": {"name": "y", **settings}, "name": "y", "inbound_nodes": [new(*args)]}
    graph, tree, _ = read(functional([source(), {**made, "module": module} if module else made]))
    assert [n.layer for n in graph.nodes[1:]] == [expected]
    assert tree[1] == KerasLayer("y", class_name, "y", is_operation=True)


FUNCTIONS = [
    ("__operators__.add", ["x", 0, 0, {"y": 3.0, "name": None}], L["Rescaling"](1.0, 3.0)),
    ("math.multiply", ["x", 0, 0, {"y": ["x", 0, 0], "name": None}], L["Multiply"]()),
    ("math.subtract", ["_CONSTANT_VALUE", -1, 2.0, {"y": ["x", 0, 0], "name": None}], L["Rescaling"](-1.0, 2.0)),
    ("math.truediv", ["x", 0, 0, {"y": 2.0, "name": None}], L["Rescaling"](0.5)),
    ("nn.relu6", ["x", 0, 0, {"name": None}], L["ReLU6"]()),
    ("nn.silu", ["x", 0, 0, {}], L["Swish"]()),
    ("cast", ["x", 0, 0, {"dtype": "float32"}], L["Identity"]()),
    ("math.reduce_mean", ["x", 0, 0, {"axis": [1, 2], "keepdims": False}], L["GlobalAveragePooling2D"]()),
    ("concat", [["x", 0, 0, {"axis": -1}], ["x", 0, 0, {"axis": -1}]], L["Concatenate"]()),
    ("clip_by_value", ["x", 0, 0, {"clip_value_min": 0, "clip_value_max": 6}], L["ReLU"](6.0)),
]


@pytest.mark.parametrize(("function", "node", "expected"), FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_a_function_of_tensorflow(function, node, expected):
    graph, tree, _ = read(functional([source(), entry("TFOpLambda", "y", [node], function=function)]), "2.15.0")
    assert [n.layer for n in graph.nodes[1:]] == [expected]
    assert tree[1] == KerasLayer("y", "TFOpLambda", "y")  # a layer there: it counts


def test_a_layer_add_is_no_operation():
    node = [new([tensor("x"), tensor("x")])]
    plain = {"class_name": "Add", "config": {"name": "y"}, "name": "y", "inbound_nodes": node}
    graph, tree, _ = read(functional([source(), plain]))
    assert graph["y"].layer == L["Add"]() and not tree[1].is_operation


# ---- channels first


def test_channels_first_becomes_channels_last():
    first = {"data_format": "channels_first"}
    layers = [
        source(shape=(3, 8, 6)),
        entry("Conv2D", "c", [new(tensor("x"))], **FIELDS, **first),
        entry("BatchNormalization", "b", [new(tensor("c"))], axis=1),
        entry("Concatenate", "j", [new([tensor("b"), tensor("c")])], axis=1),
        entry("Dropout", "d", [new(tensor("j"))], rate=0.1, noise_shape=[None, 8, 1, 1]),
        entry("Flatten", "f", [new(tensor("d"))], **first),
        entry("Dense", "e", [new(tensor("f"))], units=8),
        entry("BatchNormalization", "n", [new(tensor("e"))], axis=-1),
        entry("Softmax", "y", [new(tensor("n"))], axis=-1),
    ]
    graph, _, _ = read(functional(layers))
    norm, join = L["BatchNormalization"](), L["Concatenate"]()
    dense = [L["Flatten"](), L["Dense"](8), norm, L["Softmax"]()]
    assert [n.layer for n in graph.nodes] == [L["Input"]((8, 6, 3)), L["Conv2D"](4, 3), norm, join, L["Dropout"](0.1, (None, 1, 1, 8)), *dense]
    assert graph.shapes()["f"] == (6 * 4 * 8,)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (("Dense", {"units": 2}), "another order"),
        (("Flatten", {"data_format": "channels_last"}), "another order"),
        (("Reshape", {"target_shape": [4, 36]}), "another order"),
        (("Permute", {"dims": [2, 3, 1]}), "another order"),
        (("PReLU", {"shared_axes": [2, 3]}), "another order"),
        (("Activation", {"activation": "softmax"}), "images' width"),
        (("BatchNormalization", {"axis": -1}), "axis=-1 does not mean the channels"),
        (("MaxPooling2D", {"pool_size": 2}), "mixes images with channels first and last .'c' is channels_first, 'y' is channels_last"),
    ],
    ids=lambda v: v[0] if isinstance(v, tuple) else "",
)
def test_channels_first_that_cannot_be_turned(layer, message):
    conv = entry("Conv2D", "c", [new(tensor("x"))], **FIELDS, data_format="channels_first")
    with pytest.raises(FileError, match=message):
        read(functional([source(shape=(3, 8, 8)), conv, entry(layer[0], "y", [new(tensor("c"))], **layer[1])]))


# ---- around


def test_json():
    assert parse_json(b'{"class_name": "Functional"}', fail) == {"class_name": "Functional"}
    for text, message in ((b"\xff", "no JSON"), ("{", "no JSON"), ("[]", "no JSON object"), ("[" * 100_000, "no JSON")):
        with pytest.raises(FileError, match=rf"there\.h5: .*{message}"):
            parse_json(text, fail)


def test_the_tree_of_a_graph_of_ours():
    graph, tree, _ = read(SPELLINGS["Functional, Keras 3"])
    assert tree_of(graph) == tree
    swish = replace(graph, nodes=(*graph.nodes[:-1], replace(graph.nodes[-1], layer=L["Swish"]())))
    assert [t.class_name for t in tree_of(swish)] == ["InputLayer", "Conv2D", "Activation"]
    assert math.prod(tree[1].weights[0][1]) == 108
