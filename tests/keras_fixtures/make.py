"""Makes tests/store/fixtures/k3.zip or tf2.zip: small models with every construct that Keras' files may hold, and what Keras computes with them.

Run it under Keras 3.15.1 (jax) and under tf.keras 2.15.1, each in an environment of its own (README.md in the fixtures' folder):

    python tests/keras_fixtures/make.py

Names of models as arguments: only those are made anew. For each model NAME, with V = k3 or tf2:
  NAME_V.h5          the whole model, in the old format
  NAME_V.keras       the whole model, in the new format
  NAME_V.weights.h5  weights alone, other ones than the model's, in the new format
  NAME_V_legacy.h5   the same other weights, in the layout of the downloadable files of keras.applications
  NAME_V.npz         x0, x1, …: inputs; y0, y1, …: outputs of the whole model; z0, z1, …: outputs with the other weights
"""

import os
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

try:
    import tensorflow as tf

    keras, V = tf.keras, "tf2"
except ImportError:
    import keras

    V = "k3"

L = keras.layers
HERE = Path(__file__).resolve().parents[1] / "store" / "fixtures"


def plain():
    """One of (nearly) every layer, in a row and in branches."""
    x = inputs = keras.Input((16, 16, 3), name="image")
    x = L.Rescaling(1 / 127.5, -1.0, name="rescaling")(x)
    x = L.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="c1", kernel_regularizer="l2")(x)
    x = L.BatchNormalization(name="b1")(x)
    a = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False, name="dw")(x)
    a = L.BatchNormalization(scale=False, epsilon=1e-4, momentum=0.9, name="b2")(a)
    a = L.ReLU(6.0, name="relu6")(a)
    b = L.SeparableConv2D(8, 3, padding="same", activation="swish", name="sep")(x)
    b = L.BatchNormalization(center=False, name="b3")(b)
    x = L.Add(name="add")([a, b])
    s = L.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    s = L.Conv2D(8, 1, activation="sigmoid", name="excite")(s)
    x = L.Multiply(name="scaled")([x, s])
    a = L.ZeroPadding2D(((1, 0), (0, 1)), name="pad")(x)
    a = L.MaxPooling2D(3, strides=2, name="max")(a)
    b = L.Cropping2D(((1, 0), (1, 0)), name="crop")(x)
    b = L.AveragePooling2D(3, strides=2, padding="same", name="average")(b)
    b = L.LeakyReLU(name="leaky")(b)
    x = L.Concatenate(name="concat")([a, b])
    x = L.Conv2DTranspose(6, 3, strides=2, padding="same", activation="gelu", name="transpose")(x)
    x = L.LayerNormalization(epsilon=1e-6, name="ln")(x)
    x = L.UpSampling2D(2, interpolation="bilinear", name="up")(x)
    x = L.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = L.Conv2D(6, 3, groups=3, dilation_rate=2, name="grouped")(x)
    x = L.GroupNormalization(groups=2, name="gn")(x)
    x = L.ELU(0.5, name="elu")(x)
    x = L.SpatialDropout2D(0.1, name="sd")(x)
    x = L.Dropout(0.2, noise_shape=(None, 1, 1, 6), name="drop")(x, training=False)
    a, b = L.MaxPooling2D(2, name="m1")(x), L.AveragePooling2D(2, name="m2")(x)
    x = L.Concatenate(axis=3, name="concat2")([L.Average(name="avg")([a, b]), L.Maximum(name="maximum")([a, b]), L.Subtract(name="sub")([a, b])])
    x = L.Concatenate(name="concat3")([x, L.Minimum(name="minimum")([a, b])])
    x = L.Resizing(3, 5, name="resizing")(x)
    x = L.Permute((2, 1, 3), name="permute")(x)
    x = L.Reshape((5, -1), name="reshape")(x)
    x = L.Softmax(axis=1, name="softmax")(x)
    x = L.GaussianNoise(0.1, name="noise")(x)
    x = L.Flatten(name="flatten")(x)
    x = L.Activation("tanh", name="tanh")(L.Dense(7, name="d1")(x))
    x = L.Dense(5, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name="plain")


