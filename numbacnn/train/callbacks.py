"""What users can hook into training; method names are Keras'."""

from collections.abc import Iterable
from typing import Any

import numpy as np


class Callback:
    """Override what you need. `model` is the model, `params` a dict with epochs, steps (0: unknown) and images (0: unknown).

    logs of a batch: train_loss, train_<metric> so far, images_per_second; of an epoch: the row of history.csv.
    Set `self.model.stop_training = True` to end after the current epoch.
    """

    last = False  # whether it is called after the others: who keeps checkpoints wants to see what they have done
    model: Any = None
    params: dict[str, Any] = {}  # noqa: RUF012  replaced, never changed

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: dict | None = None) -> None: ...

    def on_train_end(self, logs: dict | None = None) -> None: ...

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None: ...

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None: ...

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None: ...

    def on_test_begin(self, logs: dict | None = None) -> None: ...

    def on_test_end(self, logs: dict | None = None) -> None: ...

    def on_train_error(self, error: BaseException) -> None:
        """Training ends early with an error or Ctrl-C (numbacnn's own; Keras has no such hook)."""

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint must hold for the callback to go on: JSON-able values and flat float32 arrays by name (numbacnn's own hook)."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with a `state`; called behind on_train_begin where a run is resumed."""


class Lines(Callback):
    """A line an epoch: `fit(verbose=1)`."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        facts = "  ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items() if name != "epoch")
        print(f"epoch {epoch + 1}/{self.params['epochs']}  {facts}", flush=True)


def as_list(callbacks: "Iterable[Callback] | Callback | None") -> list[Callback]:
    """What users give as callbacks, as a list."""
    return [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())


class Callbacks(Callback):
    """Several callbacks as one, called in order."""

    def __init__(self, callbacks: "Iterable[Callback] | Callback | None", model: Any, params: dict[str, Any]):
        self.all = sorted(as_list(callbacks), key=lambda callback: getattr(callback, "last", False))
        self.model = model
        for callback in self.all:
            callback.set_model(model)
            callback.set_params(params)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        def call(*args: Any) -> None:
            for callback in self.all:
                if name == "on_epoch_end" and getattr(callback, "last", False):
                    self.note()
                getattr(callback, name, lambda *_: None)(*args)
            if name == "on_epoch_end":
                self.note()

        return call

    def note(self) -> None:
        """Put the callbacks' states where `model.save` finds them: {class and number among those of the class: state}."""
        states = {key: callback.state() for key, callback in self._keys() if callable(getattr(callback, "state", None))}
        self.model.callback_states = {key: state for key, state in states.items() if state}

    def resume(self, states: dict[str, dict[str, Any]]) -> None:
        """Give each callback the state that it left behind, where there is one."""
        for key, callback in self._keys():
            if key in states and callable(getattr(callback, "restore", None)):
                callback.restore(states[key])

    def _keys(self) -> list[tuple[str, Callback]]:
        names = [type(callback).__name__ for callback in self.all]
        return [(f"{name} {names[:i].count(name)}", callback) for i, (name, callback) in enumerate(zip(names, self.all, strict=True))]


def to_file(states: dict[str, dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """States as (JSON-able values, arrays by name), as a checkpoint stores them."""
    values = {key: {n: v for n, v in state.items() if not isinstance(v, np.ndarray)} for key, state in states.items()}
    arrays = {f"{_ARRAY}{key} {n}": v for key, state in states.items() for n, v in state.items() if isinstance(v, np.ndarray)}
    return values, arrays


def from_file(values: dict[str, dict[str, Any]], arrays: dict[str, np.ndarray]) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """(states, what else the arrays hold): the reverse of `to_file`."""
    states = {key: dict(state) for key, state in values.items()}
    for name, array in arrays.items():
        if name.startswith(_ARRAY):
            key, _, n = name.removeprefix(_ARRAY).rpartition(" ")
            states.setdefault(key, {})[n] = array
    return states, {name: array for name, array in arrays.items() if not name.startswith(_ARRAY)}


_ARRAY = "callback "
