"""Our files: model.h5, and checkpoint.h5 with the state of training. Plain data in and out; the model is put together above.

/graph        JSON: nodes in order (name, registered layer, fields, inputs, owner, …), inputs, outputs, trainable owners, weight paths, and
              "shapes": what the layers of plugins give, for when those are missing
/weights/<i>  float32 datasets; /graph's "weights"[i] and the attribute "path" name the weight (names may hold '/')
/preprocess /classes /compiled /loop /choices /extra    JSON, each only where there is something to say
/optimizer/<slot>   flat float datasets
/versions     JSON: numbacnn, and the distribution and version that each layer, loss, optimizer, … comes from (origins.py)
Attributes of the file: format = "numbacnn", version = 1.
"""

import json
import os
import warnings
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from .. import fields, registry
from ..errors import ConfigError, NumbacnnError, UnknownNameError
from ..graph import Graph, Node
from ..layer import Layer
from . import origins
from .atomic import replacing
from .missing import MissingLayer
from .safe import SafeFile

FORMAT, VERSION = "numbacnn", 1
TASKS = (None, "single_label", "multi_label")
_NODE = {"name": str, "layer": str, "fields": dict, "inputs": list, "owner": str, "weight_names": list, "stream": int}


@dataclass
class ModelFile:
    """What a file holds."""

    graph: Graph
    weights: dict[str, np.ndarray]  # path -> float32 array
    trainable: dict[str, bool] = field(default_factory=dict)  # owner of weights -> whether they are trained
    preprocess: dict | None = None
    classes: tuple[str, ...] | None = None  # names in the order of the outputs
    task: str | None = None  # "single_label" or "multi_label"
    compiled: dict | None = None  # optimizer, loss, metrics
    optimizer: dict[str, np.ndarray] | None = None  # slot -> flat array
    loop: dict | None = None  # epoch, step, sampler and random state
    extra: dict = field(default_factory=dict)
    choices: dict[str, str] | None = None  # key of a problem -> algorithm that computed it
    versions: dict = field(default_factory=dict)  # filled in by read, and so is
    path: str = ""  # the file


# ---- writing


def write(path: str | os.PathLike, model: ModelFile) -> None:
    """Write the file, whole or not at all: a crash leaves the old file or the new one.

    Raises ConfigError for a layer that cannot be stored, FileError where the file cannot be written.
    """
    graph = _graph_to_json(model)
    texts = {
        "graph": graph,
        "preprocess": model.preprocess,
        "classes": None if model.classes is None and model.task is None else {"names": model.classes, "task": model.task},
        "compiled": model.compiled,
        "loop": model.loop,
        "choices": model.choices,
        "extra": model.extra or None,
        "versions": origins.written({n["layer"] for n in graph["nodes"]}, model.compiled, model.loop),
    }
    packed = {name: _pack(name, value) for name, value in texts.items() if value is not None}
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["version"] = np.bytes_(FORMAT), VERSION
        for name, text in packed.items():
            file.create_dataset(name, data=text)
        group = file.create_group("weights")
        for i, name in enumerate(graph["weights"]):
            group.create_dataset(str(i), data=np.asarray(model.weights[name], np.float32)).attrs["path"] = np.bytes_(name.encode())
        for slot, array in (model.optimizer or {}).items():
            file.create_dataset(f"optimizer/{slot}", data=array)


def _pack(name: str, value: Any) -> np.bytes_:
    def plain(item: Any) -> Any:
        if isinstance(item, (np.generic, np.ndarray)):
            return item.tolist()
        raise ConfigError(f"{name}: {item!r} cannot be stored in a file: JSON holds numbers, texts, lists and dicts")

    return np.bytes_(json.dumps(value, default=plain).encode())


