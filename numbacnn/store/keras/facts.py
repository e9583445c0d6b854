"""What both kinds of whole Keras files share: weights that must all be there, and what Keras has no place for (classes, preprocessing)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import FileError
from ...graph import Graph
from ..matching import Matching, leaves
from ..native import TASKS, ModelFile, expected_weights
from . import layout
from .config import major
from .training import read_training
from .tree import KerasLayer

LAYOUT = "keras_layers"  # in ModelFile.extra
Fail = Callable[[str], FileError]


def shapes(tree: Sequence[KerasLayer]) -> list[tuple[int, ...]]:
    """Shapes of all weights of a tree."""
    return [shape for leaf in leaves(tree) for _, shape in leaf.layer.weights]


def values(matching: Matching, graph: Graph, fail: Fail) -> dict[str, np.ndarray]:
    """Every weight of the graph. Raises FileError, before any is read, where one has no counterpart in the file or the file has more."""
    expected = expected_weights(graph)
    wrong = [path for path, shape in expected.items() if path not in matching.pairs or matching.pairs[path].shape != shape]
    if not matching.complete or wrong:
        raise fail(f"the weights do not fit the layers: {matching.complaint() or ', '.join(wrong)}")
    return {path: matching.pairs[path].read() for path in expected}


def read(stored: Any, config: dict[str, Any], training: Any, version: str | None, graph: Graph, tree: Sequence[KerasLayer], fail: Fail) -> dict[str, Any]:
    """Fields of ModelFile beyond graph and weights: name and layout of the Keras model, how it was compiled, and what `written` gave.

    stored, config, training: as in the file; version: of the Keras that wrote it.
    """
    keras = major(version)
    stored = {} if stored is None else stored
    known = ("classes", "preprocess", "task", "extra", "compiled")
    classes, preprocess, task, extra, own = (stored.get(k) for k in known) if isinstance(stored, dict) else (0, 0, 0, 0, 0)
    right = classes is None or (isinstance(classes, list) and all(isinstance(c, str) for c in classes))
    right = right and all(v is None or isinstance(v, dict) for v in (preprocess, extra, own)) and (task is None or task in TASKS)
    if not right:
        raise fail("what numbacnn noted in the file (classes, preprocessing) has other types: the file is damaged")
    inner = config.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    compiled, unknown = (own, "") if own else read_training(training, _outputs(inner, graph), graph, keras)
    return {
        "compiled": compiled,
        "unknown": unknown,
        "preprocess": preprocess,
        "classes": None if classes is None else tuple(classes),
        "task": task,
        "extra": ({"name": name} if isinstance(name, str) else {}) | (extra or {}) | {LAYOUT: layout.to_json(tree)},
    }


def _outputs(inner: Any, graph: Graph) -> list[str]:
    """What Keras calls the model's outputs."""
    found = inner.get("output_layers") if isinstance(inner, dict) else None
    if isinstance(found, list) and found and isinstance(found[0], str):  # one alone is no list of lists
        found = [found]
    names = [end[0] for end in found if isinstance(end, list) and end] if isinstance(found, list) else []
    return names if len(names) == len(graph.outputs) else list(graph.outputs)


def written(model: ModelFile) -> dict[str, Any]:
    """{"numbacnn": what Keras has no place for}, or {} where there is nothing; Keras does not look at it."""
    extra = {name: value for name, value in model.extra.items() if name != LAYOUT}
    compiled = None if model.compiled is None else model.compiled | {"groups": []}  # layers may be called otherwise there
    kept = {"compiled": compiled, "preprocess": model.preprocess, "classes": model.classes, "task": model.task, "extra": extra or None}
    kept = {name: value for name, value in kept.items() if value is not None}
    return {"numbacnn": kept} if kept else {}


def named(model: ModelFile) -> str:
    """The model's name, or Keras' for one that has none."""
    name = model.extra.get("name")
    return name if isinstance(name, str) and name else "model"
