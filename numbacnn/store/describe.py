"""What a file holds, without making a model of it: also for files with layers that are not installed."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from . import torch
from .keras import archive, legacy, weights_h5, whole_h5
from .keras.tree import KerasLayer
from .recognize import Format, recognize
from .safe import SafeFile
from .stored import StoredLayer, StoredWeight, in_hdf5, in_memory

_DEPTH = 32  # of models in models


@dataclass(frozen=True)
class DescribedWeight:
    """An array in a file: its name there, shape and type."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of its values."""
        count = 1
        for n in self.shape:
            count *= n
        return count


@dataclass(frozen=True)
class DescribedLayer:
    """A layer in a file. class_name is None where the file holds weights alone."""

    name: str
    class_name: str | None = None
    weights: tuple[DescribedWeight, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of its weights' values."""
        return sum(w.size for w in self.weights)


@dataclass(frozen=True)
class Description:
    """What `describe` finds. layers: in the file's order, those without weights only where the file holds a whole model."""

    path: str
    format: str  # one of store.recognize.Format
    title: str  # the same for people
    whole: bool  # a whole model, not weights alone
    bytes: int
    versions: dict[str, str] = field(default_factory=dict)  # of the programs that wrote it, as far as it says
    layers: tuple[DescribedLayer, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of all weights' values."""
        return sum(layer.parameters for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "parameters": self.parameters}


def describe(path: str | os.PathLike) -> Description:
    """Format, versions, layers, shapes and types of any file that numbacnn reads: its own, Keras' (.h5, .weights.h5, .keras), PyTorch's.

    Nothing but names and shapes is read of HDF5. Raises FileError for files that are none of these, damaged or unsafe.
    """
    path, kind = Path(path), recognize(path)
    versions, layers = _DESCRIBERS[kind](path)
    return Description(str(path), str(kind), kind.title, kind.whole, path.stat().st_size, versions, tuple(layers))


def _described(stored: StoredLayer, class_name: str | None = None, name: str | None = None) -> DescribedLayer:
    return DescribedLayer(name or stored.name or stored.key, class_name, tuple(_weight(w, stored) for w in stored.weights))


def _weight(weight: StoredWeight, stored: StoredLayer) -> DescribedWeight:
    return DescribedWeight(weight.name.removeprefix(f"{stored.name}/"), weight.shape, weight.dtype)


def _joined(classes: list[tuple[str, str]], stored: Iterable[StoredLayer]) -> Iterator[DescribedLayer]:
    """Layers of the config with the weights of the same name; then what else has weights."""
    held = {layer.name or layer.key: layer for layer in stored}
    for name, class_name in classes:
        found = held.pop(name, None)
        yield _described(found, class_name, name) if found else DescribedLayer(name, class_name)
    for layer in held.values():
        yield _described(layer)


def _tree(config: Any, depth: int = 0, above: str = "") -> tuple[KerasLayer, ...]:
    """The layers in a config with their classes, those in models named model/layer; whatever has another form is left out."""
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    found = []
    for layer in layers if isinstance(layers, list) else ():
        inside = layer.get("config") if isinstance(layer, dict) else None
        if not isinstance(inside, dict):
            continue
        name, class_name = inside.get("name") or layer.get("name"), layer.get("class_name")
        if isinstance(name, str) and isinstance(class_name, str):
            children = _tree(layer, depth + 1, f"{above}{name}/") if depth < _DEPTH and isinstance(inside.get("layers"), list) else ()
            found.append(KerasLayer(above + name, class_name, children=children))
    return tuple(found)


def _classes(tree: Iterable[KerasLayer]) -> list[tuple[str, str]]:
    """(name, class) of all layers, a model before those in it."""
    return [pair for layer in tree for pair in ((layer.name, layer.class_name), *_classes(layer.children))]


def _numbacnn(path: Path) -> tuple[dict[str, str], Iterator[DescribedLayer]]:
    with SafeFile(path) as file:
        graph, versions = file.json("graph"), file.json("versions")
        nodes = graph.get("nodes") if isinstance(graph, dict) else None
        paths = graph.get("weights") if isinstance(graph, dict) else None
        if not isinstance(nodes, list) or not isinstance(paths, list) or not all(isinstance(p, str) for p in paths):
            raise file.fail("graph must hold nodes and weights: the file is damaged")
        held: dict[str, list[StoredWeight]] = {}
        for i, weight in enumerate(paths):
            owner, _, name = weight.rpartition("/")
            held.setdefault(owner, []).append(in_hdf5(file, f"weights/{i}", name))
        stored = tuple(StoredLayer(owner, owner, tuple(weights)) for owner, weights in held.items())
        named = [(n.get("name"), n.get("layer")) for n in nodes if isinstance(n, dict)]
        found = versions.get("numbacnn") if isinstance(versions, dict) else None
        classes = [(name, layer) for name, layer in named if isinstance(name, str) and isinstance(layer, str)]
        return ({"numbacnn": found} if isinstance(found, str) else {}), _joined(classes, stored)


def _keras(path: Path) -> tuple[dict[str, str], Iterator[DescribedLayer]]:
    metadata, config = archive.read_layout(path)
    tree = _tree(config)
    names = {key: layer.name for key, layer in weights_h5.keyed(tree)}
    with archive.open_weights(path) as file:
        stored = [replace(layer, name=names.get(layer.key, layer.name)) for layer in weights_h5.read_layers(file)]
        return _keras_version(metadata.get("keras_version")), _joined(_classes(tree), stored)


def _keras_h5(path: Path) -> tuple[dict[str, str], Iterator[DescribedLayer]]:
    with SafeFile(path) as file:
        version = file.attribute("/", "keras_version")
        return _keras_version(version), _joined(_classes(_tree(whole_h5.read_layout(file))), legacy.read_layers(file, legacy.GROUP))


def _legacy_weights(path: Path) -> tuple[dict[str, str], list[DescribedLayer]]:
    with SafeFile(path) as file:
        root = legacy.root_of(file)
        return _keras_version(file.attribute(root, "keras_version")), [_described(layer) for layer in legacy.read_layers(file, root)]


def _weights_h5(path: Path) -> tuple[dict[str, str], list[DescribedLayer]]:
    with SafeFile(path) as file:
        return {}, [_described(layer) for layer in weights_h5.read_layers(file)]


def _torch(path: Path) -> tuple[dict[str, str], list[DescribedLayer]]:
    held: dict[str, list[StoredWeight]] = {}
    for name, array in torch.read_state_dict(path).items():
        module, _, weight = name.rpartition(".")
        held.setdefault(module, []).append(in_memory(weight, array))
    return {}, [_described(StoredLayer(module, module, tuple(weights))) for module, weights in held.items()]


def _keras_version(version: Any) -> dict[str, str]:
    return {"keras": version} if isinstance(version, str) else {}


_DESCRIBERS = {
    Format.NUMBACNN: _numbacnn,
    Format.KERAS: _keras,
    Format.KERAS_H5: _keras_h5,
    Format.LEGACY_WEIGHTS: _legacy_weights,
    Format.WEIGHTS_H5: _weights_h5,
    Format.TORCH: _torch,
}
