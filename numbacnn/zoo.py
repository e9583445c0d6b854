"""The model zoo: models with weights that somebody trained, `nn.pretrained("efficientnet_lite0")`."""

import operator
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import registry
from .data.preprocess import Preprocess
from .errors import ConfigError, FileError
from .graph import Shape, keras_order
from .loading import build
from .model import Input, Model
from .models.architecture import Architecture, as_architecture, graph_of
from .models.imagenet import COUNT, imagenet_classes
from .models.published import published
from .store import native
from .store import weights as stored_weights
from .store.recognize import Format, recognize

SHOWN = 1000  # weights that do not fit and are named: a strange file must not fill the screen for ever


def pretrained(
    name: str,
    classes: int | Sequence[str] | None = None,
    weights: str | Path | None = "imagenet",
    input_shape: Shape | None = None,
    seed: int | None = None,
    **options: Any,
) -> Model:
    """A registered model with trained weights, ready to classify, to be cut or to be trained on: nn.pretrained("efficientnet_lite0").

    classes      None: those that the weights were trained on, with their names; a number or names: a fresh last layer on the trained rest
    weights      "imagenet": published weights, converted once and kept in the user's cache folder; a path: a file with weights (ours or a RUN folder,
                 Keras', PyTorch's); None: random ones
    input_shape  (height, width, channels); None: that of the published weights or of the file. The preprocessing that comes with them is
                 kept at another size: the same share of the picture is cut out.
    seed         what fresh weights are drawn from
    options      the architecture's own

    The model carries its preprocessing and the names of its classes, and is compiled with cross entropy. Raises ConfigError where there are no such
    weights, naming the way out, and FileError naming all weights that do not fit.
    """
    known = registry.models.resolve(name)
    architecture = as_architecture(registry.models[known])
    count, names = _asked(classes)
    file, path = _stored(known, architecture, weights)
    shape = _shape(known, architecture, file, input_shape)
    units = count or (file.graph.shapes()[file.graph.outputs[0]][-1] if file else COUNT)
    model = build(known, shape, units, seed, **options)
    fresh = () if count is None else (head(model),)
    if file is not None:
        put(model, file.weights, f"the weights {weights!r}" if path is None else f"{path}", fresh)
    elif path is not None:
        _load(model, path, architecture.pool, fresh)
    if count is None:
        names = file.classes if file else imagenet_classes() if units == COUNT else None
    model.classes = names
    model.preprocess = _preprocess(architecture, file, shape)
    binary = units == 1 or (file is not None and count is None and file.task == "multi_label")
    model.compile(loss="binary_cross_entropy" if binary else "cross_entropy", metrics=["accuracy"])
    return model


def with_weights(name: str = "imagenet") -> list[str]:
    """The registered models of ours that have published weights of this name."""
    built_in = [n for n in registry.models if registry.distribution(registry.models.point(n)) == registry.BUILT_IN]
    return [n for n in built_in if name in as_architecture(registry.models[n]).weights]


def head(model: Model) -> str:
    """Name of the last layer with weights: what gives the classes."""
    return next(owner for owner in reversed(keras_order(model.graph)) if model.handles[owner].specs)


def put(model: Model, weights: dict[str, np.ndarray], what: str, fresh: Collection[str] = ()) -> None:
    """Copy weights, {"layer/weight": array}, into a model whose names they have, all of them or none; layers in `fresh` stay as they are.

    Raises FileError, which begins with `what`, naming every weight that is missing, not the model's or of another shape.
    """
    own = {f"{owner}/{name}": (handle, name) for owner, handle in model.handles.items() if owner not in fresh for name in handle.specs}
    shapes = {path: tuple(handle.specs[name].shape) for path, (handle, name) in own.items()}
    given = {path: array for path, array in weights.items() if path.rpartition("/")[0] not in fresh}
    wrong = [f"{p} is missing" for p in own if p not in given]
    wrong += [f"{p} is {tuple(given[p].shape)}, not {s}" for p, s in shapes.items() if p in given and tuple(given[p].shape) != s]
    wrong += [f"{p} is no weight of the model" for p in given if p not in own]
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise FileError(f"{what}: not all weights fit model {model.name!r}, nothing was changed: {'; '.join(wrong[:SHOWN])}{more}")
    for path, (handle, name) in own.items():
        handle.put(name, given[path])


