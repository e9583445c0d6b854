"""What a file brings back: the same layer, and the same bits of its output."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import registry
from ...layer import Layer
from ...loading import load
from ...model import Input, Model
from .subjects import subjects

BATCH = 3


def _model(layer: Layer, shapes: Sequence[tuple]) -> tuple[Model, Any]:
    """A model of one layer, and a batch for it."""
    inputs = [Input(s) for s in shapes]
    model = Model(inputs, layer(inputs[0] if len(inputs) == 1 else inputs), seed=3)
    return model, _batch(shapes)


def _batch(shapes: Sequence[tuple]) -> Any:
    xs = [np.random.default_rng(0).standard_normal((BATCH, *s)).astype(np.float32) for s in shapes]
    return xs[0] if len(xs) == 1 else xs


def save_and_load(cls: type[Layer]) -> str:
    """Every example goes into a file and back. Raises AssertionError where layer or output differ."""
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for count, (layer, *shapes) in enumerate(cls.examples(), 1):  # noqa: B007
            model, x = _model(layer, shapes)
            y = model.predict(x)
            model.save(Path(folder) / "model.h5")
            again = load(Path(folder) / "model.h5")
            assert [h.layer for h in again.layers] == [h.layer for h in model.layers], f"{layer} comes back as {again.layers[-1].layer}"
            assert np.array_equal(again.predict(x), y), f"{layer} on {tuple(shapes)}: the output is another one after saving and loading"
    return f"{count} examples"


def in_another_process(cls: type[Layer]) -> str:
    """A process that knows nothing but the file and what is installed gives the same bits."""
    target = registry.distribution(registry.layers.point(registry.layers.name_of(cls)))
    target = cls.__module__ if target == "?" else target  # as `subjects` wants it
    with tempfile.TemporaryDirectory() as folder:
        layer, *shapes = next(iter(cls.examples()))
        model, x = _model(layer, shapes)
        model.save(Path(folder) / "model.h5")
        expected = _digest(model.predict(x))
        command = [sys.executable, "-c", "import sys; from numbacnn.testing.examination.files import tell; tell(*sys.argv[1:])", target, folder]
        path = os.pathsep.join(p or os.getcwd() for p in sys.path)
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=300)
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        assert done.returncode == 0, f"{layer}: another process cannot load what was saved: {last}"
        assert done.stdout.split()[-1] == expected, f"{layer} on {tuple(shapes)}: loaded in another process, the output is another one"
    return ""


def tell(target: str, folder: str) -> None:
    """What the other process does: print the digest of the output."""
    subjects(target)
    model = load(Path(folder) / "model.h5")
    print(_digest(model.predict(_batch([node.layer.shape for node in model.graph.nodes if not node.inputs]))))


def _digest(y: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(y).tobytes()).hexdigest()
