"""Every network of keras.applications against what Keras 3.15.1 has: names, order, shapes, options, numbers of parameters.

No weights are drawn and no kernel is compiled: shapes alone are inferred. keras_applications.json.gz holds what was measured on
live Keras: of 40 networks counts and options, of 18 the path and shape of every weight in order.
"""

import ast
import contextlib
import gzip
import json
import math
import pathlib
from collections import Counter
from dataclasses import fields

import pytest

from numbacnn.applications.common import Top
from numbacnn.applications.table import APPLICATIONS
from numbacnn.functional import collect
from numbacnn.graph import keras_order
from numbacnn.model import Input

MEASURED = json.loads(gzip.decompress((pathlib.Path(__file__).parent / "keras_applications.json.gz").read_bytes()))
CLASSES = {"Input": "InputLayer"}
UNLIKE = ("axis", "data_format")  # 3 and -1 are one axis; we have one data format


def handles(name, **top):
    """The handles of a network in Keras' order, without weights."""
    application = APPLICATIONS[name]
    shape = (None, None, 3) if application.any_size else (application.size, application.size, 3)
    source = Input(shape, name="input_layer")
    graph, found = collect([source], [application(source, Top(**top))])
    return [found[owner] for owner in keras_order(graph)]


def weights(network):
    return [(f"{handle.name}/{weight}", tuple(handle.specs[weight].shape), handle.specs[weight].trainable) for handle in network for weight in handle.order()]


def parameters(network, trainable=(True, False)):
    return sum(math.prod(shape) for _, shape, kind in weights(network) if kind in trainable)


def stand_ins(network):
    """What Keras has in the place of our layers: operations that are no layers, and layers that are one of ours more."""
    total = Counter()
    for handle in network:
        if handle.name.startswith("custom_scale_layer"):
            total["CustomScaleLayer" if handle.name.endswith("_scale") else "Add"] += 1
    rescalings = [h for h in network if type(h.layer).__name__ == "Rescaling"]
    operations = [h for h in rescalings if h.name.split("_")[0] in ("add", "multiply")]
    return total, len(operations), len([h for h in rescalings if h.name.startswith("custom_scale")])


def test_all_that_keras_has():
    assert set(APPLICATIONS) == set(MEASURED["applications"])


@pytest.mark.parametrize("name", sorted(MEASURED["applications"]))
def test_counts(name):
    network, known = handles(name), MEASURED["applications"][name]
    assert parameters(network) == known["params"]
    assert parameters(network, (False,)) == known["nontrain"]
    if known["notop"]:
        assert parameters(handles(name, include=False, pooling="avg")) == known["notop"]
    counts = Counter(CLASSES.get(kind := type(handle.layer).__name__, kind) for handle in network)
    scaled, operations, scales = stand_ins(network)
    counts["Rescaling"] -= operations + scales
    counts["Add"] -= scaled["Add"]
    counts["CustomScaleLayer"] += scaled["CustomScaleLayer"]
    expected = Counter(known["cnt"])
    if name.startswith("ConvNeXt"):  # its sums are operations, its nested models' layers stand here by themselves
        assert counts.pop("Add") == expected["LayerScale"]
        assert expected.pop("Sequential") == 4
    assert +counts == expected


@pytest.mark.parametrize("name", sorted(MEASURED["applications"]))
def test_options(name):
    """Each value of each option of each class, and how often it occurs."""
    network, compared = handles(name), 0
    for kind, options in MEASURED["applications"][name]["opt"].items():
        layers = [h.layer for h in network if type(h.layer).__name__ == kind]
        if kind == "Rescaling":
            layers = [h.layer for h in network if type(h.layer).__name__ == kind and h.name.startswith("rescaling")]
        for option, values in options.items():
            if not layers or option in UNLIKE or option not in {f.name for f in fields(layers[0])}:
                continue
            ours = Counter(repr(plain(getattr(layer, option))) for layer in layers)
            theirs = Counter()
            for value, times in values.items():
                theirs[repr(plain(value))] += times
            assert ours == theirs, f"{kind}.{option}"
            compared += 1
    assert compared > 10


def plain(value):
    """A value of Keras' configuration, which was written as text, or of our field, in one form."""
    with contextlib.suppress(ValueError, SyntaxError):
        value = ast.literal_eval(value) if isinstance(value, str) else value
    if value in (None, "linear"):
        return "linear"
    if isinstance(value, (list, tuple)):
        return tuple(plain(v) for v in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize("name", sorted(MEASURED["weights"]))
def test_weights(name):
    """Path and shape of every weight, in Keras' order: layer by layer, those that are trained first."""
    ours = [[path, list(shape)] for path, shape, _ in weights(handles(name))]
    assert ours == MEASURED["weights"][name]


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_groups_begin_where_the_table_says(name):
    """Both splits name layers, in order, and leave layers with weights in every group; only the classes' layers are in the last."""
    network = handles(name)
    starts = [next(i for i, handle in enumerate(network) if handle.name.startswith(prefix)) for prefix in APPLICATIONS[name].splits]
    assert starts == sorted(starts)
    groups = [network[: starts[0]], network[starts[0] : starts[1]], network[starts[1] :]]
    assert all(parameters(group) for group in groups)
    body = {handle.name for handle in handles(name, include=False)}
    assert not [handle.name for handle in groups[2] if handle.specs and handle.name in body]
    assert parameters(groups[0]) < parameters(groups[1])
