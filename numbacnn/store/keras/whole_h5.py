"""Whole models of Keras in one .h5 file: the config in an attribute, the weights in the legacy layout."""

import json
import os
from typing import Any

import h5py

from .. import align
from ..atomic import replacing
from ..native import ModelFile
from ..recognize import MODEL_CONFIG
from ..safe import SafeFile, short
from ..stored import without_random_state
from . import facts, legacy
from .config import read_config
from .write_config import write_model

VERSION = "2.15.0"  # of Keras, whose layout is written: Keras 3 reads it as well
TRAINING_CONFIG = "training_config"
_NOTES = "numbacnn"  # attribute with what Keras has no place for
_JSON = 64 << 20  # characters


def read(path: str | os.PathLike) -> ModelFile:
    """The model in a file of Keras 3 or tf.keras 2. Raises FileError naming file, layer and reason."""
    with SafeFile(path) as file:
        config = read_layout(file)
        version = file.attribute("/", "keras_version") or file.attribute(legacy.GROUP, "keras_version")
        graph, tree, trainable = read_config(config, version if isinstance(version, str) else None, file.fail)
        layers = without_random_state(legacy.read_layers(file, legacy.GROUP))
        notes = file.attribute("/", _NOTES)
        return ModelFile(
            graph=graph,
            weights=facts.values(align.ordered(tree, layers, trust_names=True), graph, file.fail),
            trainable=trainable,
            **facts.read(None if notes is None else _json(file, _NOTES, notes), config, _training(file), version, graph, tree, file.fail),
        )


def _training(file: SafeFile) -> Any:
    """How the model was compiled, as it is in the file; None where that is not said."""
    text = file.attribute("/", TRAINING_CONFIG)
    return _json(file, TRAINING_CONFIG, text) if isinstance(text, str) else None


def read_layout(file: SafeFile) -> dict[str, Any]:
    """The config as it is in the file."""
    config = _json(file, MODEL_CONFIG, file.attribute("/", MODEL_CONFIG))
    if not isinstance(config, dict):
        raise file.fail(f"{MODEL_CONFIG} holds {type(config).__name__} instead of a JSON object: the file is damaged")
    return config


def _json(file: SafeFile, name: str, text: Any) -> Any:
    if not isinstance(text, str) or len(text) > _JSON:
        raise file.fail(f"{name} is no text of at most {_JSON >> 20} MB")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise file.fail(f"{name} is no JSON: the file is damaged ({short(error)})") from error


def write(path: str | os.PathLike, model: ModelFile) -> None:
    """Write a file that Keras 3 and tf.keras 2 open with the same outputs, whole or not at all."""
    config, tree = write_model(model.graph, "legacy", facts.named(model), model.trainable)
    notes = facts.written(model).get("numbacnn")
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = VERSION, "tensorflow"
        file.attrs[MODEL_CONFIG] = json.dumps(config)  # of variable length: the only kind that may be longer than 64 KB
        if notes:
            file.attrs[_NOTES] = json.dumps(notes)
        legacy.write_layers(file.create_group(legacy.GROUP), tree, model.weights, VERSION)
