"""Files for live Keras and from it: it opens what we write and computes the same, and so do we with what it writes again.

NUMBACNN_KERAS names a Python with Keras 3, NUMBACNN_TF_KERAS one with tf.keras 2; what is not named is not tested.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import numbacnn as nn

pytestmark = pytest.mark.slow
KERAS = {name: os.environ[name] for name in ("NUMBACNN_KERAS", "NUMBACNN_TF_KERAS") if os.environ.get(name)}
CLOSE = 1e-4  # of the largest value
WHOLE = {"NUMBACNN_KERAS": {"keras": "x.keras", "keras_h5": "x.h5"}, "NUMBACNN_TF_KERAS": {"keras_h5": "x.h5"}}


def shaken(model: nn.Model, seed: int) -> nn.Model:
    drawn = np.random.default_rng(seed)
    for handle in model.handles.values():
        for name, array in handle.arrays.items():
            if name in ("gamma", "moving_variance", "variance", "count"):
                handle.put(name, drawn.uniform(0.5, 1.5, array.shape))
            elif "kernel" not in name:
                handle.put(name, drawn.normal(0, 0.1, array.shape))
    return model


def mixed() -> nn.Model:
    """Layers that the registered models lack, two inputs, two outputs, a shared layer, a model in the model."""
    x, other = nn.Input((12, 10, 3), name="a_image"), nn.Input((12, 10, 3), name="b_image")
    y = inner_x = nn.Input((12, 10, 3), name="inner_image")
    y = nn.Conv2D(8, 3, strides=2, padding="same", activation="swish", name="conv")(y)
    y = nn.LayerNormalization(name="layer_norm")(y)
    inner = nn.Model(inner_x, nn.PReLU(shared_axes=(1, 2), name="prelu")(y), name="eye", seed=1)
    both = nn.Subtract(name="difference")([inner(x), inner(other)])
    z = nn.SeparableConv2D(6, 3, depth_multiplier=2, name="separable")(nn.ZeroPadding2D(((0, 1), (2, 0)), name="pad")(both))
    z = nn.Conv2DTranspose(6, 3, strides=2, padding="same", name="transpose")(nn.LeakyReLU(0.2, name="leaky")(z))
    z = nn.GroupNormalization(groups=3, name="group_norm")(nn.Cropping2D(((1, 0), (0, 1)), name="crop")(z))
    z = nn.UpSampling2D(2, interpolation="bilinear", name="up")(nn.AveragePooling2D(2, padding="same", name="average")(z))
    z = nn.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name="depthwise")(nn.Activation("gelu", name="gelu")(z))
    z = nn.Concatenate(name="joined")([nn.MaxPooling2D(2, name="max")(z), nn.AveragePooling2D(2, name="mean")(z)])
    z = nn.Normalization(name="normal")(nn.Rescaling(0.5, 0.1, name="scale")(z))
    first = nn.Dense(4, activation="softmax", name="first")(nn.Flatten(name="flat")(z))
    second = nn.Dense(2, activation="tanh", name="second")(nn.GlobalMaxPooling2D(name="highest")(z))
    return nn.Model([x, other], [first, second], "mixed", seed=2)


MODELS = {
    "mixed": mixed,
    "small": lambda: nn.build("small", (32, 32, 3), 7, seed=1),
    "resnet18": lambda: nn.build("resnet18", (32, 32, 3), 7, seed=1),
    "mobilenet_v2": lambda: nn.build("mobilenet_v2", (32, 32, 3), 7, seed=1),
    "efficientnet_lite0": lambda: nn.build("efficientnet_lite0", (32, 32, 3), 7, seed=1),
}


def run(python: str, folder: Path, jobs: list[dict]) -> None:
    (folder / "jobs.json").write_text(json.dumps(jobs, default=str))
    worker = Path(__file__).with_name("keras_worker.py")
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([python, worker, folder / "jobs.json"], capture_output=True, text=True, timeout=900, env=clean)
    assert done.returncode == 0, done.stderr[-5000:]


def outputs(model: nn.Model, xs: list[np.ndarray]) -> list[np.ndarray]:
    found = model.predict(xs if len(xs) > 1 else xs[0])
    return found if isinstance(found, list) else [found]


def close(found: list[np.ndarray], wanted: list[np.ndarray], what: str) -> None:
    assert len(found) == len(wanted), what
    for a, b in zip(found, wanted, strict=True):
        error = np.abs(a - b).max() / np.abs(b).max()
        print(f"{what}: {error:.1e}", file=sys.stderr)
        assert error < CLOSE, f"{what}: {error:.1e}"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("keras", KERAS)
def test_both_compute_the_same(tmp_path, keras, name):
    model, new = shaken(MODELS[name](), 3), shaken(MODELS[name](), 4)
    xs = [np.random.default_rng(i).standard_normal((3, *s.shape)).astype(np.float32) for i, s in enumerate(model.inputs)]
    np.savez(tmp_path / "inputs.npz", **{f"x{i}": x for i, x in enumerate(xs)})
    jobs = []
    for form, file in WHOLE[keras].items():
        model.save(tmp_path / file, form)
        new.save_weights(tmp_path / f"{form}.legacy.h5", "legacy_weights")
        new.save_weights(tmp_path / f"{form}.weights.h5")
        again = [tmp_path / f"{form}-again.h5", tmp_path / f"{form}-again.keras"]
        job = {"model": tmp_path / file, "inputs": tmp_path / "inputs.npz"}
        jobs.append({**job, "outputs": tmp_path / f"{form}.npz", "again": again, "weights_again": [tmp_path / f"{form}-again.weights.h5"]})
        jobs += [{**job, "weights": tmp_path / w, "outputs": tmp_path / f"{w}.npz"} for w in (f"{form}.legacy.h5", f"{form}.weights.h5")]
    run(KERAS[keras], tmp_path, jobs)
    wanted = outputs(model, xs)
    for job in jobs:
        theirs = np.load(job["outputs"])
        close([theirs[k] for k in sorted(theirs)], outputs(new, xs) if "weights" in job else wanted, f"{keras} {name}: {Path(job['outputs']).stem}")
        for path in job.get("again", ()):
            close(outputs(nn.load(path), xs), wanted, f"{keras} {name}: {Path(path).name}")
        for path in job.get("weights_again", ()):
            target = MODELS[name]()
            target.load_weights(path)
            close(outputs(target, xs), wanted, f"{keras} {name}: {Path(path).name}")
