"""Runs under Keras 3 or tf.keras 2.15: builds the models whose configurations tests/store/keras/test_live.py wrote, and compares.

python check.py FOLDER    FOLDER holds NAME.STYLE.json (config, layers, weights) and NAME.STYLE.npz; prints a JSON object a line
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

try:
    import tensorflow as tf

    keras, KERAS3 = tf.keras, False
except ImportError:
    import keras

    KERAS3 = True
from keras.src.applications.convnext import LayerScale

OWN = {"LayerScale": LayerScale}  # no public class: whoever reads an .h5 with it must name it


def build(config, style):
    """The model, as load_model makes it from the two formats' files."""
    if style == "keras3":
        return keras.saving.deserialize_keras_object(config)
    if not KERAS3:
        return keras.models.model_from_json(json.dumps(config), custom_objects=OWN)
    from keras.src.legacy.saving import saving_utils

    return saving_utils.model_from_config(config, custom_objects=OWN)


def check(path):
    """Largest error of the outputs, relative to the largest value."""
    stored, arrays = json.loads(path.read_text()), np.load(path.with_suffix(".npz"))
    model = build(stored["config"], path.name.split(".")[-2])
    layers = [[layer.name, type(layer).__name__] for layer in model.layers]
    assert layers == stored["layers"], f"layers in another order: {layers}, not {stored['layers']}"
    for layer in model.layers:
        layer.set_weights([arrays[f"{layer.name}|{i}"] for i in range(len(layer.weights))])
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.finalize_state()
    xs = [arrays[f"x{i}"] for i in range(len(model.inputs))]
    ys = model(xs if len(xs) > 1 else xs[0], training=False)
    expected = [arrays[f"y{i}"] for i in range(len(model.outputs))]
    ys = ys if isinstance(ys, (list, tuple)) else [ys]
    return max(float(np.abs(np.asarray(y) - e).max() / max(np.abs(e).max(), 1e-6)) for y, e in zip(ys, expected))  # noqa: B905  Python 3.9 too


for file in sorted(Path(sys.argv[1]).glob("*.json")):
    if file.name.endswith(".keras3.json") and not KERAS3:
        continue
    try:
        print(json.dumps({"name": file.stem, "error": check(file)}), flush=True)
    except Exception as error:
        print(json.dumps({"name": file.stem, "failed": f"{type(error).__name__}: {str(error)[-400:]}"}), flush=True)
