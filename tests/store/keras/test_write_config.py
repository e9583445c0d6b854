"""Graphs of ours as configurations of Keras: what is written comes back as it was; what Keras cannot say is taken apart or refused."""

import json
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

import numbacnn as nn
from numbacnn import init, loading, registry, regularizers
from numbacnn.errors import ConfigError, FileError
from numbacnn.layer import Layer
from numbacnn.store.keras.config import read_config
from numbacnn.store.keras.rules import WRITTEN
from numbacnn.store.keras.write_config import STYLES, write_config, write_model
from numbacnn.store.native import ModelFile
from numbacnn.testing import graph_of

L = registry.layers
CLASSES = sorted({L[name] for name in L if registry.distribution(L.point(name)) == registry.BUILT_IN} - {L["Input"]}, key=lambda cls: cls.__name__)
EXAMPLES = [pytest.param(layer, shapes, id=f"{cls.__name__}-{i}") for cls in CLASSES for i, (layer, *shapes) in enumerate(cls.examples())]


def back(graph, style, **options):
    """The graph after a way through JSON, and its tree."""
    written, tree = write_model(graph, style, **options)
    read, found, trainable = read_config(json.loads(json.dumps(written)), "3.15.1", lambda reason: FileError(f"file: {reason}"))
    assert found == tuple(replace(t, owner=t.name) for t in tree)
    return read, tree, trainable


def canonical(layer, shapes, style):
    """The layer as Keras' files keep it: axes from the end, penalties and first values as objects, in legacy files no first values."""
    changes = {}
    for f in fields(layer):
        value = getattr(layer, f.name)
        if f.name.endswith("_initializer"):
            changes[f.name] = init.get(f.default if style == "legacy" else value)
        elif f.name.endswith("_regularizer"):
            changes[f.name] = regularizers.get(value)
        elif f.name == "axis" and type(layer).__name__ not in ("Concatenate", "Softmax"):
            changes[f.name] = -1
        elif f.name in ("mean", "variance") and isinstance(value, float) and isinstance(layer.mean, tuple):
            changes[f.name] = (value,) * len(layer.mean)
        elif f.name == "projection_dim":
            changes[f.name] = shapes[0][-1]
    return replace(layer, **changes)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES)
def test_every_layer_comes_back(layer, shapes, style):
    graph = graph_of(layer, *shapes)
    read, tree, _ = back(graph, style)
    assert [t.owner for t in tree if t.weights] == [n.owner for n in graph.nodes if n.layer.weights(*shapes if n.inputs else ())]
    assert read.inputs == graph.inputs and read.shapes()[read.outputs[0]] == graph.shapes()["layer"]
    split = isinstance(getattr(layer, "activation", None), Layer) or len(read.nodes) > len(graph.nodes)
    if type(layer).__name__ in WRITTEN and not split:
        found = read["layer"].layer
        assert canonical(found, shapes, style) == canonical(layer, shapes, style)


# layers that no class of Keras says, and the classes that stand for them
APART = (
    (L["ReLU6"](), "legacy", ("ReLU",)),
    (L["Swish"](), "legacy", ("Activation",)),
    (L["HardSigmoid"](), "keras3", ("Activation",)),
    (L["HardSigmoid"](), "legacy", ("Rescaling", "ReLU")),
    (L["HardSigmoid"](slope=0.2), "keras3", ("Rescaling", "ReLU")),
    (L["HardSwish"](), "keras3", ("Activation",)),
    (L["HardSwish"](), "legacy", ("Rescaling", "ReLU", "Multiply")),
    (L["GELU"](approximate=True), "keras3", ("Multiply", "Rescaling", "Multiply", "Activation", "Multiply")),
    (L["Activation"]("leaky_relu"), "legacy", ("LeakyReLU",)),
    (L["Dense"](2, activation="hard_swish"), "keras3", ("Dense",)),
    (L["Dense"](2, activation="hard_swish"), "legacy", ("Dense", "Rescaling", "ReLU", "Multiply")),
    (L["Dense"](2, activation=L["LeakyReLU"](0.1)), "keras3", ("Dense", "LeakyReLU")),
)