def towers():
    """Two towers with shared weights: a nested Functional and a nested Sequential, both called twice; two inputs, two outputs."""
    t = keras.Input((8, 8, 2), name="tower_input")
    tower = keras.Model(t, L.BatchNormalization(name="bn")(L.Conv2D(3, 3, name="conv")(t)), name="tower")
    head = keras.Sequential([keras.Input((6, 6, 3)), L.Flatten(name="flat"), L.Dense(4, activation="relu", name="dense")], name="head")
    left, right = keras.Input((8, 8, 2), name="left"), keras.Input((8, 8, 2), name="right")
    a, b = head(tower(left)), head(tower(right))
    shared = L.Dense(3, name="shared")
    kind = L.Dense(2, name="kind")(L.Subtract(name="difference")([shared(a), shared(b)]))
    return keras.Model([left, right], [kind, tower(left)], name="towers")


def frozen():
    """A frozen model in a model, with one frozen layer beside it; the nested model's own output is the end."""
    i = keras.Input((6, 6, 3), name="base_input")
    x = L.BatchNormalization(name="bn1")(L.Conv2D(4, 3, use_bias=False, name="conv1")(i))
    x = L.BatchNormalization(name="bn2")(L.Conv2D(4, 1, name="conv2")(L.ReLU(name="act")(x)))
    base = keras.Model(i, L.GlobalAveragePooling2D(name="gap")(x), name="base")
    base.trainable = False
    inputs = keras.Input((6, 6, 3), name="picture")
    stem = L.Conv2D(3, 1, name="stem")
    stem.trainable = False
    y = base(stem(inputs), training=False)
    return keras.Model(inputs, L.Dense(2, name="out")(y), name="frozen")


def operations():
    """Functions in the graph: numbers and tensors, on either side."""
    inputs = keras.Input((4, 4, 3), name="x")
    x = L.Conv2D(4, 3, padding="same", name="conv")(inputs)
    gate = L.ReLU(6.0, name="gate")(x + 3.0) * (1.0 / 6.0)
    x = x * gate
    y = L.Conv2D(4, 1, name="other")(inputs)
    x = (x - y) / 2.0 + (1.0 - x) - 0.5 * y
    x = x + L.Conv2D(4, 1, name="third")(x)
    return keras.Model(inputs, L.Dense(3, name="dense")(L.GlobalMaxPooling2D(name="gmp")(x)), name="operations")


def stack():
    """A Sequential whose first layer tells the shape, with automatic names, a Sequential in it, and activations by name and by layer."""
    inner = keras.Sequential([L.Conv2D(3, 1, activation=L.LeakyReLU(0.1) if V == "k3" else "selu"), L.BatchNormalization()], name="inner")
    layers = [keras.Input((5, 5, 2)), L.Conv2D(4, 2, activation="hard_sigmoid"), L.Conv2D(4, 2, activation="softplus"), inner, L.Activation("elu")]
    return keras.Sequential([*layers, L.Flatten(), L.Dense(6, activation="exponential"), L.Dense(3, activation="softsign")], name="stack")


def normalized():
    """Normalization with weights, and with numbers in the config; augmentation that rests; LayerScale's like is in the models of ConvNeXt."""
    inputs = keras.Input((None, None, 3), name="image")
    x = L.RandomFlip("horizontal", name="flip")(inputs)
    x = L.Normalization(name="norm")(x)
    x = L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 0.5], name="fixed")(x)
    x = L.Rescaling([1.0, 2.0, 0.5], offset=[0.0, 1.0, 0.0], name="vector")(x)
    x = L.RandomRotation(0.1, name="rotation")(x)
    return keras.Model(inputs, L.Dense(2, name="d")(L.GlobalAveragePooling2D(name="gap")(x)), name="normalized")


def named():
    """Names with '/', which tf.keras 2 takes; and a model that is mixed_float16 in between."""
    inputs = keras.Input((6, 6, 3), name="in")
    slash = "/" if V == "tf2" else "_"
    x = L.Conv2D(4, 3, name=f"Conv{slash}kernel")(inputs)
    x = L.BatchNormalization(name=f"Conv{slash}BatchNorm")(x)
    x = L.Conv2D(2, 3, name="Conv", dtype="mixed_float16")(x)
    x = L.Activation("linear", dtype="float32", name="last")(x)
    return keras.Model({"in": inputs} if V == "k3" else inputs, L.Flatten(name="flat")(x), name="named")


