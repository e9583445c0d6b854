"""Keras' .weights.h5, which is also what .keras archives hold.

/layers/<key>/vars/0, 1, …          a layer's weights, those that can be trained first; attribute `name` of vars: the layer's, since Keras 3.6
/layers/functional/layers/<key>/…   nested models
/optimizer, /vars                   not read
A key is the class in snake case, with _1, _2, … from the second layer of the class on, in the order of model.layers.
Files of 2023 call the groups `_layer_checkpoint_dependencies` instead of `layers`.
"""

from collections.abc import Iterable, Iterator

import h5py
import numpy as np

from ...functional import snake
from ..recognize import CONTAINERS
from ..safe import SafeFile
from ..stored import StoredLayer, in_hdf5
from .tree import KerasLayer

_DEPTH = 32  # of models in models


def read_layers(file: SafeFile) -> tuple[StoredLayer, ...]:
    """All layers with weights. Nothing is read but names, shapes and types."""
    walk = _Walk(file)
    for container in CONTAINERS:
        if file.is_group(container):
            walk.container(container, "", ())
    return tuple(walk.found)


class _Walk:
    """Through the groups of a file, each once."""

    def __init__(self, file: SafeFile):
        self.file = file
        self.found: list[StoredLayer] = []
        self.seen: set[int] = set()

    def container(self, place: str, key: str, names: tuple[str | None, ...]) -> None:
        """The layers of a model. key, names: those of the model in other models."""
        self._enter(place, names)
        for child in self.file.names(place):
            self.layer(f"{place}/{child}", f"{key}/{child}".lstrip("/"), names)

    def layer(self, place: str, key: str, names: tuple[str | None, ...]) -> None:
        """A layer, and what lies in it."""
        self._enter(place, names)
        variables = self.file.names(f"{place}/vars")
        if wrong := [v for v in variables if not (v.isascii() and v.isdecimal())]:
            raise self.file.fail(f"{place}/vars holds {wrong[0]!r}, which is no number of a weight: the file is damaged")
        name = self.file.attribute(f"{place}/vars", "name")
        names = (*names, name if isinstance(name, str) else None)
        weights = tuple(in_hdf5(self.file, f"{place}/vars/{v}", v) for v in sorted(variables, key=int))
        if weights:
            self.found.append(StoredLayer(key, None if None in names else "/".join(names), weights))
        for child in self.file.names(place):
            inside = f"{place}/{child}"
            if child in CONTAINERS:
                self.container(inside, f"{key}/layers", names)
            elif child != "vars" and self.file.is_group(inside):  # a layer around another one
                self.layer(inside, f"{key}/{child}", names)

    def _enter(self, place: str, names: tuple[str | None, ...]) -> None:
        if not self.file.is_group(place):
            raise self.file.fail(f"{place} is no group: the file is damaged")
        address = self.file.address(place)
        if address in self.seen:
            raise self.file.fail(
                f"{place[:200]} is a group that lies elsewhere in the file, too: such files, in which groups may go round in a circle, are refused"
            )
        if len(names) > _DEPTH:
            raise self.file.fail(f"{place[:200]} lies in more than {_DEPTH} models: such files are refused")
        self.seen.add(address)


def keyed(tree: Iterable[KerasLayer], prefix: str = "") -> Iterator[tuple[str, KerasLayer]]:
    """(key, layer) of all layers that are no models, in models those with keys such as functional/layers/conv2d."""
    counts: dict[str, int] = {}
    for layer in tree:
        if layer.is_operation:
            continue
        base = snake(layer.class_name)
        number = counts[base] = counts.get(base, -1) + 1
        key = f"{prefix}{base}_{number}" if number else f"{prefix}{base}"
        if layer.children:
            yield from keyed(layer.children, f"{key}/layers/")
        else:
            yield key, layer


def write_layers(file: h5py.Group, tree: Iterable[KerasLayer], weights: dict[str, np.ndarray]) -> None:
    """Write the layout into an empty file. weights: our paths -> arrays. A layer that two models share is written where it comes first."""
    file.create_group("layers")
    file.create_group("vars")
    written: set[str | None] = set()
    for key, layer in keyed(tree):
        if layer.weights and layer.owner is not None and layer.owner not in written:
            written.add(layer.owner)
            group = file.create_group(f"layers/{key}/vars")
            group.attrs["name"] = layer.name
            for i, (weight, _) in enumerate(layer.weights):
                group.create_dataset(str(i), data=np.asarray(weights[f"{layer.owner}/{weight}"], np.float32))
