"""What a Model offers to go on from what it has learned: cut, a new head, freezing, layer groups, fine-tuning."""

from collections.abc import Sequence
from typing import Any, Literal

from . import registry
from .data.arrays import is_labelled
from .errors import ConfigError, UnknownNameError
from .functional import Symbol
from .layers.batch_normalization import BatchNormalization
from .layers.concatenate import Concatenate
from .layers.dense import Dense
from .layers.dropout import Dropout
from .layers.global_average_pooling2d import GlobalAveragePooling2D
from .layers.global_max_pooling2d import GlobalMaxPooling2D
from .train import groups, lr_find
from .train.callbacks import as_list
from .train.fine_tune import Phases
from .train.schedules import OneCycle


class Transfer:
    """Base of Model: transfer learning with it."""

    # ---- structure

    def cut(self, name: str) -> Any:
        """A model that ends with the output of a layer, that layer included. It shares layers and weights with this one.

        name: the layer's; a prefix means the last of the layers whose names begin so; of a layer that is called several times the
        last call is taken. Preprocessing and splits come along. Raises UnknownNameError.
        """
        calls = {node.name: node.name for node in self.graph.nodes} | {node.owner: node.name for node in self.graph.nodes}
        node = calls[name] if name in calls else calls[groups.matching(self.graph, name)[-1]]
        return self._carried(node, groups.symbols(self.graph, self._outputs)[node])

    def with_head(
        self,
        classes: int | Sequence[str],
        pooling: Literal["avg", "max", "concat"] = "avg",
        hidden: int | Sequence[int] | None = None,
        dropout: float = 0.0,
        name: str = "head",
        seed: int | None = None,
    ) -> Any:
        """A model with a fresh head on this one's last feature map; below it, layers and weights are shared.

        classes  how many, or their names; the outputs are logits
        pooling  of the feature map: "avg", "max", or "concat", both side by side (as in fastai)
        hidden   width of a dense layer with ReLU before the last one, or of several. Each of them, and then the last, has a
                 BatchNormalization before it, and the hidden ones half of the dropout (fastai's head)
        dropout  share of the last layer's inputs that is dropped in training
        name     of the last layer, and what the names of the head's other layers begin with
        seed     the new weights are drawn from it

        The feature map is what the model's global pooling reads (or else what its Flatten does), or its output. Preprocessing comes
        along, and the head is the last of the layer groups. Raises ConfigError where no such feature map is found.
        """
        names, units = _classes(classes)
        sizes = [hidden] if isinstance(hidden, int) else list(hidden or ())
        below = self._feature_map()
        body = self._carried(below, x := groups.symbols(self.graph, self._outputs)[below])
        while any(owner == name or owner.startswith(f"{name}_") for owner in body.handles):
            name += "_new"
        x, first = _pooled(x, pooling, name)
        for i, size in enumerate(sizes, 1):
            x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn{i}")(x)
            x = Dropout(dropout / 2, name=f"{name}_dropout{i}")(x) if dropout else x
            x = Dense(size, activation="relu", use_bias=False, kernel_initializer="he_normal", name=f"{name}_dense{i}")(x)
        if sizes:
            x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn{len(sizes) + 1}")(x)
        x = Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x
        model = self._of(body.inputs, Dense(units, name=name)(x), self.name, seed)
        known = [group[0] for group in body.layer_groups()[1:]] if not body.splits else list(body.splits)
        model.preprocess, model.classes, model.splits = self.preprocess, names, (*known, first)
        model.network.suggestions = dict(self.network.suggestions)
        return model

    def _feature_map(self) -> str:
        """The node whose value a new head goes on from."""
        known = getattr(registry.models[self.name], "pool", None) if self.name and self.name in registry.models else None
        if known in self.handles:
            source = self.graph[known].inputs[0]
            if len(groups.symbols(self.graph, self._outputs)[source].shape) == 3:
                return source
        found = groups.feature_map(self.graph)
        below = groups.upto(self.graph, found) if found else ()
        if not any(self.handles[node.owner].specs for node in self.graph.nodes if node.name in below):  # nothing that has learned would be left
            raise ConfigError(
                f"model {self.name or ''}: no layer is found where a feature map becomes a vector and all goes on from there "
                "(a global pooling, or Flatten): make the head yourself, base = model.cut('layer'), then layers on base.output"
            )
        return found

    def _carried(self, node: str, output: Symbol) -> Any:
        """The model up to a node, with what it knows of pictures and groups."""
        needed = groups.upto(self.graph, node)
        inputs = [symbol for name, symbol in zip(self.graph.inputs, self._inputs, strict=True) if name in needed]
        model = self._of(inputs, output, self.name)
        model.preprocess = self.preprocess
        model.classes = self.classes if self.graph.outputs == (node,) else None
        model.splits = tuple(split for split in self.splits if _is_there(model, split))
        model.network.suggestions = dict(self.network.suggestions)
        return model

    # ---- what is trained

    def freeze(self, until: str | None = None) -> None:
        """Layers up to `until`, that one included, are no longer trained, and a BatchNormalization among them uses and keeps its statistics.

        until: a layer's name, or a prefix (the last of the layers whose names begin so); None: all layers. Those behind it stay as
        they are. Raises UnknownNameError, and then nothing has changed.
        """
        order = groups.in_order(self.graph)
        end = len(order) if until is None else order.index(groups.matching(self.graph, until)[-1]) + 1
        for owner in order[:end]:
            self.handles[owner].trainable = False

    def unfreeze(self, from_: str | None = None) -> None:
        """Layers from `from_` on, that one included, are trained.

        from_: a layer's name, or a prefix (the first of the layers whose names begin so); None: all layers. Those before it stay as
        they are. Raises UnknownNameError, and then nothing has changed.
        """
        order = groups.in_order(self.graph)
        start = 0 if from_ is None else order.index(groups.matching(self.graph, from_)[0])
        for owner in order[start:]:
            self.handles[owner].trainable = True

    def layer_groups(self) -> list[list[str]]:
        """The layers with weights in groups, from the input to the head: what a list of learning rates or a slice is for.

        `model.splits` names the first layer (or its prefix) of each group but the first. Where it is empty, the groups are the early
        half of the layers before the last feature map, the late half, and the head behind it.
        """
        return groups.layer_groups(self.graph, self.handles, self.splits)

    # ---- training

    def fit_one_cycle(
        self,
        train: Any,
        valid: Any = None,
        epochs: int = 1,
        lr: Any = None,
        *,
        start: float = 0.25,
        div: float = 25.0,
        div_final: float = 1e5,
        moms: tuple[float, float, float] | None = (0.95, 0.85, 0.95),
        domain: str = "near",
        **options: Any,
    ) -> dict[str, list]:
        """`fit` with rates that go up to `lr` and down again (fastai's method); lr as compile's, None: what the model was compiled with.

        train, valid: datasets, batches, or (x, y) arrays. start, div, div_final: as nn.OneCycle's. options: fit's.
        moms: the optimizer's momentum (Adam's beta_1) at the beginning, at the highest rate, and at the end; None: it stays as it is.
        """
        schedule = OneCycle(start, div, div_final, moms)
        if lr is not None:
            self.set_learning_rate(lr, domain)
        return self.fit(**_data(train), validation_data=valid, epochs=epochs, schedule=schedule, **options)

    def fine_tune(
        self,
        train: Any,
        valid: Any = None,
        freeze_epochs: int = 1,
        epochs: int = 3,
        lr: Any = None,
        *,
        moms: tuple[float, float, float] | None = None,
        domain: str = "near",
        callbacks: Any = None,
        position: dict | None = None,
        **options: Any,
    ) -> dict[str, list]:
        """Train a new head, then everything: fastai's method. Returns the history of all epochs.

        In the first `freeze_epochs` only the last layer group is trained, in one cycle up to `lr`. Then all layers are trained for
        `epochs`, in one cycle up to slice(lr / 200, lr / 2): the early layers gently, the head at half its rate. A list or slice as
        `lr` holds for the second part as it is, its last rate for the first. None: the optimizer's rate. Each part begins with an
        empty optimizer state.

        moms: as fit_one_cycle's, for each part. domain: as compile's. options: fit's. With
        initial_epoch (and position) it goes on where it was interrupted, in the part that the epoch belongs to: epochs are counted through.
        """
        phases = Phases(self, freeze_epochs, epochs, lr, domain, position, moms)
        return self.fit(
            **_data(train),
            validation_data=valid,
            epochs=freeze_epochs + epochs,
            callbacks=[phases, *as_list(callbacks)],
            schedule=phases.schedule,
            position=position,
            **options,
        )

    def lr_find(self, train: Any, y: Any = None, start: float = 1e-7, end: float = 10.0, steps: int = 100, *, batch_size: int = 32, seed: int = 0) -> Any:
        """Try learning rates from `start` to `end`, one a batch, each the same multiple of the one before: a LearningRates with a suggestion.

        train, y, batch_size: as fit's x and y. Groups keep the ratio of their rates; the curve's are the head's. It stops where the
        loss diverges. Weights and optimizer state are afterwards exactly as they were.
        """
        return lr_find.find(self, self.session, self._see(train), y, start, end, steps, batch_size, seed)


