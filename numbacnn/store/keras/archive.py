"""Keras' .keras archives: config.json, metadata.json and model.weights.h5 in a zip."""

import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from .. import align
from ..atomic import replacing
from ..native import ModelFile
from ..recognize import WEIGHTS_MEMBER
from ..safe import SafeFile, short
from ..safe_zip import SafeZip
from ..stored import without_random_state
from . import facts, weights_h5
from .config import read_config
from .tree import KerasLayer
from .write_config import write_model

VERSION = "3.15.1"  # of Keras, whose layout is written
_JSON = 64 << 20  # bytes
_SPARE = 64 << 20  # bytes that model.weights.h5 may have beyond what weights and optimizer take
_DATE = (1980, 1, 1, 0, 0, 0)


def read(path: str | os.PathLike) -> ModelFile:
    """The model in an archive of Keras 3 or tf.keras 2. Raises FileError naming file, layer and reason."""
    with SafeZip(path) as archive:
        metadata = _json(archive, "metadata.json") if "metadata.json" in archive else {}
        version = metadata.get("keras_version")
        config = _json(archive, "config.json")
        graph, tree, trainable = read_config(config, version if isinstance(version, str) else None, archive.fail)
        limit = 6 * 4 * sum(int(np.prod(shape, dtype=object)) for shape in facts.shapes(tree)) + _SPARE
        with SafeFile(path, archive.read(WEIGHTS_MEMBER, max(limit, archive.size)), WEIGHTS_MEMBER) as file:
            return ModelFile(
                graph=graph,
                weights=facts.values(align.by_key(tree, without_random_state(weights_h5.read_layers(file))), graph, file.fail),
                trainable=trainable,
                **facts.read(metadata.get("numbacnn"), config, config.get("compile_config"), version, graph, tree, archive.fail),
            )


def _json(archive: SafeZip, name: str) -> dict[str, Any]:
    text = archive.read(name, _JSON)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise archive.fail(f"{name} is no JSON: the file is damaged ({short(error)})") from error
    if not isinstance(value, dict):
        raise archive.fail(f"{name} holds {type(value).__name__} instead of a JSON object: the file is damaged")
    return value


@contextmanager
def open_weights(path: str | os.PathLike) -> Iterator[SafeFile]:
    """The weights in an archive alone."""
    with SafeZip(path) as archive, SafeFile(path, archive.read(WEIGHTS_MEMBER, archive.size + _SPARE), WEIGHTS_MEMBER) as file:
        yield file


def read_layout(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """(metadata, config) as they are in the file."""
    with SafeZip(path) as archive:
        return _json(archive, "metadata.json") if "metadata.json" in archive else {}, _json(archive, "config.json")


def write(path: str | os.PathLike, model: ModelFile) -> None:
    """Write an archive that Keras 3 opens, whole or not at all. What Keras has no place for (classes, preprocessing) goes into metadata.json."""
    config, tree = write_model(model.graph, "keras3", facts.named(model), model.trainable)
    metadata = {"keras_version": VERSION, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S"), **facts.written(model)}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr(WEIGHTS_MEMBER, weights_image(tree, model.weights))


def weights_image(tree: tuple[KerasLayer, ...], weights: dict[str, np.ndarray]) -> bytes:
    """A .weights.h5 file's bytes."""
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        weights_h5.write_layers(file, tree, weights)
    return held.getvalue()