def _asked(classes: Any) -> tuple[int | None, tuple[str, ...] | None]:
    """(number of classes, their names), as far as the caller decides on them."""
    if classes is None:
        return None, None
    if isinstance(classes, (list, tuple)):
        names = tuple(classes)
        if not names or not all(isinstance(n, str) for n in names):
            raise ConfigError(f"classes={classes!r} must be names, or a number of classes")
        if twice := [n for i, n in enumerate(names) if n in names[:i]]:
            raise ConfigError(f"classes names {twice[0]!r} twice: each class needs a name of its own")
        return len(names), names
    try:
        count = 0 if isinstance(classes, bool) else operator.index(classes)
    except TypeError:
        count = 0
    if count < 1:
        raise ConfigError(f"classes={classes!r} must be a number of at least 1, a list of names, or None for the classes that the weights were trained on")
    return count, None


def _stored(name: str, architecture: Architecture, weights: Any) -> tuple[native.ModelFile | None, Path | None]:
    """(contents of a file of ours, path that the user gave): published weights have no path, other programs' files no contents yet."""
    if weights is None:
        return None, None
    if isinstance(weights, str) and (source := architecture.weights.get(weights)) is not None:
        x = Input(architecture.preprocess.shape)
        return published(name, source, graph_of(x, architecture(x, len(source.classes))), architecture.preprocess), None
    path = Path(weights)
    if path.is_dir():
        path /= "model.h5"
    if not path.exists():
        raise ConfigError(_no_weights(name, architecture, weights))
    return (native.read(path) if recognize(path) is Format.NUMBACNN else None), path


def _no_weights(name: str, architecture: Architecture, weights: Any) -> str:
    if weights != "imagenet":
        own = f"published ones are {', '.join(map(repr, architecture.weights))}" if architecture.weights else f"none are published for {name}"
        return f"weights={str(weights)!r}: there is no such file, and {own}"
    return (
        f"there are no published weights 'imagenet' for {name}; there are for {', '.join(with_weights())}. "
        f"weights=PATH takes those in a file (Keras', PyTorch's or ours), weights=None random ones"
    )


def _load(model: Model, path: Path, pool: str, fresh: Collection[str]) -> None:
    """Weights from a file of Keras' or PyTorch's. Where layers are to be fresh, the file may lack others behind the pooling, too: Keras' "notop" files do."""
    if not fresh:
        model.load_weights(path)
        return
    found = stored_weights.load(path, model.graph, skip_mismatch=True).arrays
    names = keras_order(model.graph)
    behind = names[names.index(pool) + 1 :] if pool in names else []
    put(model, found, f"{path}", {*fresh, *(n for n in behind if not any(p.rpartition("/")[0] == n for p in found))})


def _shape(name: str, architecture: Architecture, file: native.ModelFile | None, given: Shape | None) -> Shape:
    """The shape of the model's input."""
    stored = file.graph.shapes()[file.graph.inputs[0]] if file else architecture.preprocess.shape if architecture.preprocess else (224, 224, 3)
    if given is None:
        return stored
    shape = tuple(given)
    if len(shape) != 3:
        raise ConfigError(f"input_shape={given!r} must be (height, width, channels)")
    if file and shape[2] != stored[2]:
        way_out = "repeat a gray image's channel three times" if stored[2] == 3 else "give images of that kind"
        raise ConfigError(f"input_shape={shape}: the weights of {name} take {stored[2]} channels, not {shape[2]}: {way_out}, or begin with weights=None")
    return shape


def _preprocess(architecture: Architecture, file: native.ModelFile | None, shape: Shape) -> Preprocess | None:
    """How the model wants its images: as the file says, else as published; None where neither fits the input."""
    stored = Preprocess.from_json(file.preprocess) if file and file.preprocess else architecture.preprocess
    if stored is None or stored.channels != shape[2]:
        return None
    return stored.resized(tuple(n or own for n, own in zip(shape, stored.size, strict=False)))
