"""Weights as files hold them, before anything is read: names, shapes and types, and how to read each."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import FileError
from .recognize import Format
from .safe import SafeFile

FLOATS = ("float16", "bfloat16", "float32", "float64")
_STATES = ("uint32", "int64", "uint64")


@dataclass(frozen=True)
class StoredWeight:
    """One array in a file. read: gives it as float32; whoever calls it has compared the shape."""

    name: str  # as the file names it
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]

    @property
    def refusal(self) -> str | None:
        """Why this cannot be a weight, None where it can: numbers are floats, counts (without axes) may be integers."""
        if self.dtype in FLOATS or (self.shape == () and "int" in self.dtype):
            return None
        return f"holds {self.dtype}, not floats" + (" (a quantized model: save it before it is quantized)" if "int8" in self.dtype else "")


@dataclass(frozen=True)
class StoredLayer:
    """One layer's arrays, in the file's order. key: its place in the file; name: the layer's, None where the file does not say it."""

    key: str
    name: str | None
    weights: tuple[StoredWeight, ...]


@dataclass(frozen=True)
class Source:
    """An open file of weights. keyed: layers are known by keys that Keras makes of their classes, not by their order."""

    format: Format
    layers: tuple[StoredLayer, ...]
    fail: Callable[[str], FileError]
    keyed: bool = False


def without_random_state(layers: Iterable[StoredLayer]) -> tuple[StoredLayer, ...]:
    """Without layers that hold nothing but two or three integers: some versions of Keras store the state of random generators like weights."""
    return tuple(layer for layer in layers if not all(w.shape in ((2,), (3,)) and w.dtype in _STATES for w in layer.weights))


def in_hdf5(file: SafeFile, place: str, name: str) -> StoredWeight:
    """The dataset at a place. FileError where it is missing, takes data from elsewhere, or holds no plain numbers."""
    shape, dtype = file.outline(place)
    return StoredWeight(name, shape, dtype, functools.partial(file.numbers, place, shape))


def in_memory(name: str, array: np.ndarray) -> StoredWeight:
    """An array that was read already."""
    return StoredWeight(name, tuple(array.shape), array.dtype.name, lambda: np.asarray(array, np.float32))
