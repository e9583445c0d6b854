"""The training loop: epochs of steps, validation after each, a history that is history.csv's rows."""

import math
import signal
import threading
import time
from typing import Any

from ..errors import ConfigError, NotFiniteError
from . import schedules
from .callbacks import Callbacks
from .session import WAY_OUT, Session, Totals


def fit(
    model: Any,
    session: Session,
    data: Any,
    validation: Any,
    *,
    epochs: int,
    initial_epoch: int = 0,
    callbacks: Any = None,
    class_weight: dict[int, float] | None = None,
    schedule: Any = None,
    seed: int = 0,
    position: dict | None = None,
) -> dict[str, list]:
    """Train for epochs initial_epoch … epochs - 1 and return the history: {column: [value of each epoch]}.

    position: where an interrupted epoch goes on, as `model.position` was then. Ctrl-C ends training between two steps.
    """
    if epochs < 1 or not 0 <= initial_epoch <= epochs:
        raise ConfigError(f"epochs={epochs}, initial_epoch={initial_epoch}: at least one epoch, and the first not behind the last")
    schedule = schedules.get(schedule)
    session.seed = seed
    steps = len(data)
    calls = Callbacks(callbacks, model, {"epochs": epochs, "steps": steps, "images": getattr(data, "images", 0)})
    history: dict[str, list] = {}
    model.stop_training = False
    calls.on_train_begin({})
    where = "before the first epoch"
    good = model.get_weights(), session.state(), session.step
    interrupt = _Interrupt()
    try:
        for epoch in range(initial_epoch, epochs):
            where = f"in epoch {epoch + 1}"
            model.position = {"epoch": epoch, "batch": 0, "totals": None}
            calls.on_epoch_begin(epoch, {})
            start, totals, done = time.perf_counter(), Totals(), 0
            if position and position["epoch"] == epoch and position["batch"]:
                totals, done = Totals.from_json(position["totals"]), position["batch"]
            if epoch == initial_epoch and hasattr(data, "prefetch"):
                with data.prefetch(epoch):
                    session.warm(data.batch_shape)
            before = totals.samples  # of an interrupted epoch: not this run's work
            for batch, item in enumerate(data.epoch(epoch)):
                if batch < done:
                    continue
                where = f"in epoch {epoch + 1}, batch {batch + 1}"
                calls.on_train_batch_begin(batch, {})
                session.factor = schedule.factor((epoch + batch / steps if steps else epoch) / epochs)
                session.train(item, totals, class_weight)
                elapsed = time.perf_counter() - start
                logs = {f"train_{k}": v for k, v in session.logs(totals).items()}
                calls.on_train_batch_end(batch, logs | {"images_per_second": (totals.samples - before) / elapsed})
                if interrupt.pressed:
                    model.position = {"epoch": epoch, "batch": batch + 1, "totals": totals.to_json()}
                    raise KeyboardInterrupt
            trained = time.perf_counter() - start
            row: dict[str, Any] = {"epoch": epoch + 1}
            row |= {f"train_{k}": v for k, v in session.logs(totals).items()}
            if validation is not None:
                calls.on_test_begin({})
                result = evaluate(session, validation)
                if not math.isfinite(result["loss"]):
                    raise NotFiniteError(
                        f"the validation loss is {result['loss']}, although the training loss was finite: the weights have grown too large. {WAY_OUT}"
                    )
                row |= {f"valid_{k}": v for k, v in result.items()}
                calls.on_test_end(result)
            row["learning_rate"] = session.learning_rates[0] * session.factor
            row["seconds"] = time.perf_counter() - start
            row["images_per_second"] = (totals.samples - before) / trained
            for column, value in row.items():
                history.setdefault(column, []).append(value)
            good = model.get_weights(), session.state(), session.step
            model.position = {"epoch": epoch + 1, "batch": 0, "totals": None}
            calls.on_epoch_end(epoch, row)
            if interrupt.pressed:
                raise KeyboardInterrupt
            if model.stop_training:
                break
    except NotFiniteError as error:
        weights, state, session.step = good
        model.set_weights(weights)
        session.restore(state)
        located = NotFiniteError(f"training stopped {where}: {error} The weights are those of the last good epoch.")
        calls.on_train_error(located)
        raise located from None
    except BaseException as error:
        calls.on_train_error(error)
        raise
    finally:
        interrupt.restore()
    calls.on_train_end({k: v[-1] for k, v in history.items()})
    return history


class _Interrupt:
    """Ctrl-C waits for the end of the step, so that what is saved is consistent; a second one does not wait."""

    def __init__(self):
        self.pressed, self.old = False, None
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.old = signal.signal(signal.SIGINT, self._press)

    def _press(self, number: int, frame: Any) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True

    def restore(self) -> None:
        if self.old is not None:
            signal.signal(signal.SIGINT, self.old)


def evaluate(session: Session, data: Any) -> dict[str, float]:
    """Loss and metrics over a data set."""
    totals = Totals()
    for item in data.epoch(0):
        session.evaluate(item, totals)
    session.evaluated = totals
    return session.logs(totals)
