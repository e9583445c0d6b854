"""Weights for a model that is there already, from any file: matched and compared first, then read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import FileError
from ..graph import Graph
from . import align, native, torch
from .keras import archive, layout, legacy, weights_h5
from .keras.facts import LAYOUT
from .matching import Matching, leaves
from .recognize import Format, recognize
from .safe import SafeFile
from .stored import Source, StoredLayer, in_memory, without_random_state


@dataclass(frozen=True)
class Loaded:
    """arrays: our path -> float32 array, for the weights that fit; skipped: what was left out, in words ("" where nothing was)."""

    arrays: dict[str, np.ndarray]
    skipped: str = ""


def load(path: str | os.PathLike, graph: Graph, by_name: bool = False, skip_mismatch: bool = False, *, names: Any = None, layers: Any = None) -> Loaded:
    """The weights of a file for a graph.

    by_name        layers of the same name are matched, the others of both sides are left out
    skip_mismatch  layers whose weights are missing or of another shape are left out
    names          for files of PyTorch: {our layer: their module} or a function, as for `store.torch.to_weights`
    layers         how the layers lay in a Keras model that the graph came from, as `keras.layout.to_json` says it

    Raises FileError that lists everything that does not fit, before any weight is read.
    """
    if recognize(path) is Format.TORCH:
        return _from_torch(path, graph, by_name, skip_mismatch, names)
    with opened(path) as source:
        matching = _match(source, layout.layers_of(graph, layers), by_name)
        if not matching.complete and not skip_mismatch:
            raise source.fail(f"the weights do not fit the model, nothing was changed: {matching.complaint()}{_way_out(matching, by_name)}")
        if not matching.pairs:
            raise source.fail(f"no layer of the file fits the model: {matching.complaint() or _names(source)}")
        return Loaded({path: stored.read() for path, stored in matching.pairs.items()}, matching.complaint())


def _match(source: Source, tree: tuple, by_name: bool) -> Matching:
    if not by_name:
        return align.by_key(tree, source.layers) if source.keyed else align.ordered(tree, source.layers)
    if not source.keyed:
        return align.named(tree, source.layers)
    matching = align.named_keys(tree, source.layers)
    if matching is None:
        raise source.fail("by_name=True: the file has no names of layers (Keras writes them since 3.6): leave by_name out")
    return matching


def _way_out(matching: Matching, by_name: bool) -> str:
    ways = [] if by_name or matching.misfits else ["by_name=True loads the layers that have the same names on both sides"]
    ways.append("skip_mismatch=True loads what fits and leaves out the rest")
    return f". {'; '.join(ways)}"


def _names(source: Source) -> str:
    shown = ", ".join(layer.name or layer.key for layer in source.layers[:20])
    return f"it has {shown or 'no layer with weights'}"


def _from_torch(path: str | os.PathLike, graph: Graph, by_name: bool, skip_mismatch: bool, names: Any) -> Loaded:
    found = torch.match(torch.read_state_dict(path), graph, names)
    if by_name:
        found = replace(found, missing={}, extra=())
    problems = found.problems
    if problems and not skip_mismatch:
        way = "; skip_mismatch=True loads what fits and leaves out the rest, names={our layer: their module} says what belongs together"
        raise FileError(f"{path}: the weights do not fit the model (matched by {found.how}), nothing was changed: {'; '.join(problems)}{way}")
    if not found.weights:
        raise FileError(f"{path}: no weight of the file fits the model (matched by {found.how}): {'; '.join(found.problems)}")
    return Loaded(found.weights, "; ".join(problems))


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Source]:
    """Any file of weights but PyTorch's, with names, shapes and types read and nothing else."""
    kind = recognize(path)
    if kind is Format.NUMBACNN:
        yield _of_ours(path)
    elif kind is Format.KERAS:
        with archive.open_weights(path) as file:
            yield Source(kind, without_random_state(weights_h5.read_layers(file)), file.fail, keyed=True)
    else:
        with SafeFile(path) as file:
            if kind is Format.WEIGHTS_H5:
                yield Source(kind, without_random_state(weights_h5.read_layers(file)), file.fail, keyed=True)
            else:
                yield Source(kind, without_random_state(legacy.read_layers(file, legacy.root_of(file))), file.fail)


def _of_ours(path: str | os.PathLike) -> Source:
    model = native.read(path)
    layers = []
    for owner, weights in {leaf.layer.owner: leaf.layer.weights for leaf in leaves(layout.layers_of(model.graph, model.extra.get(LAYOUT)))}.items():
        if owner is not None:
            layers.append(StoredLayer(owner, owner, tuple(in_memory(name, model.weights[f"{owner}/{name}"]) for name, _ in weights)))
    return Source(Format.NUMBACNN, tuple(layers), lambda reason: FileError(f"{path}: {reason}"))
