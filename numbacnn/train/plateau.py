"""Callbacks that watch a column of the history: a smaller learning rate, or the end, where it no longer gets better."""

import math
from typing import Any, Literal

import numpy as np

from ..errors import ConfigError
from .callbacks import Callback


class Monitor(Callback):
    """What both share.

    monitor   a column of the history ("valid_loss", "valid_accuracy", "train_loss", …); Keras' names ("val_loss", "loss") mean the same
    patience  epochs without improvement that are waited for
    min_delta   a change by less is no improvement
    mode      "min" where smaller is better, "max" where larger is, "auto": min for losses, max for all else
    """

    def __init__(self, monitor: str, patience: int, min_delta: float, mode: Literal["auto", "min", "max"]):
        kind = type(self).__name__
        if mode not in ("auto", "min", "max"):
            raise ConfigError(f"{kind}: mode={mode!r} must be 'min', 'max' or 'auto'")
        if patience < 0 or not isinstance(patience, int):
            raise ConfigError(f"{kind}: patience={patience!r} must be a number of epochs, at least 0")
        self.column, self.patience, self.min_delta = _column(monitor), patience, abs(min_delta)
        self.sign = -1.0 if mode == "max" or (mode == "auto" and "loss" not in self.column) else 1.0
        self.reset()

    def reset(self) -> None:
        self.best, self.wait = math.inf, 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.reset()

    def improved(self, logs: dict | None) -> bool:
        """Whether the epoch is better than the best so far, which it then becomes. Raises ConfigError where the column is missing."""
        if self.column not in (logs or {}):
            known = ", ".join(name for name in logs or {} if name.startswith(("train_", "valid_")))
            needs = ": give fit validation data" if self.column.startswith("valid_") and "valid_" not in known else ""
            raise ConfigError(f"{type(self).__name__} watches {self.column!r}, which the history does not have (it has {known}){needs}")
        value = self.sign * logs[self.column]
        if not value < self.best - self.min_delta:
            return False
        self.best, self.wait = value, 0
        return True

    def state(self) -> dict[str, Any]:
        return {"best": None if math.isinf(self.best) else self.best, "wait": self.wait}

    def restore(self, state: dict[str, Any]) -> None:
        self.best = math.inf if state["best"] is None else float(state["best"])
        self.wait = int(state["wait"])


class ReduceLROnPlateau(Monitor):
    """All learning rates are multiplied by `factor` where the column has not got better for `patience` epochs (Keras' callback).

    cooldown: epochs after that in which nothing is counted; min_lr: the head's rate never falls below it.
    """

    def __init__(
        self,
        monitor: str = "valid_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        mode: Literal["auto", "min", "max"] = "auto",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        if not 0 < factor < 1:
            raise ConfigError(f"ReduceLROnPlateau: factor={factor!r} must lie between 0 and 1")
        self.factor, self.cooldown, self.min_lr = factor, cooldown, min_lr
        super().__init__(monitor, patience, min_delta, mode)

    def reset(self) -> None:
        super().reset()
        self.cooling = 0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        better = self.improved(logs)
        if self.cooling:
            self.cooling -= 1
            self.wait = 0
        elif not better:
            self.wait += 1
            if self.wait >= self.patience:
                session = self.model.session
                rate = session.learning_rates[0]
                session.scale = min(session.scale, max(session.scale * self.factor, self.min_lr / rate if rate else 0.0))
                self.wait, self.cooling = 0, self.cooldown

    def state(self) -> dict[str, Any]:
        return super().state() | {"cooling": self.cooling}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.cooling = int(state["cooling"])


class EarlyStopping(Monitor):
    """Training ends where the column has not got better for `patience` epochs; the model then has the best epoch's weights (Keras' callback).

    restore_best_weights: unlike in Keras this is the default. start_from_epoch: epochs at the start that do not count.
    After training, `best_epoch` (0-based) is the best one and `stopped_epoch` the one that training ended after, None if it did not.
    """

    def __init__(
        self,
        monitor: str = "valid_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: Literal["auto", "min", "max"] = "auto",
        restore_best_weights: bool = True,
        start_from_epoch: int = 0,
    ):
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        super().__init__(monitor, patience, min_delta, mode)

    def reset(self) -> None:
        super().reset()
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.weights: np.ndarray | None = None  # all weights of the best epoch, one behind another

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch < self.start_from_epoch:
            return
        if self.improved(logs):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.weights = np.concatenate([w.reshape(-1) for w in self.model.get_weights()])
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def on_train_end(self, logs: dict | None = None) -> None:
        if self.weights is None:
            return
        shapes = [w.shape for w in self.model.get_weights()]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        self.model.set_weights([part.reshape(shape) for part, shape in zip(np.split(self.weights, ends[:-1]), shapes, strict=True)])

    def state(self) -> dict[str, Any]:
        kept = {} if self.weights is None else {"weights": self.weights}
        return super().state() | {"best_epoch": self.best_epoch} | kept

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.best_epoch, self.weights = state["best_epoch"], state.get("weights")


def _column(name: str) -> str:
    """The history's name for a column."""
    if name.startswith("val_"):
        return "valid_" + name.removeprefix("val_")
    return name if name.startswith(("train_", "valid_")) else f"train_{name}"
