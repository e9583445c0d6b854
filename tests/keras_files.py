"""The files in store/fixtures that Keras wrote (keras_fixtures/make.py), unpacked; and what Keras computed with them."""

import atexit
import functools
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np

ARCHIVES = Path(__file__).parent / "store" / "fixtures"
KERAS3 = ("channels_first", "frozen", "named", "normalized", "operations", "plain", "stack", "towers")
NAMES = tuple(f"{name}_k3" for name in KERAS3) + tuple(f"{name}_tf2" for name in KERAS3[1:])


@functools.cache
def folder() -> Path:
    """Where NAME.h5, NAME.keras, NAME.weights.h5, NAME_legacy.h5 and NAME.npz are, for every NAME in NAMES."""
    made = Path(tempfile.mkdtemp(prefix="numbacnn-keras-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    for archive in ("k3", "tf2"):
        with zipfile.ZipFile(ARCHIVES / f"{archive}.zip") as packed:
            packed.extractall(made)
    return made


def expected(name: str, which: str) -> list[np.ndarray]:
    """which: "x" the inputs, "y" what the whole model gives, "z" what it gives with the weights of the weights-only files.

    Images with the channels first are turned into ours, channels last.
    """
    with np.load(folder() / f"{name}.npz") as file:
        found = [file[key] for key in sorted(file.files) if key[0] == which]
    turn = name.startswith("channels_first")
    return [np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if turn and a.ndim == 4 else a for a in found]


def tolerance(name: str) -> float:
    """Of the output's largest value. Keras computes a layer of `named` in float16."""
    return 3e-3 if name.startswith("named") else 1e-5
