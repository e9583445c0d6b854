"""What a configuration must not hold: each thing is one FileError that names file, layer and reason, and nothing is run."""

import copy
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_config import CONV, FIELDS, entry, functional, new, read, source, tensor, tower

from numbacnn import registry
from numbacnn.errors import FileError


def network(*layers, **more):
    return functional([source(), *layers], **more)


def conv(**config):
    return network(entry("Conv2D", "y", [new(tensor("x"))], **(CONV | config)))


def layer(class_name, **config):
    return network(entry(class_name, "y", [new(tensor("x"))], **config))


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def nested(depth, call=lambda n: [new(tensor("i"))]):
    """Models in models; the innermost hands its input on."""
    inner = functional([source("i")], [["i", 0, 0]], [["i", 0, 0]], "m0")
    for n in range(1, depth):
        inner["inbound_nodes"] = call(n)
        outer = functional([source("i"), inner], [["i", 0, 0]], [[f"m{n - 1}", 1, 0]], f"m{n}")
        inner = outer
    return inner


def doubling(depth):
    """Every model calls the one in it ten times, one after the other: 10^depth calls in a small file."""

    def calls(n):
        return [new(tensor("i"))] + [new(tensor(f"m{n - 1}", k)) for k in range(9)]

    config = nested(depth, calls)
    part = config
    for n in reversed(range(1, depth)):
        part["config"]["output_layers"] = [[f"m{n - 1}", 10, 0]]
        part = part["config"]["layers"][1]
    return config


def changed(config, *path, to):
    config = copy.deepcopy(config)
    place = config
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return config


