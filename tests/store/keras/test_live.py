"""What we write, read by Keras itself: every layer's examples and the networks of the fixtures, in both styles.

NUMBACNN_KERAS and NUMBACNN_TF_KERAS name the Pythons of environments with keras==3.15.1, jax and with tensorflow-cpu==2.15.1.
"""

import json
import os
import subprocess
from pathlib import Path

import keras_files
import numpy as np
import pytest
from test_fixtures import read, weights

import numbacnn as nn
from numbacnn import loading, registry
from numbacnn.store.keras.write_config import STYLES, write_model
from numbacnn.store.native import ModelFile
from numbacnn.testing import draw_inputs, draw_weights, graph_of

pytestmark = pytest.mark.slow
UNEQUAL_STRIDES = ("DepthwiseConv2D_2.legacy", "SeparableConv2D_2.legacy")  # TensorFlow has none of these on the CPU
CHECK = Path(keras_files.__file__).parent / "keras_fixtures" / "check.py"
LAYERS = sorted({registry.layers[n] for n in registry.layers} - {registry.layers["Input"]}, key=lambda cls: cls.__name__)


def networks():
    """(name, graph, weights, trainable) of everything that is written."""
    for cls in LAYERS:
        for i, (layer, *shapes) in enumerate(cls.examples()):
            yield f"{cls.__name__}_{i}", graph_of(layer, *shapes), draw_weights(layer, shapes, np.random.default_rng(i), np.float32), {}
    for name in keras_files.NAMES:
        graph, tree, trainable = read(name, "h5")
        yield name, graph, weights(tree, name), trainable
    x = nn.Input((8, 8, 3), name="x")
    conv = nn.Conv2D(4, 1, activation="hard_sigmoid", name="a/conv")
    a = nn.LayerScale(0.5, name="scale")(nn.Conv2D(4, 3, activation="hard_swish", name="first")(x))
    sums = [nn.GELU(approximate=True)(a), nn.Mish()(a), nn.Activation("leaky_relu")(a), nn.HardSigmoid(slope=0.2)(a), nn.ReLU6()(a)]
    y = nn.Add(name="sum")(sums)
    ends = [nn.Maximum(name="top")([conv(y), conv(a)]), nn.Dense(2, activation="mish", name="dense")(nn.Flatten(name="flat")(y))]
    model = nn.Model(x, ends, seed=1)
    yield "together", model.graph, model.network.weights(), {}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    for name, graph, values, trainable in networks():
        model = loading.restore(ModelFile(graph, values, trainable))
        shapes = [tuple(n or 7 for n in s.shape) for s in model.inputs]
        xs = [x.astype(np.float32) for x in draw_inputs(shapes, 2, np.random.default_rng(0))]
        ys = model.predict(xs if len(xs) > 1 else xs[0])
        ends = {f"x{i}": x for i, x in enumerate(xs)} | {f"y{i}": y for i, y in enumerate(ys if isinstance(ys, list) else [ys])}
        for style in STYLES:
            config, tree = write_model(graph, style, name, trainable)
            stored = {f"{t.name}|{i}": values[f"{t.owner}/{w}"] for t in tree for i, (w, _) in enumerate(t.weights)}
            text = json.dumps({"config": config, "layers": [[t.name, t.class_name] for t in tree]})
            (folder / f"{name}.{style}.json").write_text(text)
            np.savez(folder / f"{name}.{style}.npz", **ends, **stored)
    return folder


@pytest.mark.parametrize("variable", ["NUMBACNN_KERAS", "NUMBACNN_TF_KERAS"])
def test_keras_computes_the_same(written, variable):
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no Python with Keras")
    done = subprocess.run([python, CHECK, written], capture_output=True, text=True, timeout=1500, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(found) == len(list(written.glob("*.json" if variable == "NUMBACNN_KERAS" else "*.legacy.json"))), done.stderr[-2000:]
    wrong = [f for f in found if f.get("error", 1) > 2e-5]
    if variable == "NUMBACNN_TF_KERAS":
        refused = [f for f in wrong if f["name"] in UNEQUAL_STRIDES and "equal length strides" in f["failed"]]
        assert len(refused) == len(UNEQUAL_STRIDES)
        wrong = [f for f in wrong if f not in refused]
    assert not wrong, json.dumps(wrong, indent=1)