def _graph_to_json(model: ModelFile) -> dict[str, Any]:
    expected = expected_weights(model.graph)
    given = {p: np.shape(w) for p, w in model.weights.items()}
    if given != expected:
        wrong = [f"{p}: {given.get(p, 'missing')}, not {s}" for p, s in expected.items() if given.get(p) != s]
        raise ConfigError(f"the weights do not fit the graph: {'; '.join(wrong + [f'{p}: no layer has it' for p in given if p not in expected])}")
    nodes = [
        {
            "name": node.name,
            "layer": _name_of(type(node.layer)),
            "fields": fields.to_json(node.layer, _name_of_layers),
            "inputs": node.inputs,
            "owner": node.owner,
            "weight_names": node.weight_names,
            "stream": node.stream,
        }
        for node in model.graph.nodes
    ]
    shapes = model.graph.shapes()
    foreign = {n.name: shapes[n.name] for n in model.graph.nodes if registry.origin(n.layer)}
    ends = {"inputs": model.graph.inputs, "outputs": model.graph.outputs}
    return {"nodes": nodes, **ends, "trainable": model.trainable, "weights": list(expected), **({"shapes": foreign} if foreign else {})}


def _name_of(cls: type) -> str:
    if issubclass(cls, MissingLayer):
        raise ConfigError("a model that was loaded without one of its plugins cannot be saved: install that first, and load the model anew")
    try:
        return registry.layers.name_of(cls)
    except UnknownNameError:
        raise ConfigError(
            f"layer class {cls.__name__} has no registered name, so that a file with it could not be read again: "
            f'register it as an entry point, [project.entry-points."{registry.layers.group}"] {cls.__name__} = "{cls.__module__}:{cls.__qualname__}"'
        ) from None


def _name_of_layers(cls: type) -> str | None:
    return _name_of(cls) if issubclass(cls, Layer) else None


