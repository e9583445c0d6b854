"""Model: a graph of layers with weights, and Keras' compile / fit / evaluate / predict on it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from . import registry
from .data.arrays import are_arrays, as_data, is_labelled
from .data.decode import decode
from .data.preprocess import Preprocess
from .errors import ConfigError, DataError, ShapeError, UnknownNameError
from .fields import build as build_fields
from .fields import to_json
from .functional import Handle, Symbol, collect, inline, recall, set_all
from .graph import Shape, keras_order
from .layer import Layer
from .store import native
from .train import loop
from .train.network import Network
from .train.session import Session, Totals

_seeds: Iterator[int] | None = None


def set_random_seed(seed: int) -> None:
    """Make the weights of all models built from now on repeatable (Keras' keras.utils.set_random_seed)."""
    global _seeds
    _seeds = iter(range(seed, seed + 2**31))


def _next_seed() -> int:
    if _seeds is None:
        return int.from_bytes(os.urandom(4), "little")
    return next(_seeds)


def Input(shape: Shape, name: str | None = None) -> Symbol:
    """Where a model begins: a symbol of images (height, width, channels), or of any shape without the batch axis.

    Height and width may be None: images of any size.
    """
    layer = registry.layers["Input"](tuple(shape), name=name)
    return recall(Handle(layer, ()), (), layer.output_shape())


@dataclass(frozen=True)
class Prediction:
    """What `classify` says of one image: the most probable label, and `top`, the first k as (label, probability)."""

    path: str
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]


