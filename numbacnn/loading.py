"""Models by name and from files."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import registry
from .data.preprocess import Preprocess
from .errors import DataError, FileError, NumbacnnError
from .fields import build as build_fields
from .functional import Handle, Symbol, recall
from .graph import Shape
from .model import Input, Model
from .models.architecture import as_architecture
from .store import files, native, origins
from .train.callbacks import from_file


def build(name: str, input_shape: Shape = (224, 224, 3), classes: int = 1000, seed: int | None = None, **options: Any) -> Model:
    """A registered model: nn.build("resnet18", input_shape=(224, 224, 3), classes=1000). Its outputs are logits."""
    source, architecture = Input(tuple(input_shape)), as_architecture(registry.models[name])
    model = Model(source, architecture(source, classes, **options), registry.models.resolve(name), seed)
    model.splits = architecture.splits_in(model.handles)
    return model


def load(path: str | Path, allow_missing: bool = False) -> Model:
    """The model in a file of numbacnn (compiled as it was) or of Keras (.keras, .h5; 2.x and 3); a RUN folder means the model.h5 in it.

    The content decides, not the name. Raises FileError for anything else, and for weights alone, which model.load_weights takes.
    allow_missing: where plugins are missing, the rest is there to be looked at (a warning says what is not); it cannot predict.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "model.h5").is_file():
            raise DataError(f"{path} holds no model.h5: give a model file or a RUN folder of numbacnn fit")
        path = path / "model.h5"
    return restore(files.read(path, allow_missing), allow_missing)


def restore(file: "native.ModelFile", allow_missing: bool = False) -> Model:
    """The model that a file's contents describe. allow_missing: it is not compiled where its loss, optimizer or a metric is missing."""
    model = Model.__new__(Model)
    symbols: dict[str, Symbol] = {}
    handles: dict[str, Handle] = {}
    shapes = file.graph.shapes()
    for node in file.graph.nodes:
        inputs = tuple(symbols[i] for i in node.inputs)
        if node.owner not in handles:
            handles[node.owner] = handle = Handle(node.layer, tuple(s.shape for s in inputs), node.owner)
            handle.trainable = file.trainable.get(node.owner, True)
            for name in handle.specs:
                handle.put(name, file.weights[f"{node.owner}/{name}"])
            handle.version = 0
        symbols[node.name] = recall(handles[node.owner], inputs, shapes[node.name])
    model._begin((file.extra or {}).get("name"))
    model.preprocess = Preprocess.from_json(file.preprocess) if file.preprocess else None
    model.classes = file.classes
    splits = (file.extra or {}).get("splits", [])
    if not isinstance(splits, list) or not all(isinstance(s, str) for s in splits):
        raise FileError(f"extra: splits={splits!r} must be a list of layers' names: the file is damaged")
    model.splits = tuple(splits)
    model.keras_layers = (file.extra or {}).get("keras_layers")
    model._settle(file.graph, handles, [symbols[n] for n in file.graph.inputs], [symbols[n] for n in file.graph.outputs])
    model._task = file.task
    try:
        model.thresholds = (file.extra or {}).get("thresholds")
    except NumbacnnError as error:
        raise FileError(f"the model file's thresholds are damaged: {error}") from error
    model.network.suggestions = dict(file.choices or {})
    if file.compiled:
        try:
            if arguments := _compile_arguments(file, allow_missing):
                model.compile(**arguments)
        except (NumbacnnError, KeyError, TypeError, AttributeError) as error:
            if file.unknown is None:
                raise
            file = replace(file, unknown=str(error))
        if file.loop and model._session is not None:
            session = model.session
            session.step, session.scale = int(file.loop["step"]), float(file.loop.get("scale", 1.0))
            session.updates = int(file.loop.get("updates", session.step))
            model.callback_states, slots = from_file(file.loop.get("callbacks", {}), file.optimizer or {})
            session.adopt(slots, file.loop["places"])
            model.network.choices = dict(file.choices or {})  # who goes on computes as before, bit by bit
    if file.unknown:
        warnings.warn(f"the model is not compiled: what Keras compiled it with has no counterpart here: {file.unknown}. Call model.compile", stacklevel=3)
    return model


def _compile_arguments(file: "native.ModelFile", allow_missing: bool) -> dict[str, Any]:
    """What compile was given; {} where that needs a plugin that is missing and may be."""
    compiled = file.compiled

    def made(group: str, config: Any) -> Any:
        return None if config is None else build_fields(origins.find(group, config["name"], file.versions, file.path), config["fields"])

    try:
        optimizer, losses = made("optimizers", compiled["optimizer"]), [made("losses", c) for c in compiled["losses"]]
        metrics = [[made("metrics", c) for c in cs] for cs in compiled["metrics"]]
    except origins.MissingPluginError as error:
        if not allow_missing:
            raise
        warnings.warn(str(error), origins.MissingPluginWarning, stacklevel=4)
        return {}
    return {
        "optimizer": optimizer,
        "loss": losses,
        "loss_weights": compiled["loss_weights"],
        "metrics": metrics,
        "groups": [(names, rate) for names, rate in compiled["groups"]],
        **{name: compiled[name] for name in ("winograd", "checkpointing", "precision") if name in compiled},
    }
