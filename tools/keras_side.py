"""What live Keras says, for tools/parity.py: run with the Python of an environment that has Keras 3 and JAX, or tf.keras 2.15, and no need for numbacnn.

    python tools/keras_side.py FOLDER < jobs

What is compiled is kept in FOLDER. Each line that comes in is a job in JSON; when it is done, a line with "seconds" goes out, and
"refused": {ending: reason} for files that could not be had. A job names a network, its options, a size, a folder, and what the last
layer's weights are multiplied by (without it, that is found). Into the folder go answer.npz (input, output, factor), names.json
(layers, weights) and the model in files with the endings in "files". A job with "back" has such a folder already: its files with those
endings are opened, and what the models in them make of the input goes into back.npz.
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
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
from keras.src.applications import convnext, inception_resnet_v2

KERAS3 = not keras.__version__.startswith("2.")
if KERAS3:
    from keras.src.initializers import constant_initializers, random_initializers
    from keras.src.legacy.saving import legacy_h5_format
else:
    from keras.src.saving.legacy import hdf5_format as legacy_h5_format


def make_fast(cache: str) -> None:
    """Weights begin as zeros (all are set afterwards; JAX compiles random numbers anew for each shape), and what JAX compiles is kept in a folder."""
    if not KERAS3:
        return
    random = random_initializers
    for cls in (random.VarianceScaling, random.RandomNormal, random.TruncatedNormal, constant_initializers.Zeros, constant_initializers.Ones):
        cls.__call__ = lambda self, shape, dtype=None, **options: np.zeros(shape, dtype or "float32")
    import jax

    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


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
    """Set the weights."""
    model.set_weights(arrays)
    derive(model)


def derive(model: Any) -> None:
    """Compute what Normalization layers derive from their weights, which set_weights and load_weights may leave as it was."""
    for layer in layers(model):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def ends(model: Any) -> Any:
    """The same network with two outputs: what its last layer gets, and what it makes of that."""
    return keras.Model(model.input, [model.layers[-1].input, model.output])


def predict(both: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of `ends`."""
    found = both.predict(x, verbose=0) if KERAS3 else both(x, training=False)  # TensorFlow is faster where it compiles nothing
    return np.asarray(found[0]), np.asarray(found[1])


def logits(last: Any, given: np.ndarray) -> np.ndarray:
    """What the last layer makes of its input before its activation."""
    weights = [np.asarray(w) for w in last.get_weights()]
    return given @ weights[0] + weights[1] if weights else given


def build(job: dict[str, Any]) -> Any:
    """The network, with weights of Keras' own."""
    keras.backend.clear_session()
    options = job["options"] | {"input_shape": tuple(job["options"]["input_shape"])}
    return getattr(keras.applications, job["name"])(weights=None, **options)


def path_of(variable: Any) -> str:
    """Where a weight is, in Keras 3's way: "layer/kernel"."""
    return variable.path if KERAS3 else variable.name.partition(":")[0]


def answer(job: dict[str, Any]) -> dict[str, str]:
    """Set weights by rule, and say what the network makes of pictures. Returns {ending: why no such file could be written}."""
    model, refused = build(job), {}
    both = ends(model)
    arrays = weight_rule.weights([(path_of(w), tuple(w.shape)) for w in model.weights], job["seed"], job["name"])
    put(model, arrays)
    x = preprocess(job["name"], weight_rule.pictures(job["pictures"], tuple(job["size"]), job["seed"]))
    # the softmax shall be neither flat nor 0 and 1
    factor = np.float32(job.get("factor") or 1.5 / logits(model.layers[-1], predict(both, x)[0]).std())
    arrays[-2:] = [a * factor for a in arrays[-2:]]
    put(model, arrays)
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    for ending in job["files"]:
        try:
            WRITERS[ending](model, str(folder / f"model{ending}"))
        except Exception as error:
            refused[ending] = f"{type(error).__name__}: {error}"
            (folder / f"model{ending}").unlink(missing_ok=True)
    names = {"keras": keras.__version__, "layers": [layer.name for layer in layers(model)], "weights": [path_of(w) for w in model.weights]}
    (folder / "names.json").write_text(json.dumps(names | {"refused": refused}))
    np.savez(folder / "unfinished.npz", input=x, output=predict(both, x)[1], factor=factor)
    (folder / "unfinished.npz").rename(folder / "answer.npz")
    return refused


def back(job: dict[str, Any]) -> dict[str, str]:
    """Open files that Keras did not write. Returns {ending: why no output can be had}; the output is one NaN then."""
    folder, outputs, refused = Path(job["folder"]), {}, {}
    x, model = np.load(folder / "answer.npz")["input"], build(job)
    both = ends(model)
    for ending in job["back"]:
        path = str(folder / f"back{ending}")
        try:
            if ending in WHOLE:
                outputs[ending] = predict(ends(keras.models.load_model(path, custom_objects=CUSTOM, compile=False)), x)[1]
            else:
                model.load_weights(path)
                derive(model)
                outputs[ending] = predict(both, x)[1]
        except Exception as error:
            refused[ending] = f"{type(error).__name__}: {error}"
            outputs[ending] = np.array([[np.nan]])
    np.savez(folder / "back.npz", **outputs)
    return refused


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Keras prints goes to the terminal
    make_fast(sys.argv[1])
    for line in sys.stdin:
        start, job = time.perf_counter(), json.loads(line)
        refused = (back if "back" in job else answer)(job)
        print(json.dumps({"name": job["name"], "refused": refused, "seconds": time.perf_counter() - start}), file=out, flush=True)