def expected_weights(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Path -> shape of every weight that the graph's layers have, in order."""
    shapes, expected, seen = graph.shapes(), {}, set()
    for node in graph.nodes:
        if node.owner not in seen:
            seen.add(node.owner)
            for name, weight in node.layer.weights(*(shapes[i] for i in node.inputs)).items():
                expected[node.weight_path(name)] = tuple(weight.shape)
    return expected


# ---- reading


def read(path: str | os.PathLike, allow_missing: bool = False) -> ModelFile:
    """Read and check a file. Whatever is wrong with it is a FileError that names file, place and the way out.

    allow_missing: layers whose plugin is not there become MissingLayers, each with a MissingPluginWarning
    """
    with SafeFile(path) as file:
        if file.attribute("/", "format") != FORMAT:
            raise file.fail("is an HDF5 file, but not one that numbacnn wrote: give its model.h5 or checkpoint.h5")
        version = file.attribute("/", "version")
        if version != VERSION:
            raise file.fail(f"has format {version!r}, this numbacnn reads format {VERSION}: upgrade numbacnn")
        versions = _dict(file, "versions") or {}
        stored = _dict(file, "graph")
        if stored is None:
            raise file.fail("graph is missing: not all of the file was written")
        origins.warn_of_older(versions, path)
        graph = _graph(file, stored, versions, allow_missing)
        classes = _dict(file, "classes") or {}
        names, task, trainable = classes.get("names"), classes.get("task"), stored.get("trainable")
        if task not in TASKS or not (names is None or _texts(names)):
            raise file.fail("classes must hold names and a task, single_label or multi_label")
        if not isinstance(trainable, dict) or not all(isinstance(v, bool) for v in trainable.values()):
            raise file.fail("graph: trainable must say true or false for each layer")
        choices = _dict(file, "choices")
        if choices is not None and not _texts(list(choices.values())):
            raise file.fail("choices must name an algorithm for each problem: the file is damaged")
        slots = file.names("optimizer")
        return ModelFile(
            graph=graph,
            weights=_weights(file, stored.get("weights"), graph),
            trainable=trainable,
            preprocess=_dict(file, "preprocess"),
            classes=None if names is None else tuple(names),
            task=task,
            compiled=_dict(file, "compiled"),
            optimizer={s: file.array(f"optimizer/{s}", (None,), (np.float32, np.float64)) for s in slots} or None,
            loop=_dict(file, "loop"),
            choices=choices,
            extra=_dict(file, "extra") or {},
            versions=versions,
            path=str(path),
        )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _dict(file: SafeFile, place: str) -> dict | None:
    value = file.json(place)
    if value is not None and not isinstance(value, dict):
        raise file.fail(f"{place} holds {type(value).__name__} instead of a JSON object: the file is damaged")
    return value


def _graph(file: SafeFile, stored: dict, versions: dict, allow_missing: bool) -> Graph:
    nodes = stored.get("nodes")
    if not isinstance(nodes, list) or not _texts(stored.get("inputs")) or not _texts(stored.get("outputs")):
        raise file.fail("graph must hold nodes, inputs and outputs: the file is damaged")
    try:
        return Graph(tuple(_node(file, n, versions, stored, allow_missing) for n in nodes), tuple(stored["inputs"]), tuple(stored["outputs"]))
    except ConfigError as error:
        raise file.fail(f"graph: {error}") from error


def _node(file: SafeFile, stored: Any, versions: dict, graph: dict, allow_missing: bool) -> Node:
    if not isinstance(stored, dict):
        raise file.fail("graph: a node is no JSON object: the file is damaged")
    if extra := sorted(set(stored) - set(_NODE)):
        raise file.fail(f"graph: nodes have {', '.join(map(repr, extra))}, which this version does not know: upgrade numbacnn")
    if wrong := [k for k, kind in _NODE.items() if type(stored.get(k)) is not kind]:
        raise file.fail(f"graph: node {stored.get('name')!r} lacks {', '.join(wrong)}, or has another type there: the file is damaged")
    pairs = stored["weight_names"]
    if not _texts(stored["inputs"]) or not all(_texts(p) and len(p) == 2 for p in pairs):
        raise file.fail(f"graph: node {stored['name']!r} has inputs or weight_names that are no texts: the file is damaged")

    def find(kind: type, name: str) -> type | None:
        return origins.find("layers", name, versions, file.path) if issubclass(kind, Layer) else None

    where = f"{file.path}: layer {stored['name']!r}"
    try:
        layer = fields.build(origins.find("layers", stored["layer"], versions, file.path), stored["fields"], find, where)
    except origins.MissingPluginError as error:
        if not allow_missing:
            raise
        warnings.warn(str(error), origins.MissingPluginWarning, stacklevel=2)
        layer = _stand_in(file, stored, graph, str(error))
    return Node(stored["name"], layer, tuple(stored["inputs"]), stored["owner"], tuple(map(tuple, pairs)), stored["stream"])


def _stand_in(file: SafeFile, stored: dict, graph: dict, why: str) -> MissingLayer:
    """What the file tells of a layer besides its class."""
    known = graph.get("shapes")
    shape = known.get(stored["name"]) if isinstance(known, dict) else None
    if shape is not None and not (isinstance(shape, list) and all(n is None or (type(n) is int and n > 0) for n in shape)):
        raise file.fail(f"graph: shapes holds {shape!r} for {stored['name']!r}: the file is damaged")
    paths = graph.get("weights") if _texts(graph.get("weights")) else []
    split = [(i, *path.rpartition("/")) for i, path in enumerate(paths)]
    held = tuple((name, file.shape(f"weights/{i}")) for i, owner, _, name in split if owner == (stored["owner"] or stored["name"]))
    return MissingLayer(stored["layer"], why, None if shape is None else tuple(shape), held)


def _weights(file: SafeFile, paths: Any, graph: Graph) -> dict[str, np.ndarray]:
    if not _texts(paths) or len(set(paths)) != len(paths):
        raise file.fail("graph: weights must be a list of different paths: the file is damaged")
    try:
        expected = expected_weights(graph)
    except NumbacnnError as error:
        raise file.fail(f"graph: {error}") from error
    except Exception as error:  # a layer, perhaps a plugin's, met a shape that it was not written for
        raise file.fail(f"graph: the layers do not fit together ({type(error).__name__}: {error})") from error
    found = set(file.names("weights"))
    wrong = [f"{p} is missing" for p in expected if p not in paths]
    wrong += [f"{p} belongs to no layer" for p in paths if p not in expected]
    wrong += [f"weights/{n} is not in the graph's list" for n in sorted(found - set(map(str, range(len(paths)))))]
    for i, p in enumerate(paths):
        if str(i) not in found:
            wrong.append(f"{p} has no data")
        elif p in expected and (shape := file.shape(f"weights/{i}")) != expected[p]:
            wrong.append(f"{p} has shape {shape}, its layer needs {expected[p]}")
    if wrong:
        more = f"; and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise file.fail(f"the weights do not fit the layers: {'; '.join(wrong[:20])}{more}")
    return {p: file.array(f"weights/{i}", expected[p]) for i, p in enumerate(paths)}