MARSHAL = {"class_name": "__lambda__", "config": {"value": "4wEAAAAA", "defaults": None, "closure": None}}
GOOD = conv()
REFUSED = {
    # code
    "Lambda": (layer("Lambda", function=MARSHAL), "'y' .Lambda.: it holds code"),
    "Lambda, old": (layer("Lambda", function=["4wEAAAAA", None, None], function_type="lambda"), "it holds code"),
    "TFSMLayer": (layer("TFSMLayer", filepath="/tmp/evil"), "it holds code"),
    "TorchModuleWrapper": (layer("TorchModuleWrapper", module="UEsDB"), "it holds code"),
    "lambda as activation": (conv(activation=MARSHAL), "it holds code"),
    "function of another module": (conv(activation={"module": "os", "class_name": "function", "config": "system"}), "activation 'system' is none"),
    "class of another module": (network({**entry("popen", "y", [new(tensor("x"))]), "module": "os"}), "no layer for the class 'popen'"),
    "activation of another module": (conv(activation={"module": "os", "class_name": "system", "config": {"name": "s"}}), "no layer for the class 'system'"),
    "get_file": (network({**entry("get_file", "y", [new(tensor("x"))], origin="http://x"), "module": "keras.utils"}), "no layer for the class 'get_file'"),
    "StringLookup": (layer("StringLookup", vocabulary="/etc/passwd"), "no layer for the class 'StringLookup'"),
    "subclass of Model": ({"class_name": "MyModel", "config": {}, "module": "my"}, "a subclass of Model is code"),
    "subclass inside": (
        network({**entry("MyModel", "y", [new(tensor("x"))]), "module": "my"}),
        'entry-points."numbacnn.layers". MyModel = "your_module:MyModel"',
    ),
    # what is not known
    "custom layer": (layer("my_package>Attention", heads=2), r'\[project.entry-points."numbacnn.layers"\] Attention = "your_module:Attention"'),
    "custom layer with Keras' name": (layer("mine>Conv2D", **FIELDS), "no layer for the class 'mine>Conv2D'"),
    "custom layer with Keras' name, registered": (
        network({**entry("Conv2D", "y", [new(tensor("x"))], **FIELDS), "module": "mine", "registered_name": "Conv2D"}),
        "no layer for the class 'Conv2D'",
    ),
    "layer that we lack": (layer("LSTM", units=3), "no layer for the class 'LSTM'"),
    "activation that we lack": (conv(activation="my_act"), "'y' .Conv2D.: activation 'my_act' is none that numbacnn knows"),
    "activation with weights": (conv(activation="PReLU"), "activation 'PReLU' is none"),
    "option": (conv(magic=3), "does not know its option magic=3"),
    "operation": (
        network({"class_name": "Fft2", "config": {"name": "y"}, "module": "keras.src.ops.math", "inbound_nodes": [new(tensor("x"))]}),
        "no layer for",
    ),
    "slicing": (network(entry("SlicingOpLambda", "y", [["x", 0, 0, {"slice_spec": [{"start": 0}]}]], function="__operators__.getitem")), "no layer for this"),
    "cast": (network(entry("TFOpLambda", "y", [["x", 0, 0, {"dtype": "uint8"}]], function="cast")), "tf.cast: dtype='uint8'"),
    "clip": (network(entry("TFOpLambda", "y", [["x", 0, 0, {"clip_value_min": -1, "clip_value_max": 1}]], function="clip_by_value")), "between -1.0 and 1.0"),
    "mean": (network(entry("TFOpLambda", "y", [["x", 0, 0, {"axis": [3]}]], function="math.reduce_mean")), "the mean along axis"),
    "transpose": (network(entry("TFOpLambda", "y", [["x", 0, 0, {"perm": [1, 0, 2, 3]}]], function="transpose")), "which must stay the first"),
    "reshape": (network(entry("TFOpLambda", "y", [["x", 0, 0, {"shape": [3, 64]}]], function="reshape")), "which must be -1 or null"),
    "constant operands": (network(entry("TFOpLambda", "y", [["x", 0, 0, {"y": "three"}]], function="math.add")), "its constant operand='three'"),
    "division by 0": (network(entry("TFOpLambda", "y", [["x", 0, 0, {"y": 0}]], function="math.truediv")), "numbacnn has no layer"),
    "division of tensors": (
        network({"class_name": "TrueDivide", "config": {"name": "y"}, "inbound_nodes": [new(tensor("x"), tensor("x"))]}),
        "a tensor divided by a tensor",
    ),
    "quantized": (conv(dtype={"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}), "is no policy that numbacnn reads"),
    "float16": (conv(dtype="float16"), "dtype='float16' is not read"),
    "float64": (conv(dtype={"class_name": "Policy", "config": {"name": "float64"}}), "dtype='float64' is not read"),
    "text input": (functional([changed(source(), "config", "dtype", to="string"), entry("Flatten", "y", [new(tensor("x"))])]), "dtype='string' is not read"),
    "ragged input": (functional([changed(source(), "config", "ragged", to=True), entry("Flatten", "y", [new(tensor("x"))])]), "ragged inputs"),
    "renorm": (layer("BatchNormalization", axis=-1, renorm=True), "renorm=True is not there"),
    "axis": (layer("BatchNormalization", axis=1), "axis=1 is not the last"),
    "axes": (layer("LayerNormalization", axis=[1, 2]), "is not the last"),
    "one mean for all": (layer("Normalization", axis=None), "is not the last"),
    "aspect ratio": (layer("Resizing", height=3, width=3, crop_to_aspect_ratio=True), "crop_to_aspect_ratio=True is not there"),
    "interpolation": (layer("Resizing", height=3, width=3, interpolation="bicubic"), "interpolation"),
    "crop that enlarges": (layer("CenterCrop", height=9, width=3), "at least that"),
    "groups": (layer("SeparableConv2D", filters=4, kernel_size=3, groups=3), "groups=3 is not there"),
    "mask": (network(entry("ReLU", "y", [new(tensor("x"), mask=tensor("x"))])), "called with a mask"),
    "argument": (network(entry("ReLU", "y", [new(tensor("x"), initial_state=3)])), "called with initial_state=3"),
    "two arguments": (network(entry("ReLU", "y", [new(tensor("x"), tensor("x"))])), "layers are called on a tensor or on one list"),
    # absurd numbers
    "filters": (conv(filters=10**12), "filters=1000000000000 is no integer from"),
    "filters of 400 digits": (conv(filters=10**400), "filters=.* is no integer"),
    "kernel": (conv(kernel_size=[10**6, 10**6]), "kernel_size=1000000 is no integer"),
    "weight": (conv(filters=1 << 22, kernel_size=[64, 64], padding="same"), "its weight kernel has shape .* more than 1,073,741,824 numbers"),
    "units": (layer("Dense", units=1 << 40), "units=.* is no integer"),
    "padding": (layer("ZeroPadding2D", padding=[[10**6, 0], [0, 0]]), "padding=1000000 is no integer"),
    "upsampling": (network(*(entry("UpSampling2D", n, [new(tensor(s))], size=4000) for n, s in ("ax", "ya"))), "more than 1,073,741,824 numbers"),
    "input": (functional([source(shape=(10**6, 10**6, 3)), entry("Flatten", "y", [new(tensor("x"))])]), "more than 1,073,741,824 numbers"),
    "input of many axes": (functional([source(shape=(1,) * 9), entry("Flatten", "y", [new(tensor("x"))])]), "is no shape"),
    "stride 0": (conv(strides=[0, 1]), r"strides=.0, 1. must be"),
    "strides and dilation": (conv(strides=[2, 2], dilation_rate=[2, 2]), "cannot both be above 1"),
    "negative": (conv(filters=-3), "filters=-3 is no integer from"),
    "scale": (layer("Rescaling", scale=float("nan")), "scale=nan is no finite number"),
    "rate": (layer("Dropout", rate=1.5), "rate=1.5 must be"),
    "too deep": (nested(60), "more than 32 models lie in each other"),
    "too many calls": (doubling(12), "more than 20,000 layers"),
    "deep value": (conv(kernel_size=deep(700)), "kernel_size"),
    "deep argument": (network(entry("ReLU", "y", [new(deep(700))])), "no call of a layer"),
    "deep constant": (layer("Rescaling", scale=deep(700)), "scale"),
    "deep activation": (conv(activation={"class_name": "Activation", "config": {"activation": {"class_name": "X", "config": {}}}}), "'X'"),
    # wrong types
    "no object": ([], "no JSON object with a class_name"),
    "no config": ({"class_name": "Functional"}, "no config with a list of layers"),
    "no layers": (changed(GOOD, "config", "layers", to={}), "no config with a list of layers"),
    "empty": (changed(GOOD, "config", "layers", to=[]), "it has 0 layers"),
    "layer is a text": (changed(GOOD, "config", "layers", 1, to="conv"), "layer 1 is no JSON object"),
    "config is a text": (changed(GOOD, "config", "layers", 1, "config", to="conv"), "its config is 'conv'"),
    "class is a number": (changed(GOOD, "config", "layers", 1, "class_name", to=3), "layer 1 is no JSON object with a class_name"),
    "name is a number": (changed(GOOD, "config", "layers", 1, "name", to=3), "the name of layer 1=3 is no name"),
    "name with a null": (changed(GOOD, "config", "layers", 1, "name", to="a\0b"), "is no name"),
    "filters is a text": (conv(filters="many"), "filters='many' is no integer"),
    "filters is true": (conv(filters=True), "filters=True is no integer"),
    "kernel of three": (conv(kernel_size=[3, 3, 3]), "kernel_size"),
    "use_bias is a number": (conv(use_bias=1), "use_bias=1 is no bool"),
    "trainable is a text": (conv(trainable="yes"), "trainable='yes' is neither true nor false"),
    "no filters": (layer("Conv2D", kernel_size=3), "needs the field 'filters'"),
    "activation is a number": (conv(activation=3), "activation=3 is no name"),
    "shape is a text": (changed(GOOD, "config", "layers", 0, "config", "batch_shape", to="8x8"), "batch_shape='8x8' is no shape"),
    "shape is missing": (changed(GOOD, "config", "layers", 0, "config", to={"name": "x"}), "batch_shape=None is no shape"),
    "length 0": (changed(GOOD, "config", "layers", 0, "config", "batch_shape", to=[None, 0, 8, 3]), "batch_shape=0 is no integer"),
    "nodes are a text": (changed(GOOD, "config", "layers", 1, "inbound_nodes", to="x"), "inbound_nodes='x' is no list"),
    "node is a number": (changed(GOOD, "config", "layers", 1, "inbound_nodes", to=[3]), "holds 3, which is no call"),
    "history is short": (network(entry("ReLU", "y", [new({"class_name": "__keras_tensor__", "config": {"keras_history": ["x"]}})])), "no call of a layer"),
    "inputs are numbers": (changed(GOOD, "config", "input_layers", to=[1, 2]), "input_layers holds 1"),
    "no inputs": (changed(GOOD, "config", "input_layers", to=[]), "input_layers names no layer"),
    # graphs that are none
    "unknown layer": (network(entry("ReLU", "y", [new(tensor("z"))])), "'z' is read, but there is no layer of that name"),
    "unknown output": (network(entry("ReLU", "y", [new(tensor("x"))]), outputs=[["z", 0, 0]]), "'z' is read, but there is no layer"),
    "unknown call": (network(entry("ReLU", "y", [new(tensor("x", 1))])), "call 1 of layer 'x' is read"),
    "unknown output of a layer": (network(entry("ReLU", "y", [new(tensor("x", 0, 1))])), "output 1 of layer 'x' is read"),
    "never called": (network(entry("ReLU", "y", [])), "called on nothing"),
    "called on a number": (network(entry("ReLU", "y", [new(3)])), "called on no tensor"),
    "loop": (network(entry("ReLU", "a", [new(tensor("y"))]), entry("ReLU", "y", [new(tensor("a"))])), "'a', 'y' wait for each other"),
    "itself": (network(entry("ReLU", "y", [new(tensor("y"))])), "wait for each other"),
    "same name": (network(entry("ReLU", "y", [new(tensor("x"))]), entry("ReLU", "y", [new(tensor("x"))])), "two layers are named 'y'"),
    "input twice": (network(entry("ReLU", "y", [new(tensor("x"))]), inputs=[["x", 0, 0], ["x", 0, 0]]), "names a layer twice"),
    "input is no input": (network(entry("ReLU", "y", [new(tensor("x"))]), inputs=[["y", 0, 0]]), "'y', which is no InputLayer"),
    "loose input": (functional([source(), source("w"), entry("ReLU", "y", [new(tensor("x"))])]), "InputLayer 'w' is not among"),
    "too few inputs": (network({**tower(listed=False), "inbound_nodes": [new([tensor("x"), tensor("x")])]}, outputs=[["tower", 1, 0]]), "it has 1 inputs"),
    "output of a model": (network({**tower(listed=False), "inbound_nodes": [new(tensor("x"))]}, outputs=[["tower", 1, 3]]), "output 3 of 'tower' is read"),
    "shapes": (conv(kernel_size=[9, 9]), "'y' .Conv2D. cannot take input shape .8, 8, 3.|does not fit in"),
    "shapes that differ": (network(entry("Conv2D", "c", [new(tensor("x"))], **CONV), entry("Add", "y", [new([tensor("x"), tensor("c")])])), "cannot be merged"),
    "weights that cannot be shared": (
        network(entry("Conv2D", "c", [new(tensor("x"))], **CONV), entry("Dense", "y", [new(tensor("x")), new(tensor("c"))], units=2), outputs=[["y", 1, 0]]),
        "it is shared, but an input of shape",
    ),
    "no shape": ({"class_name": "Sequential", "config": {"name": "s", "layers": [entry("Dense", "y", units=2)]}}, "what shape the model's input has"),
    "input in the middle": ({"class_name": "Sequential", "config": {"layers": [source(), entry("ReLU", "y"), source("w")]}}, "comes first in a Sequential"),
}


@pytest.mark.parametrize(("config", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(config, message):
    began = time.monotonic()
    with pytest.raises(FileError, match=message) as caught:
        read(config)
    assert str(caught.value).startswith("there.h5: ") and len(str(caught.value)) < 1500
    assert time.monotonic() - began < 5


def test_training_while_predicting():
    call = [[["x", 0, 0, {"training": True}]]]
    with pytest.raises(FileError, match="called with training=True"):
        read(network(entry("Dropout", "y", call, rate=0.2)), "2.15.0")
    graph, _, _ = read(network(entry("ReLU", "y", call)), "2.15.0")  # where it changes nothing
    assert len(graph.nodes) == 2
    read(network(entry("Dropout", "y", [new(tensor("x"), training=True)], rate=0.2)), "3.15.1")  # there the caller overrules it


def test_nothing_is_imported(monkeypatch):
    """A name in a file leads to a registered layer or to nothing."""
    asked, original = [], registry.Registry.__getitem__
    monkeypatch.setattr(registry.Registry, "__getitem__", lambda self, name: asked.append(name) or original(self, name))
    with pytest.raises(FileError, match="no layer for the class 'system'"):
        read(network({**entry("system", "y", [new(tensor("x"))]), "module": "os"}))
    assert asked == ["Input"]


PIECES = st.sampled_from([None, True, 0, -1, 3, 1e308, "x", "y", "Lambda", "relu", [], [1], ["x", 0, 0], {}, {"class_name": "Dense"}, [[[["x", 0, 0]]]]])


def places(value, path=()):
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


WHOLE = functional(
    [
        source(),
        entry("Conv2D", "c", [new(tensor("x"))], **CONV),
        {**tower(listed=False), "inbound_nodes": [new(tensor("x"))]},
        {"class_name": "Add", "config": {"name": "o"}, "name": "o", "inbound_nodes": [new(tensor("tower"), 3.0)]},
        entry("BatchNormalization", "b", [new(tensor("o"))], axis=[3]),
        entry("Concatenate", "y", [new([tensor("b"), tensor("c")])], axis=-1),
    ]
)


@settings(max_examples=300)
@given(data=st.data())
def test_any_damage_is_a_file_error_or_harmless(data):
    config = json.loads(json.dumps(WHOLE))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in places(config) if p]))
        config = changed(config, *path, to=data.draw(PIECES))
    try:
        graph, tree, _ = read(config, data.draw(st.sampled_from(["3.15.1", "2.15.0", None])))
    except FileError as error:
        assert str(error).startswith("there.h5: ")
    else:
        assert graph.nodes and tree
