"""Keras' legacy layout of weights in HDF5: files of weights alone, and the group `model_weights` of whole .h5 files.

attributes of the group: layer_names (all layers), backend, keras_version
/<layer>                 attribute weight_names; a nested model is one layer that holds all its weights
/<layer>/<weight name>   one dataset a weight, such as conv1/conv1/kernel
Lists of more than 64,512 bytes are split into layer_names0, layer_names1, …
"""

from collections.abc import Iterable

import h5py
import numpy as np

from ..safe import SafeFile
from ..stored import StoredLayer, in_hdf5
from .tree import KerasLayer

GROUP = "model_weights"
_ATTRIBUTE = 64_512  # bytes that an attribute may have
_LAYERS = 100_000


def root_of(file: SafeFile) -> str:
    """Where a file's layers are: at its root or in the group of whole models."""
    return "/" if file.texts("/", "layer_names") is not None else GROUP


def read_layers(file: SafeFile, root: str) -> tuple[StoredLayer, ...]:
    """All layers with weights, in the file's order. Nothing is read but names, shapes and types."""
    names = file.texts(root, "layer_names")
    if names is None:
        raise file.fail(f"{root} has no layer_names: not all of the file was written")
    if len(names) > _LAYERS:
        raise file.fail(f"{root} names {len(names):,} layers: such files are refused")
    if twice := _twice(names):
        raise file.fail(f"layer {twice!r} is named twice: the file is damaged")
    layers = []
    for name in names:
        place = f"{root.strip('/')}/{name}".lstrip("/")
        weights = file.texts(place, "weight_names") if name else None
        if weights is None:
            raise file.fail(f"layer {name!r} has no weight_names: the file is damaged, or not all of it was written")
        if twice := _twice(weights):
            raise file.fail(f"layer {name!r} names weight {twice!r} twice: the file is damaged")
        if not all(weights):
            raise file.fail(f"layer {name!r} has a weight without a name: the file is damaged")
        if weights:
            layers.append(StoredLayer(name, name, tuple(in_hdf5(file, f"{place}/{w}", w) for w in weights)))
    return tuple(layers)


def _twice(names: list[str]) -> str | None:
    seen: set[str] = set()
    return next((n for n in names if n in seen or seen.add(n)), None)


def write_layers(group: h5py.Group, tree: Iterable[KerasLayer], weights: dict[str, np.ndarray], version: str) -> None:
    """Write the layout into a group. weights: our paths -> arrays."""
    layers = [layer for layer in tree if not layer.is_operation]
    put_texts(group, "layer_names", [layer.name for layer in layers])
    group.attrs["backend"], group.attrs["keras_version"] = np.bytes_(b"tensorflow"), np.bytes_(version.encode())
    for layer in layers:
        place = group.require_group(layer.name)
        leaves = _leaves(layer)
        put_texts(place, "weight_names", [name for _, name in leaves])
        for path, name in leaves:
            place.create_dataset(name, data=np.asarray(weights[path], np.float32))


def _leaves(layer: KerasLayer) -> list[tuple[str, str]]:
    """(our path, name in the file) of every weight of a layer or, one layer behind another, of a nested model."""
    own = [(f"{layer.owner}/{weight}", f"{layer.name}/{weight}") for weight, _ in layer.weights if layer.owner is not None]
    return own + [leaf for child in layer.children for leaf in _leaves(child)]


def put_texts(group: h5py.Group, name: str, texts: list[str]) -> None:
    """A list of texts as an attribute, of fixed length and split as Keras does: every version reads that."""
    encoded = [t.encode() for t in texts]
    if not encoded:
        group.attrs[name] = np.zeros(0)
        return
    parts = 1
    while any(part.nbytes > _ATTRIBUTE for part in np.array_split(np.array(encoded), parts)):
        parts += 1
    if parts == 1:
        group.attrs[name] = np.array(encoded)
    else:
        for i, part in enumerate(np.array_split(np.array(encoded), parts)):
            group.attrs[f"{name}{i}"] = part
