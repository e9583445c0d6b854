"""Model: a graph of layers with weights, and Keras' compile / fit / evaluate / predict on it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import registry
from .data.arrays import are_arrays, as_data, hold_out, is_labelled
from .data.preprocess import Preprocess
from .errors import ConfigError, ShapeError, UnknownNameError
from .fields import to_json
from .functional import Handle, Symbol, collect, inline, recall, set_all
from .graph import Graph, Shape, keras_order
from .prediction import Labelling
from .saving import Saving
from .train import loop, rates
from .train.callbacks import Lines, as_list
from .train.network import How, Network
from .train.session import Session
from .transfer import Transfer

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


class Model(Transfer, Labelling, Saving):
    """A network between input symbols and output symbols.

    inputs, outputs: one symbol or a list of them. seed: the weights are drawn from it (default: a new one each time; see
    `set_random_seed`). Calling a model on a symbol puts its layers, with their weights, into a bigger model.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, seed: int | None = None):
        self._begin(name)
        self._build(inputs, outputs, seed)

    def _begin(self, name: str | None) -> None:
        self.name, self.stop_training = name, False
        self.preprocess: Preprocess | None = None
        self.classes: tuple[str, ...] | None = None
        self.splits: tuple[str, ...] = ()  # first layer of each learning-rate group but the first, by name or prefix; (): see layer_groups
        self.callback_states: dict[str, dict] = {}  # what callbacks of the last fit left behind, for one that goes on
        self.keras_layers: Any = None  # of a model from a Keras file: how its layers lay in each other there (store.keras.layout)

    def _build(self, inputs: Any, outputs: Any, seed: int | None) -> None:
        inputs, outputs = _symbols(inputs, "inputs"), _symbols(outputs, "outputs")
        graph, handles = collect(inputs, outputs, f"model {self.name!r}" if self.name else "the model")
        seed = _next_seed() if seed is None else seed
        for index, handle in enumerate(handles.values()):
            if handle.specs and not handle.arrays:
                handle.initialize(seed, index)
        self._settle(graph, handles, inputs, outputs)

    @staticmethod
    def _of(inputs: Any, outputs: Any, name: str | None = None, seed: int | None = None) -> "Model":
        return Model(inputs, outputs, name, seed)

    def _settle(self, graph: Graph, handles: dict[str, Handle], inputs: list[Symbol], outputs: list[Symbol]) -> None:
        self.graph, self.handles, self._inputs, self._outputs = graph, handles, inputs, outputs
        self.network = Network(graph, handles)
        self._session: Session | None = None  # those were of another graph
        self._compiled: dict[str, Any] | None = None
        self.afterwards: dict[str, Any] | None = (
            None  # while a phase of fine_tune freezes layers: the training facts that files say in place of the present ones
        )
        self._task: str | None = None  # of the data that it learned from
        self._thresholds: tuple[float, ...] | None = None

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
        winograd: bool = True,
        checkpointing: bool | Sequence[str] = False,
        precision: str = "float32",
        *,
        lr: Any = None,
        learning_rate: Any = None,
        domain: str = "near",
    ) -> None:
        """Say how to train.

        optimizer  a registered name or an Optimizer
        lr, learning_rate   in place of the optimizer's own: a number, a list with one for each layer group, slice(lowest, highest)
                   or slice(highest), which leaves a tenth to all groups but the head (`layer_groups`; train/rates.py)
        domain     "far" raises the rates below the head's: for pictures unlike those that the network was trained on
        loss, loss_weights, metrics   for several outputs: lists, or dicts by output name
        device     "auto", "cpu" or "cuda"; threads: how many CPU threads (default: all cores)
        groups     (layer names, learning rate) pairs: those layers learn at a rate of their own; a name ending in "/" or "*"
                   means all layers that begin so
        winograd   False: convolutions never by Winograd's algorithms, whose error is about ten times a direct sum's (1e-6 against 1e-7)
        checkpointing  True: training needs less memory and a third more time, as most outputs are computed again for the backward pass
                   instead of being kept; or the names of the layers whose outputs are kept
        precision  "float32"; "tf32" and "bf16": convolutions and dense layers round their factors to that (and multiply them in a GPU's tensor
                   cores), while sums and weights stay float32; "float64": all of it. Files keep weights as float32
        """
        outputs = self.graph.outputs
        optimizer = _made(registry.optimizers, optimizer)
        losses = [None if item is None else _made(registry.losses, item) for item in _each(loss, outputs, "loss")]
        if all(item is None for item in losses):
            raise ConfigError(f"compile needs a loss: loss='cross_entropy' for one label a sample (known: {', '.join(registry.losses)})")
        weights = [1.0 if w is None else float(w) for w in _each(loss_weights, outputs, "loss_weights")]
        chosen = [[_made(registry.metrics, m) for m in ms] for ms in _metrics(metrics, outputs)]
        if lr is not None and learning_rate is not None:
            raise ConfigError(f"lr={lr!r} and learning_rate={learning_rate!r} are two names of one thing: give one of them")
        if (lr := learning_rate if lr is None else lr) is not None:
            optimizer, own = rates.grouped(optimizer, lr, self.layer_groups(), domain)
            groups = [*own, *groups]
        group_of, learning_rates = self._groups(groups, optimizer.learning_rate)
        checkpointing = bool(checkpointing) if isinstance(checkpointing, (bool, int)) else list(checkpointing)
        self.network.use(device, threads)
        self.network.settle(How(bool(winograd), checkpointing, precision))
        self._session = Session(self.network, optimizer, losses, weights, chosen, group_of, learning_rates)
        self._compiled = {
            "optimizer": _config(registry.optimizers, optimizer),
            "losses": [None if item is None else _config(registry.losses, item) for item in losses],
            "loss_weights": weights,
            "metrics": [[_config(registry.metrics, m) for m in ms] for ms in chosen],
            "groups": [[list(names), float(rate)] for names, rate in groups],
            "winograd": bool(winograd),
            "checkpointing": checkpointing,
            "precision": precision,
        }

    def set_learning_rate(self, lr: Any, domain: str = "near") -> None:
        """Other learning rates from now on, as compile's `lr`, in place of all that it was given; the optimizer keeps its state."""
        optimizer, groups = rates.grouped(self.session.optimizer, lr, self.layer_groups(), domain)
        self.session.regroup(optimizer, *self._groups(groups, optimizer.learning_rate))
        self._compiled |= {"optimizer": _config(registry.optimizers, optimizer), "groups": [[list(names), rate] for names, rate in groups]}

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
        validation_split: float = 0.0,
        shuffle: bool = True,
        verbose: int = 0,
        schedule: Any = None,
        seed: int = 0,
        position: dict | None = None,
        accumulate: int = 1,
        keep_features: bool = True,
    ) -> dict[str, list]:
        """Train, and return the history: a dict of lists, one value an epoch, with history.csv's columns.

        x, y  arrays (N, …), or x a dataset or an iterable of (x, y) batches, and then y is validation data of any such kind;
              validation_data also takes (x, y) or (x, y, sample_weight) arrays
        validation_split  the last part of the arrays that is not trained on but validated with (0.2: a fifth)
        verbose  1: print a line an epoch
        seed  of shuffling and of random layers;  schedule: "constant", "one_cycle", "cosine", "step", "warm_up", "reduce_on_plateau" or a Schedule
        accumulate  batches that make one update, the same as that of one batch of all their samples; a BatchNormalization that is
              trained still sees each batch for itself
        keep_features  what a frozen base makes of pictures that are not augmented is computed once and kept, 1 GiB of it in memory and
              more in a file of the cache folder; False: computed anew in each epoch, to the same bits
        position  where an interrupted epoch goes on: `model.position` of then (`numbacnn fit --resume` does this)
        """
        x = self._see(x)
        session = self.session
        if not are_arrays(x) and y is not None:
            if validation_data is not None:
                raise ConfigError("validation was given twice: as the second argument and as validation_data")
            validation_data, y = y, None
        if validation_split:
            if validation_data is not None:
                raise ConfigError("validation was given twice: as validation_data and as validation_split")
            x, y, sample_weight, validation_data = hold_out(x, y, sample_weight, validation_split)
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
            callbacks=[*as_list(callbacks), Lines()] if verbose else callbacks,
            class_weight=class_weight,
            schedule=schedule,
            seed=seed,
            position=position,
            accumulate=accumulate,
            keep_features=keep_features,
        )

    def _see(self, x: Any) -> Any:
        """For models that are built when they first see data: gives x back, whole."""
        return x

    def _learn_from(self, data: Any) -> None:
        """A folder of images brings its classes and its preprocessing along."""
        classes, preprocess = getattr(data, "classes", None), getattr(data, "preprocess", None)
        if classes:
            units = self._outputs[0].shape[-1]
            if len(self._outputs) == 1 and units != len(classes) and not (units == 1 and len(classes) == 2):
                raise ShapeError(f"the data has {len(classes)} classes ({', '.join(classes)}), but the model's last layer gives {units} values")
            task = getattr(data, "task", None)
            if task == "multi_label" and self.link == "softmax":
                raise ConfigError(f"images of {', '.join(classes)} have several labels or none, but the model's loss goes with one label an image: "
                                  "compile it with loss='binary_cross_entropy', without a softmax at its end")  # fmt: skip
            if self.classes != tuple(classes):
                self._thresholds = None
            self.classes, self._task = tuple(classes), task
        if preprocess is not None:
            self.preprocess = preprocess

    def train_on_batch(self, x: Any, y: Any, sample_weight: Any = None, class_weight: dict[int, float] | None = None) -> dict[str, float]:
        """One step on one batch; returns {"loss": …, metrics} of that batch."""
        x = self._see(x)
        totals = self.session.train_alone((x, y) if sample_weight is None else (x, y, sample_weight), class_weight)
        return self.session.logs(totals)

    def evaluate(self, x: Any, y: Any = None, batch_size: int = 32, sample_weight: Any = None) -> dict[str, float]:
        """{"loss": …, metrics} over arrays, a dataset or an iterable of batches."""
        x = self._see(x)
        return loop.evaluate(self.session, as_data(x, y, sample_weight, batch_size=batch_size))

    # ---- prediction

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        """Outputs for raw model input: x (N, H, W, C) float32, or one (H, W, C), which gets the batch axis.

        Returns an array of the caller's own (a list of them for several outputs). May be called from several threads.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} must be at least 1")
        if hasattr(x, "epoch"):
            raise ConfigError("predict takes arrays, not a dataset: use classify(dataset.paths) for files, or predict each batch's x")
        x = self._see(x)
        if len(self.graph.inputs) == 1 and not isinstance(x, (dict, list)):
            x = np.asarray(x, np.float32)
            x = x[None] if x.ndim == len(self._inputs[0].shape) else x
        xs = self.network.inputs(x)
        outputs = self.network.predict(xs, batch_size)
        return outputs[0] if len(outputs) == 1 else outputs

    def predict_on_batch(self, x: Any) -> Any:
        """Outputs of one batch."""
        return self.predict(x, batch_size=max(1, len(x)))

    def summary(self, plan: bool = False) -> Any:
        """Print and return a table of layers, shapes, parameters, multiply-adds and memory; plan=True adds the launches."""
        from .train.summary import print_summary

        return print_summary(self.graph, self.handles, self.layer_groups(), self.network if plan else None, self.name)


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
