"""The architectures: published numbers of parameters, Keras' names and shapes, strides, and the facts that go with them. Nothing is computed."""

import inspect
import math

import pytest

import numbacnn as nn
from numbacnn import registry
from numbacnn.errors import UnknownNameError
from numbacnn.functional import collect
from numbacnn.graph import keras_order
from numbacnn.models.architecture import Architecture, architecture, as_architecture
from numbacnn.models.imagenet import imagenet_classes

PUBLISHED = {  # that are trained, for 1,000 classes
    "vgg16": 138_357_544,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
    "efficientnet_lite0": 4_652_008,
    "densenet121": 7_978_856,
}
KERAS = {"vgg16": "VGG16", "mobilenet_v2": "MobileNetV2", "densenet121": "DenseNet121"}
ALL = ("small", *PUBLISHED)


def made(name: str, shape: tuple = (224, 224, 3), classes: int = 1000):
    """(graph, handles) of a registered model; no weight is drawn."""
    x = nn.Input(shape)
    return collect([x], [registry.models[name](x, classes)])


def test_the_zoo_is_registered():
    assert set(ALL) <= set(registry.models)
    assert all(isinstance(registry.models[name], Architecture) for name in ALL)
    assert len({registry.models[name] for name in ALL}) == len(ALL), "they are hashable"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_of_parameters(name):
    _, handles = made(name)
    assert sum(math.prod(s.shape) for h in handles.values() for s in h.specs.values() if s.trainable) == PUBLISHED[name]


@pytest.mark.parametrize("name", KERAS)
def test_names_order_and_shapes_are_those_of_keras_applications(name, keras_applications):
    graph, handles = made(name)
    ours = [
        [owner, type(h.layer).__name__, [[f"{owner}/{w}", list(h.specs[w].shape)] for w in h.order()]]
        for owner in keras_order(graph)
        if (h := handles[owner]).specs
    ]
    assert ours == keras_applications[KERAS[name]]


@pytest.mark.parametrize("name", ALL)
def test_facts_hold(name):
    found = registry.models[name]
    graph, handles = made(name, classes=7)
    names = keras_order(graph)
    assert found.splits_in(names) == found.splits
    starts = [next(i for i, n in enumerate(names) if n.startswith(s)) for s in found.splits]
    assert starts == sorted(starts) and starts[0] > 0
    for first, last in zip([0, *starts], [*starts, len(names)], strict=True):
        assert any(handles[n].specs for n in names[first:last]), f"a group of {found.splits} has no weights"
    for split, start in zip(found.splits, starts, strict=True):
        assert not any(n.startswith(split) for n in names[:start])
    shapes = graph.shapes()
    assert len(shapes[graph[found.pool].inputs[0]]) == 3 and len(shapes[found.pool]) == 1
    assert shapes[graph.outputs[0]] == (7,) and names[-1] == "predictions"
    if name != "small":
        assert found.preprocess.shape == (224, 224, 3) and found.preprocess.resize_to == 256


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("small", "vgg16")])
def test_stride_32_and_images_of_any_size(name):
    graph, _ = made(name, (None, None, 3))
    shapes = graph.shapes({graph.inputs[0]: (224, 256, 3)})
    assert shapes[graph[registry.models[name].pool].inputs[0]][:2] == (7, 8)


@pytest.mark.parametrize(("name", "convolutions"), [("resnet18", 20), ("resnet34", 36), ("resnet50", 53)])
def test_residual_networks_are_built_as_in_torchvision(name, convolutions):
    graph, handles = made(name)
    kernels = [h.specs["kernel"].shape for h in handles.values() if len(h.specs) == 1]
    assert len(kernels) == convolutions
    first = graph["stage2_block1_1_conv"].layer, graph["stage2_block1_2_conv"].layer
    assert [(c.kernel_size, c.strides) for c in first] == ([((1, 1), (1, 1)), ((3, 3), (2, 2))] if name == "resnet50" else [((3, 3), (2, 2)), ((3, 3), (1, 1))])
    assert ("stage1_block1_shortcut_conv" in handles) == (name == "resnet50")


def test_build_sets_the_splits_that_the_model_has():
    assert nn.build("small", (64, 64, 3), 2, seed=0).splits == ("stage3", "predictions")
    assert nn.build("small", (8, 8, 3), 2, seed=0).splits == ("predictions",)


def test_a_plain_function_is_a_model_too(monkeypatch):
    def flat(x, classes, units=2):
        """A plugin's."""
        return nn.Dense(classes, name="last")(nn.Dense(units, name="first")(nn.Flatten()(x)))

    assert as_architecture(flat) == Architecture(flat) and as_architecture(flat).weights == {}
    decorated = architecture(splits=("last",))(flat)
    assert as_architecture(decorated) is decorated
    assert decorated.__doc__ == "A plugin's." and list(inspect.signature(decorated).parameters) == ["x", "classes", "units"]
    assert decorated(nn.Input((2, 2, 1)), 5, units=3).shape == (5,)
    monkeypatch.setitem(registry.models._loaded, "small", flat)
    model = nn.build("small", (2, 2, 1), 5, seed=0, units=4)
    assert model.splits == () and model.output_shape == (None, 5) and model.get_layer("first").weights["kernel"].shape == (4, 4)


def test_unknown_models():
    with pytest.raises(UnknownNameError, match="did you mean 'resnet18'"):
        nn.build("resnet81")


def test_names_of_the_classes_of_imagenet():
    names = imagenet_classes()
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[985], names[999]) == ("tench, Tinca tinca", "daisy", "toilet tissue, toilet paper, bathroom tissue")
    assert names[134] == "crane (n02012849)" and names[517] == "crane (n03126707)"
