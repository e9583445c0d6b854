"""Whole models in any format: what `nn.load` and `model.save` call."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py

from ..errors import ConfigError, FileError, UnknownNameError
from . import native
from .atomic import replacing
from .keras import archive, layout, legacy, weights_h5, whole_h5
from .keras.facts import LAYOUT
from .keras.tree import KerasLayer
from .native import ModelFile
from .recognize import Format, recognize

_READERS: dict[Format, Callable] = {Format.NUMBACNN: native.read, Format.KERAS: archive.read, Format.KERAS_H5: whole_h5.read}


def read(path: str | os.PathLike, allow_missing: bool = False) -> ModelFile:
    """The model in a file of ours or of Keras, whatever its name ends in. Raises FileError for weights alone and says how those are used.

    allow_missing: as for native.read
    """
    kind = recognize(path)
    if not kind.whole:
        raise FileError(
            f"{path} is {kind.title}: it holds weights alone. Make the model first, then model.load_weights({str(path)!r}); "
            f"in the shell, numbacnn convert {path} model.h5 --model NAME_OR_FILE"
        )
    return native.read(path, allow_missing) if kind is Format.NUMBACNN else _READERS[kind](path)


def write(path: str | os.PathLike, model: ModelFile, format: str | None = None) -> Format:
    """Write a model, whole or not at all; returns the format.

    format  one of `Format`'s values but torch; None: "keras" for a name that ends in .keras, "weights_h5" for .weights.h5, else "numbacnn"

    Raises ConfigError for an unknown format or a layer that the format has no words for, FileError where the file cannot be written.
    """
    kind = format_of(path, format)
    _WRITERS[kind](path, model)
    return kind


def format_of(path: str | os.PathLike, format: str | None = None) -> Format:
    """The format that a file is to be written in."""
    if format is None:
        name = Path(path).name.lower()
        return Format.KERAS if name.endswith(".keras") else Format.WEIGHTS_H5 if name.endswith(".weights.h5") else Format.NUMBACNN
    known = [str(f) for f in _WRITERS]
    if format == Format.TORCH:
        raise ConfigError(f"format={format!r}: files of PyTorch are read but not written (known: {', '.join(known)})")
    if format not in known:
        raise UnknownNameError("format", format, known)
    return Format(format)


def _layers(model: ModelFile) -> tuple[KerasLayer, ...]:
    return layout.layers_of(model.graph, model.extra.get(LAYOUT))


def _write_weights_h5(path: str | os.PathLike, model: ModelFile) -> None:
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        weights_h5.write_layers(file, _layers(model), model.weights)


def _write_legacy_weights(path: str | os.PathLike, model: ModelFile) -> None:
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        legacy.write_layers(file, _layers(model), model.weights, whole_h5.VERSION)


_WRITERS: dict[Format, Callable] = {
    Format.NUMBACNN: native.write,
    Format.KERAS: archive.write,
    Format.KERAS_H5: whole_h5.write,
    Format.WEIGHTS_H5: _write_weights_h5,
    Format.LEGACY_WEIGHTS: _write_legacy_weights,
}
