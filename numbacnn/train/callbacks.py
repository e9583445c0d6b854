"""What users can hook into training; method names are Keras'."""

from collections.abc import Iterable
from typing import Any


class Callback:
    """Override what you need. `model` is the model, `params` a dict with epochs, steps (0: unknown) and images (0: unknown).

    logs of a batch: train_loss, train_<metric> so far, images_per_second; of an epoch: the row of history.csv.
    Set `self.model.stop_training = True` to end after the current epoch.
    """

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
        self.all = as_list(callbacks)
        for callback in self.all:
            callback.set_model(model)
            callback.set_params(params)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        def call(*args: Any) -> None:
            for callback in self.all:
                getattr(callback, name, lambda *_: None)(*args)

        return call
