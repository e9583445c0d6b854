"""What live Keras says, for tools/parity.py: run with the Python of an environment that has Keras and JAX, and no need for numbacnn.

    KERAS_BACKEND=jax python tools/keras_side.py jobs.json

A job names a network, its options, a size, a folder, and what the last layer's weights are multiplied by (without it, a run more
finds it). Into the folder go answer.npz (input, output, factor), names.json (layers, weights) and the model in files with the
endings in "files". A job with "back" has such a folder already: its files with those endings are opened, and what the models in them
make of the input goes into back.npz.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import weight_rule

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
from keras.src.applications import convnext, inception_resnet_v2
from keras.src.legacy.saving import legacy_h5_format


def save_legacy(model: Any, path: str) -> None:
    """The layout of the files that keras.applications downloads."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


WRITERS = {  # ending -> what writes such a file
    ".keras": lambda model, path: model.save(path),
    ".h5": lambda model, path: model.save(path),
    ".weights.h5": lambda model, path: model.save_weights(path),
    ".legacy.h5": save_legacy,
}
WHOLE = (".keras", ".h5")
CUSTOM = {"LayerScale": convnext.LayerScale, "CustomScaleLayer": inception_resnet_v2.CustomScaleLayer}
MODULES = {  # where a network's preprocess_input is, by the beginning of its name; the first that fits
    "VGG16": "vgg16",
    "VGG19": "vgg19",
    "InceptionResNetV2": "inception_resnet_v2",
    "Inception": "inception_v3",
    "Xception": "xception",
    "MobileNetV3": "mobilenet_v3",
    "MobileNetV2": "mobilenet_v2",
    "MobileNet": "mobilenet",
    "DenseNet": "densenet",
    "NASNet": "nasnet",
    "EfficientNetV2": "efficientnet_v2",
    "EfficientNet": "efficientnet",
    "ConvNeXt": "convnext",
}


def preprocess(name: str, pixels: np.ndarray) -> np.ndarray:
    """Keras' own preprocessing."""
    if name.startswith("ResNet"):
        module = "resnet_v2" if name.endswith("V2") else "resnet"
    else:
        module = next(m for beginning, m in MODULES.items() if name.startswith(beginning))
    return np.asarray(getattr(keras.applications, module).preprocess_input(pixels.astype(np.float32)), np.float32)


def layers(model: Any) -> list[Any]:
    """Layers in order, those of nested models in their place."""
    found = []
    for layer in model.layers:
        found.extend(layers(layer) if hasattr(layer, "layers") else [layer])
    return found


def put(model: Any, arrays: list[np.ndarray]) -> None:
    """Set the weights, and what Normalization layers derive from them, which set_weights leaves as it was."""
    model.set_weights(arrays)
    for layer in layers(model):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def predict(model: Any, x: np.ndarray) -> np.ndarray:
    """The output, computed with the layers as they are now."""
    model.predict_function = None
    return np.asarray(model.predict(x, verbose=0))


def logits(model: Any, x: np.ndarray) -> np.ndarray:
    """The output before the last layer's activation."""
    last = model.layers[-1]
    activation, last.activation = last.activation, keras.activations.linear
    output = predict(model, x)
    last.activation = activation
    return output


def build(job: dict[str, Any]) -> Any:
    """The network, with weights of Keras' own."""
    keras.utils.clear_session()
    options = job["options"] | {"input_shape": tuple(job["options"]["input_shape"])}
    return getattr(keras.applications, job["name"])(weights=None, **options)


def answer(job: dict[str, Any]) -> None:
    """Set weights by rule, and say what the network makes of pictures."""
    model = build(job)
    arrays = weight_rule.weights([(w.path, tuple(w.shape)) for w in model.weights], job["seed"], job["name"])
    put(model, arrays)
    x = preprocess(job["name"], weight_rule.pictures(job["pictures"], tuple(job["size"]), job["seed"]))
    factor = np.float32(job.get("factor") or 1.5 / logits(model, x).std())  # so that the softmax is neither flat nor 0 and 1
    arrays[-2:] = [a * factor for a in arrays[-2:]]
    put(model, arrays)
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    for ending in job["files"]:
        WRITERS[ending](model, str(folder / f"model{ending}"))
    names = {"keras": keras.__version__, "layers": [layer.name for layer in layers(model)], "weights": [w.path for w in model.weights]}
    (folder / "names.json").write_text(json.dumps(names))
    np.savez(folder / "unfinished.npz", input=x, output=predict(model, x), factor=factor)
    (folder / "unfinished.npz").rename(folder / "answer.npz")


def back(job: dict[str, Any]) -> None:
    """Open files that Keras did not write; an output that cannot be had is one NaN, and the reason is printed."""
    folder, outputs = Path(job["folder"]), {}
    x, model = np.load(folder / "answer.npz")["input"], build(job)
    for ending in job["back"]:
        path = str(folder / f"back{ending}")
        try:
            if ending in WHOLE:
                outputs[ending] = predict(keras.models.load_model(path, custom_objects=CUSTOM, compile=False), x)
            else:
                model.load_weights(path)
                outputs[ending] = np.asarray(model.predict(x, verbose=0))
        except Exception as error:
            print(f"Keras cannot open {path}: {type(error).__name__}: {error}", flush=True)
            outputs[ending] = np.array([[np.nan]])
    np.savez(folder / "back.npz", **outputs)


if __name__ == "__main__":
    for job in json.loads(Path(sys.argv[1]).read_text()):
        start = time.perf_counter()
        (back if "back" in job else answer)(job)
        print(f"Keras {keras.__version__}: {job['name']} {time.perf_counter() - start:.0f} s", flush=True)