class Model:
    """A network between input symbols and output symbols.

    inputs, outputs: one symbol or a list of them. seed: the weights are drawn from it (default: a new one each time; see
    `set_random_seed`). Calling a model on a symbol puts its layers, with their weights, into a bigger model.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, seed: int | None = None):
        self.name = name
        self.preprocess: Preprocess | None = None
        self.classes: tuple[str, ...] | None = None
        self.stop_training = False
        self._build(inputs, outputs, seed)

    def _build(self, inputs: Any, outputs: Any, seed: int | None) -> None:
        self._inputs, self._outputs = _symbols(inputs, "inputs"), _symbols(outputs, "outputs")
        self.graph, self.handles = collect(self._inputs, self._outputs, f"model {self.name!r}" if self.name else "the model")
        seed = _next_seed() if seed is None else seed
        for index, handle in enumerate(self.handles.values()):
            if handle.specs and not handle.arrays:
                handle.initialize(seed, index)
        self.network = Network(self.graph, self.handles)
        self._session: Session | None = None  # those were of another graph
        self._compiled: dict[str, Any] | None = None

    def __repr__(self):
        return f"<{type(self).__name__} {self.name or ''} of {len(self.handles)} layers, {self.count_params():,} parameters>"

    # ---- structure

    @property
    def layers(self) -> list[Handle]:
        """Handles of all layers, in Keras' order; they carry weights and `trainable`."""
        return [self.handles[owner] for owner in keras_order(self.graph)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Handle:
        """The handle of a layer, by name or by index."""
        if index is not None:
            if not -len(self.handles) <= index < len(self.handles):
                raise ConfigError(f"index={index}: the model has {len(self.handles)} layers")
            return self.layers[index]
        if name not in self.handles:
            raise UnknownNameError("layer name", name, self.handles)
        return self.handles[name]

    @property
    def inputs(self) -> list[Symbol]:
        return list(self._inputs)

    @property
    def outputs(self) -> list[Symbol]:
        return list(self._outputs)

    @property
    def input(self) -> Any:
        """The input symbol (a list of them where there are several)."""
        return self._inputs[0] if len(self._inputs) == 1 else self.inputs

    @property
    def output(self) -> Any:
        """The output symbol (a list of them where there are several): a bigger model may go on from here."""
        return self._outputs[0] if len(self._outputs) == 1 else self.outputs

    @property
    def input_shape(self) -> tuple:
        """(None, height, width, channels) of the first input."""
        return (None, *self._inputs[0].shape)

    @property
    def output_shape(self) -> tuple:
        """(None, …) of the first output."""
        return (None, *self._outputs[0].shape)

    def __call__(self, x: Any) -> Any:
        """On symbols: the model's layers as part of a bigger model. On arrays: the same as predict."""
        given = list(x) if isinstance(x, (list, tuple)) else [x]
        if not all(isinstance(s, Symbol) for s in given):
            return self.predict(x)
        made = inline(self._outputs, self._inputs, given, self.name or "model")
        return made[0] if len(made) == 1 else made

    # ---- weights

    @property
    def trainable(self) -> bool:
        """Whether any layer with weights is trained; setting it sets all layers."""
        return any(h.trainable for h in self.handles.values() if h.specs)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for handle in self.handles.values():
            handle.trainable = bool(value)

    def _places(self) -> list[tuple[Handle, str]]:
        return [(h, n) for h in self.layers for n in h.order()]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, layer by layer; within a layer those that can be trained first (Keras' order)."""
        return [h.arrays[n].copy() for h, n in self._places()]

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Copy a list like that of `get_weights` into the weights; if any shape differs, nothing changes."""
        set_all(self._places(), values, f"model {self.name!r}" if self.name else "the model")

    def count_params(self) -> int:
        """Number of weights, trained or not."""
        return sum(h.count_params() for h in self.handles.values())

    def adapt(self, data: Any) -> None:
        """Set every Normalization layer's mean and variance from data: an array, or a dataset's batches (gone through once).

        Each layer sees what the layers before it make of the data.
        """
        for owner, handle in self.handles.items():
            if not hasattr(handle.layer, "statistics") or not handle.specs:
                continue
            batches = [data] if isinstance(data, np.ndarray) else [batch[0] for batch in as_data(data).epoch(0)]
            before = Network(replace(self.graph, outputs=self.graph[owner].inputs), self.handles)
            before.backend = self.network.backend
            seen = np.concatenate([before.predict(before.inputs(b), 32)[0] for b in batches])
            for name, value in handle.layer.statistics(seen).items():
                handle.put(name, value)

    # ---- training

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        device: str = "auto",
        threads: int | None = None,
        groups: "Sequence[tuple[Sequence[str], float]]" = (),
    ) -> None:
        """Say how to train.

        optimizer  a registered name or an Optimizer
        loss, loss_weights, metrics   for several outputs: lists, or dicts by output name
        device     "auto", "cpu" or "cuda"; threads: how many CPU threads (default: all cores)
        groups     (layer names, learning rate) pairs: those layers learn at a rate of their own; a name ending in "/" or "*"
                   means all layers that begin so
        """
        outputs = self.graph.outputs
        optimizer = _made(registry.optimizers, optimizer)
        losses = [None if item is None else _made(registry.losses, item) for item in _each(loss, outputs, "loss")]
        if all(item is None for item in losses):
            raise ConfigError(f"compile needs a loss: loss='cross_entropy' for one label a sample (known: {', '.join(registry.losses)})")
        weights = [1.0 if w is None else float(w) for w in _each(loss_weights, outputs, "loss_weights")]
        chosen = [[_made(registry.metrics, m) for m in ms] for ms in _metrics(metrics, outputs)]
        group_of, rates = self._groups(groups, optimizer.learning_rate)
        self.network.use(device, threads)
        self._session = Session(self.network, optimizer, losses, weights, chosen, group_of, rates)
        self._compiled = {
            "optimizer": _config(registry.optimizers, optimizer),
            "losses": [None if item is None else _config(registry.losses, item) for item in losses],
            "loss_weights": weights,
            "metrics": [[_config(registry.metrics, m) for m in ms] for ms in chosen],
            "groups": [[list(names), float(rate)] for names, rate in groups],
        }

    def _groups(self, groups: Any, base: float) -> tuple[dict[str, int], list[float]]:
        group_of, rates = {}, [float(base)]
        for names, rate in groups:
            for name in [names] if isinstance(names, str) else names:
                found = [o for o in self.handles if o.startswith(name.rstrip("*"))] if name.endswith(("/", "*")) else [name] * (name in self.handles)
                if not found:
                    raise UnknownNameError("layer name", name, self.handles)
                group_of |= dict.fromkeys(found, len(rates))
            rates.append(float(rate))
        return group_of, rates

    @property
    def session(self) -> Session:
        """The compiled state."""
        if self._session is None:
            raise ConfigError("the model is not compiled: call model.compile(optimizer=…, loss=…) first")
        return self._session

    @property
    def optimizer(self) -> Any:
        """The optimizer that compile was given."""
        return self.session.optimizer

    def fit(
        self,
        x: Any,
        y: Any = None,
        validation_data: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        callbacks: Any = None,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        steps_per_epoch: int | None = None,
        initial_epoch: int = 0,
        *,
        shuffle: bool = True,
        schedule: Any = None,
        seed: int = 0,
        position: dict | None = None,
    ) -> dict[str, list]:
        """Train, and return the history: a dict of lists, one value an epoch, with history.csv's columns.

        x, y  arrays (N, …), or x a dataset or an iterable of (x, y) batches, and then y is validation data of any such kind;
              validation_data also takes (x, y) or (x, y, sample_weight) arrays
        seed  of shuffling and of random layers;  schedule: "constant", "one_cycle", "cosine" or a Schedule
        position  where an interrupted epoch goes on: `model.position` of then (`numbacnn fit --resume` does this)
        """
        session = self.session
        if not are_arrays(x) and y is not None:
            if validation_data is not None:
                raise ConfigError("validation was given twice: as the second argument and as validation_data")
            validation_data, y = y, None
        data = as_data(x, y, sample_weight, batch_size=batch_size, shuffle=shuffle, seed=seed, steps=steps_per_epoch)
        valid = None
        if is_labelled(validation_data):
            valid = as_data(*validation_data, batch_size=batch_size)
        elif validation_data is not None:
            valid = as_data(validation_data)
        self._learn_from(x)
        return loop.fit(
            self,
            session,
            data,
            valid,
            epochs=epochs,
            initial_epoch=initial_epoch,
            callbacks=callbacks,
            class_weight=class_weight,
            schedule=schedule,
            seed=seed,
            position=position,
        )

    def _learn_from(self, data: Any) -> None:
        """A folder of images brings its classes and its preprocessing along."""
        classes, preprocess = getattr(data, "classes", None), getattr(data, "preprocess", None)
        if classes:
            units = self._outputs[0].shape[-1]
            if len(self._outputs) == 1 and units != len(classes) and not (units == 1 and len(classes) == 2):
                raise ShapeError(f"the data has {len(classes)} classes ({', '.join(classes)}), but the model's last layer gives {units} values")
            self.classes = tuple(classes)
        if preprocess is not None:
            self.preprocess = preprocess

    def train_on_batch(self, x: Any, y: Any, sample_weight: Any = None, class_weight: dict[int, float] | None = None) -> dict[str, float]:
        """One step on one batch; returns {"loss": …, metrics} of that batch."""
        totals = Totals()
        self.session.train((x, y) if sample_weight is None else (x, y, sample_weight), totals, class_weight)
        return self.session.logs(totals)

    def evaluate(self, x: Any, y: Any = None, batch_size: int = 32, sample_weight: Any = None) -> dict[str, float]:
        """{"loss": …, metrics} over arrays, a dataset or an iterable of batches."""
        return loop.evaluate(self.session, as_data(x, y, sample_weight, batch_size=batch_size))

    # ---- prediction

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        """Outputs for raw model input: x (N, H, W, C) float32, or one (H, W, C), which gets the batch axis.

        Returns an array of the caller's own (a list of them for several outputs). May be called from several threads.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} must be at least 1")
        if len(self.graph.inputs) == 1 and not isinstance(x, (dict, list)):
            x = np.asarray(x, np.float32)
            x = x[None] if x.ndim == len(self._inputs[0].shape) else x
        xs = self.network.inputs(x)
        outputs = self.network.predict(xs, batch_size)
        return outputs[0] if len(outputs) == 1 else outputs

    def predict_on_batch(self, x: Any) -> Any:
        """Outputs of one batch."""
        return self.predict(x, batch_size=max(1, len(x)))

    def probabilities(self, output: np.ndarray) -> np.ndarray:
        """The model's output as probabilities: where it ends in no softmax or sigmoid, the loss' own is applied."""
        if self.network.links[0] or self._session is None or self._session.losses[0] is None or not self._session.losses[0].link:
            return output
        return self._session.losses[0].activate(output)

    def classify(self, paths: Any, top: int = 5, batch_size: int = 32) -> list[Prediction]:
        """Predictions for image files: decoded, resized and normalized as in training.

        paths: files or open images' paths, in order. Raises DataError naming the first file that is no image.
        """
        paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
        if self.preprocess is None:
            raise ConfigError("the model carries no preprocessing: train it on nn.image_folder(…), or set model.preprocess = nn.Preprocess(size=(h, w), …)")
        if self.network.links[0] is None and self._session is None:
            raise ConfigError("the model's outputs are logits and it is not compiled: compile it with its loss, so that classify knows softmax from sigmoid")
        predictions: list[Prediction] = []
        for at in range(0, len(paths), batch_size):
            chunk = paths[at : at + batch_size]
            pixels = np.stack([decode(p, self.preprocess) for p in chunk])
            scores = self.probabilities(self.predict(self.preprocess.apply(pixels), batch_size))
            predictions.extend(self._prediction(p, row, top) for p, row in zip(chunk, scores, strict=True))
        return predictions

    def _prediction(self, path: Any, scores: np.ndarray, top: int) -> Prediction:
        if scores.ndim != 1:
            raise ConfigError(f"classify needs one row of scores an image; the model's output has shape {scores.shape}")
        if len(scores) == 1 and self.classes and len(self.classes) == 2:
            scores = np.array([1 - scores[0], scores[0]])
        names = self.classes or tuple(str(i) for i in range(len(scores)))
        best = np.argsort(-scores, kind="stable")[: max(1, top)]
        ranked = tuple((names[i], float(scores[i])) for i in best)
        return Prediction(str(path), *ranked[0], ranked)

    # ---- files

    def save(self, path: str | Path, *, checkpoint: bool = False, loop: dict | None = None) -> None:
        """Write the model to an HDF5 file, whole or not at all; checkpoint=True adds the optimizer's state and `loop`."""
        session = self._session
        slots, places = session.export() if session and checkpoint else ({}, [])
        link = self.network.links[0] or (session.losses[0].link if session and session.losses[0] else None)
        native.write(
            path,
            native.ModelFile(
                graph=self.graph,
                weights=self.network.weights(),
                trainable={owner: h.trainable for owner, h in self.handles.items()},
                preprocess=self.preprocess.to_json() if self.preprocess else None,
                classes=self.classes,
                task={"softmax": "single_label", "sigmoid": "multi_label"}.get(link),
                compiled=self._compiled,
                optimizer=slots or None,
                loop={"step": session.step, "places": places, **(loop or {})} if session and checkpoint else None,
            ),
        )

    def summary(self, plan: bool = False) -> Any:
        """Print and return a table of layers, shapes, parameters, multiply-adds and memory; plan=True adds the launches."""
        from .train.summary import print_summary

        return print_summary(self.graph, self.handles, self.network if plan else None, self.name)


class Sequential(Model):
    """Layers one behind another: `Sequential([nn.Input((64, 64, 3)), nn.Conv2D(32, 3), …])`. Models may be among them.

    Without an Input first, the model is built when it first sees data (or by `build(input_shape)`).
    """

    def __init__(self, layers: Sequence[Any] = (), name: str | None = None, seed: int | None = None):
        self.name, self._seed, self._stack = name, seed, list(layers)
        self.preprocess, self.classes, self.stop_training = None, None, False
        self._session, self._compiled, self._pending = None, None, None
        for item in self._stack:
            self._check(item)
        if self._stack and isinstance(self._stack[0], (Symbol, Model)):
            self.build()

    @staticmethod
    def _check(item: Any) -> None:
        if not isinstance(item, (Layer, Symbol, Model)):
            raise ConfigError(f"Sequential takes layers, not {type(item).__name__}: {item!r}")

    def add(self, layer: Any) -> None:
        """Put a layer behind the last one."""
        self._check(layer)
        self._stack.append(layer)
        if "graph" in self.__dict__ or isinstance(self._stack[0], (Symbol, Model)):
            self.build()

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the graph; input_shape with the batch axis first, as Keras: (None, 64, 64, 3)."""
        first, *rest = self._stack or [None]
        if isinstance(first, Model):
            source = x = Input(first._inputs[0].shape)
            rest = self._stack
        elif isinstance(first, Symbol):
            source = x = first
        elif input_shape is None:
            raise ConfigError("the model does not know its input's shape: begin with nn.Input(shape), or call build((None, height, width, channels))")
        else:
            source = x = Input(tuple(input_shape)[1:])
            rest = self._stack
        for item in rest:
            if isinstance(item, Symbol):
                raise ConfigError("nn.Input comes first in Sequential, not behind another layer")
            x = item(x)
        self._build(source, x, self._seed)
        if self._pending:
            args, self._pending = self._pending, None
            self.compile(**args)

    def __getattr__(self, name: str) -> Any:
        if name in ("graph", "handles", "network", "_inputs", "_outputs"):
            raise ConfigError("the model is not built yet: begin with nn.Input(shape), or call build((None, height, width, channels))")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self):
        return super().__repr__() if "graph" in self.__dict__ else f"<Sequential of {len(self._stack)} layers, not built>"

    def compile(self, *args: Any, **options: Any) -> None:
        if "graph" not in self.__dict__:
            names = ("optimizer", "loss", "metrics", "loss_weights", "device", "threads", "groups")
            self._pending = dict(zip(names, args, strict=False)) | options
            return
        super().compile(*args, **options)

    compile.__doc__ = Model.compile.__doc__

    def _see(self, x: Any) -> Any:
        """Build the model for x where it is not built yet; gives x back, whole."""
        if "graph" in self.__dict__:
            return x
        if are_arrays(x):
            self.build(np.shape(x))
            return x
        first = next(iter(as_data(x).epoch(0)))
        self.build(np.shape(first[0]))
        return chain([first], x) if isinstance(x, Iterator) else x

    def fit(self, x: Any, *args: Any, **options: Any) -> dict[str, list]:
        return super().fit(self._see(x), *args, **options)

    def train_on_batch(self, x: Any, *args: Any, **options: Any) -> dict[str, float]:
        return super().train_on_batch(self._see(x), *args, **options)

    def evaluate(self, x: Any, *args: Any, **options: Any) -> dict[str, float]:
        return super().evaluate(self._see(x), *args, **options)

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        self._see(np.asarray(x, np.float32) if not isinstance(x, np.ndarray) else x)
        return super().predict(x, batch_size)

    def __call__(self, x: Any) -> Any:
        if "graph" not in self.__dict__ and isinstance(x, Symbol):
            self.build((None, *x.shape))
        return super().__call__(x)


def build(name: str, input_shape: Shape = (224, 224, 3), classes: int = 1000, seed: int | None = None, **options: Any) -> Model:
    """A registered model: nn.build("resnet18", input_shape=(224, 224, 3), classes=1000). Its outputs are logits."""
    source = Input(tuple(input_shape))
    return Model(source, registry.models[name](source, classes, **options), registry.models.resolve(name), seed)


def load(path: str | Path) -> Model:
    """The model in a file that numbacnn wrote, compiled as it was; a RUN folder means the model.h5 in it."""
    path = Path(path)
    if path.is_dir():
        if not (path / "model.h5").is_file():
            raise DataError(f"{path} holds no model.h5: give a model file or a RUN folder of numbacnn fit")
        path = path / "model.h5"
    return restore(native.read(path))


def restore(file: "native.ModelFile") -> Model:
    """The model that a file's contents describe."""
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
    model.name, model.stop_training, model._session, model._compiled = None, False, None, None
    model.preprocess = Preprocess.from_json(file.preprocess) if file.preprocess else None
    model.classes = file.classes
    model._inputs, model._outputs = [symbols[n] for n in file.graph.inputs], [symbols[n] for n in file.graph.outputs]
    model.graph, model.handles = file.graph, handles
    model.network = Network(file.graph, handles)
    if file.compiled:
        model.compile(**_compile_arguments(file.compiled))
        if file.loop:
            model.session.step = int(file.loop["step"])
            model.session.adopt(file.optimizer or {}, file.loop["places"])
    return model


def _compile_arguments(compiled: dict[str, Any]) -> dict[str, Any]:
    def made(found: registry.Registry, config: Any) -> Any:
        return None if config is None else build_fields(found[config["name"]], config["fields"])

    return {
        "optimizer": made(registry.optimizers, compiled["optimizer"]),
        "loss": [made(registry.losses, c) for c in compiled["losses"]],
        "loss_weights": compiled["loss_weights"],
        "metrics": [[made(registry.metrics, c) for c in cs] for cs in compiled["metrics"]],
        "groups": [(names, rate) for names, rate in compiled["groups"]],
    }


def _config(found: registry.Registry, thing: Any) -> dict[str, Any]:
    return {"name": found.name_of(type(thing)), "fields": to_json(thing)}


def _made(found: registry.Registry, spec: Any) -> Any:
    """A name becomes an object with its default options; an object stays; a class is refused kindly."""
    if isinstance(spec, str):
        return found[spec]()
    if isinstance(spec, type):
        raise ConfigError(f"{found.kind} {spec.__name__} is a class: give an object, {spec.__name__}(), or a name")
    if not hasattr(spec, "__dataclass_fields__"):
        raise ConfigError(f"{found.kind}={spec!r}: give a registered name ({', '.join(found)}) or an object of such a class")
    return spec


def _each(value: Any, outputs: Sequence[str], what: str) -> list:
    """One value for each output: from one for all, a list, or a dict by output name."""
    if isinstance(value, dict):
        if unknown := [k for k in value if k not in outputs]:
            raise UnknownNameError(f"output in {what}", unknown[0], outputs)
        return [value.get(name) for name in outputs]
    if isinstance(value, (list, tuple)):
        if len(value) != len(outputs):
            raise ConfigError(f"{what} has {len(value)} entries, but the model has {len(outputs)} outputs ({', '.join(outputs)})")
        return list(value)
    return [value] * len(outputs)


def _metrics(value: Any, outputs: Sequence[str]) -> list[list]:
    """A list of metrics for each output: from one metric or a list for all, a list of lists, or a dict by output name."""
    if isinstance(value, dict) or (isinstance(value, (list, tuple)) and value and all(isinstance(v, (list, tuple)) for v in value)):
        value = _each(value, outputs, "metrics")
    else:
        value = [value] * len(outputs)
    return [[] if v is None else list(v) if isinstance(v, (list, tuple)) else [v] for v in value]


def _symbols(value: Any, what: str) -> list[Symbol]:
    symbols = list(value) if isinstance(value, (list, tuple)) else [value]
    if not symbols or not all(isinstance(s, Symbol) for s in symbols):
        raise ConfigError(f"{what} must be symbols, from x = nn.Input(shape) and layers called on them; given {value!r}")
    return symbols