def _data(train: Any) -> dict[str, Any]:
    """Training data as fit's arguments: a dataset, batches, or (x, y) or (x, y, sample_weight) arrays."""
    return dict(zip(("x", "y", "sample_weight"), train, strict=False)) if is_labelled(train) else {"x": train}


def _is_there(model: Any, split: str) -> bool:
    try:
        return bool(groups.matching(model.graph, split))
    except UnknownNameError:
        return False


def _classes(classes: int | Sequence[str]) -> tuple[tuple[str, ...] | None, int]:
    """(names or None, how many)"""
    if isinstance(classes, int) and not isinstance(classes, bool) and classes >= 1:
        return None, classes
    names = () if isinstance(classes, (str, int)) else tuple(classes)
    if not names or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
        raise ConfigError(f"classes={classes!r} must be a number of at least 1, or different names")
    return names, len(names)


def _pooled(x: Symbol, pooling: str, name: str) -> tuple[Symbol, str]:
    """The feature map as a vector, and the first layer that makes it."""
    pools = {"avg": ("avg",), "max": ("max",), "concat": ("avg", "max")}
    if pooling not in pools:
        raise UnknownNameError("pooling", pooling, pools)
    layers = {"avg": GlobalAveragePooling2D, "max": GlobalMaxPooling2D}
    made = [layers[kind](name=f"{name}_{kind}")(x) for kind in pools[pooling]]
    joined = made[0] if len(made) == 1 else Concatenate(name=f"{name}_concat")(made)
    return joined, f"{name}_{pools[pooling][0]}"