@pytest.mark.parametrize(("layer", "style", "classes"), APART, ids=[f"{type(layer).__name__}-{i}" for i, (layer, _, _) in enumerate(APART)])
def test_what_no_class_says_is_taken_apart(layer, style, classes):
    source = nn.Input((3,), name="x")
    shared = nn.Dense(3, name="before")
    model = nn.Model(source, layer(shared(shared(source))), seed=1)
    read, tree, _ = back(model.graph, style)
    assert tuple(t.class_name for t in tree) == ("InputLayer", "Dense", *classes)
    values = {f"{t.name}/{w}": model.handles[t.owner].arrays[w] for t in tree for w, _ in t.weights}
    x = np.linspace(-6, 6, 12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_allclose(loading.restore(ModelFile(read, values)).predict(x), model.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("style", STYLES)
def test_shared_layers_several_ends_and_names(style):
    a, b = nn.Input((4, 4, 3), name="a"), nn.Input((4, 4, 3), name="b")
    conv, act = nn.Conv2D(2, 3, name="base/conv", activation="hard_swish"), nn.LeakyReLU(name="_act")
    left, right = act(conv(a)), conv(b)
    model = nn.Model([b, a], [nn.Subtract(name="base_conv")([left, right]), right], name="two/towers", seed=1)
    model.get_layer("base/conv").trainable = False
    trainable = {o: h.trainable for o, h in model.handles.items()}
    read, tree, trained = back(model.graph, style, name=model.name, trainable=trainable)
    assert {t.owner: t.name for t in tree if t.owner} == {"a": "a", "b": "b", "base/conv": "base_conv_2", "_act": "layer_act", "base_conv": "base_conv"}
    assert read.inputs == ("b", "a") and read.outputs[0] == "base_conv" and len(read.outputs) == 2
    assert trained["base_conv_2"] is False and trained["layer_act"] is True
    assert write_config(model.graph, style, name=model.name)["config"]["name"] == "two_towers"
    values = {f"base_conv_2/{w}": v for w, v in model.handles["base/conv"].arrays.items()}
    again = loading.restore(ModelFile(read, values, trained))
    xs = [np.random.default_rng(i).standard_normal((2, 4, 4, 3)).astype(np.float32) for i in range(2)]
    for y, expected in zip(again.predict(xs), model.predict(xs), strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_the_form_of_both_styles():
    x = nn.Input((4, 4, 3), name="x")
    model = nn.Model(x, nn.BatchNormalization(name="n")(nn.Conv2D(2, 1, name="c", kernel_regularizer="l2")(x)), seed=1)
    new, old = (write_config(model.graph, style) for style in STYLES)
    assert (new["module"], new["class_name"], new["registered_name"]) == ("keras.src.models.functional", "Functional", "Functional")
    assert new["config"]["input_layers"] == ["x", 0, 0] and old["config"]["input_layers"] == [["x", 0, 0]]
    conv, norm = new["config"]["layers"][1:]
    assert (conv["module"], conv["registered_name"]) == ("keras.layers", None)
    history = {"shape": [None, 4, 4, 3], "dtype": "float32", "keras_history": ["x", 0, 0]}
    assert conv["inbound_nodes"] == [{"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}]
    assert conv["config"]["kernel_initializer"]["class_name"] == "GlorotUniform" and conv["config"]["data_format"] == "channels_last"
    assert conv["config"]["kernel_regularizer"]["config"] == {"l2": 0.01}
    source, conv, norm = old["config"]["layers"]
    assert source["config"]["batch_input_shape"] == [None, 4, 4, 3] and "module" not in conv and norm["config"]["axis"] == -1
    assert conv["inbound_nodes"] == [[["x", 0, 0, {}]]] and conv["config"]["dtype"] == "float32"
    assert not any("initializer" in key or (key == "groups" and layer is norm) for layer in (conv, norm) for key in layer["config"])


@dataclass(frozen=True)
class Unheard(Layer):
    """Keras has nothing like it."""

    def forward(self, step):
        step.y = step.x


@dataclass(frozen=True)
class Conv2D(nn.Conv2D):
    """A class of the same name as one of Keras'."""


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layer", [Unheard(), Conv2D(2, 1)], ids=lambda layer: type(layer).__name__)
def test_what_keras_has_nothing_for(layer, style):
    with pytest.raises(ConfigError, match=rf"layer 'layer' .{type(layer).__name__}. cannot be written to a Keras file"):
        write_config(graph_of(layer, (3, 3, 3)), style)


def test_unknown_style():
    with pytest.raises(ConfigError, match=r"style='keras4' must be one of 'keras3', 'legacy'"):
        write_config(graph_of(L["ReLU"](), (3,)), "keras4")