def channels_first():
    """Images with their channels first."""
    c = {"data_format": "channels_first"}
    inputs = keras.Input((3, 8, 6), name="image")
    x = L.Conv2D(4, 3, **c, name="conv")(inputs)
    x = L.BatchNormalization(axis=1, name="bn")(x)
    y = L.Conv2D(4, 1, activation="relu", **c, name="side")(x)
    x = L.MaxPooling2D(2, **c, name="pool")(L.Concatenate(axis=1, name="concat")([x, y]))
    s = L.Reshape((8, 1, 1), name="shape")(L.Dense(8, activation="sigmoid", name="gate")(L.GlobalAveragePooling2D(**c, name="gap")(x)))
    x = L.ZeroPadding2D(((1, 0), (0, 0)), **c, name="pad")(L.Multiply(name="scaled")([x, s]))
    return keras.Model(inputs, L.Softmax(name="softmax")(L.Dense(3, name="out")(L.Flatten(**c, name="flat")(x))), name="channels_first")


MODELS = (plain, towers, frozen, operations, stack, normalized, named, *((channels_first,) if V == "k3" else ()))


def randomize(model, seed):
    """Weights that nothing can hide behind: no shift is 0, no scale 1, and the statistics are those of no layer that was just made."""
    draw = np.random.default_rng(seed)
    values = []
    for weight in model.weights:
        name, shape = weight.name.split("/")[-1].split(":")[0], tuple(weight.shape)
        if name in ("gamma", "moving_variance", "variance"):
            values.append(draw.uniform(0.5, 1.5, shape))
        elif name == "count":
            values.append(np.asarray(7))
        else:
            fan = int(np.prod(shape[:-1])) if len(shape) > 1 else 16
            values.append(draw.standard_normal(shape) / np.sqrt(max(fan, 1)) * 1.2)
    model.set_weights(values)
    for layer in model.layers:  # what Normalization derives from its weights
        if isinstance(layer, L.Normalization) and layer.weights:
            layer.finalize_state()


def legacy_weights(model, path):
    """The layout of keras.applications' files. Keras 3 still reads it, and writes it as a part of whole models."""
    if V == "tf2":
        model.save_weights(path, save_format="h5")
        return
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def outputs_of(model, xs):
    given = xs[0] if len(xs) == 1 else xs
    if isinstance(getattr(model, "_inputs_struct", None), dict):
        given = {"in": xs[0]}
    found = model(given, training=False)  # not predict: its compiled function keeps what Normalization derived from earlier weights
    return [np.asarray(y, np.float32) for y in (found if isinstance(found, (list, tuple)) else [found])]


def write(make, folder):
    """All files of one model."""
    keras.backend.clear_session()
    model, name = make(), f"{make.__name__}_{V}"
    draw = np.random.default_rng(5)
    scale = 100 if make is plain else 1
    shapes = [tuple(n or 7 for n in x.shape[1:]) for x in model.inputs]
    xs = [(draw.standard_normal((3, *s)) * scale).astype(np.float32) for s in shapes]
    randomize(model, 1)
    model.save(str(folder / f"{name}.h5"), **({"save_format": "h5"} if V == "tf2" else {}))
    model.save(str(folder / f"{name}.keras"))
    found = {f"x{i}": x for i, x in enumerate(xs)} | {f"y{i}": y for i, y in enumerate(outputs_of(model, xs))}
    randomize(model, 2)
    model.save_weights(str(folder / f"{name}.weights.h5"))
    legacy_weights(model, str(folder / f"{name}_legacy.h5"))
    found |= {f"z{i}": z for i, z in enumerate(outputs_of(model, xs))}
    np.savez_compressed(folder / f"{name}.npz", **found)


def pack(folder, archive):
    """Put the files of a folder into the archive, in the place of those of the same name."""
    files = {}
    if archive.exists():
        with zipfile.ZipFile(archive) as old:
            files = {name: old.read(name) for name in old.namelist()}
    files |= {path.name: path.read_bytes() for path in folder.iterdir()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))  # the same bytes for the same files
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, files[name], compresslevel=9)


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for make in MODELS:
            if not sys.argv[1:] or make.__name__ in sys.argv[1:]:
                write(make, Path(folder))
                print(make.__name__, flush=True)
        pack(Path(folder), HERE / f"{V}.zip")


if __name__ == "__main__":
    main()
