"""The training loop: epochs of steps, validation after each, a history that is history.csv's rows."""

import itertools
import math
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import ConfigError, NotFiniteError
from . import schedules
from .callbacks import Callbacks, as_list
from .diagnose import WAY_OUT
from .features import Source, Work
from .goals import Totals
from .plateau import ReduceLROnPlateau
from .session import Session


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
    accumulate: int = 1,
    keep_features: bool = True,
) -> dict[str, list]:
    """Train for epochs initial_epoch … epochs - 1 and return the history: {column: [value of each epoch]}.

    position: where an interrupted epoch goes on, as `model.position` was then. Ctrl-C ends training between two steps.
    """
    if epochs < 1 or not 0 <= initial_epoch <= epochs:
        raise ConfigError(f"epochs={epochs}, initial_epoch={initial_epoch}: at least one epoch, and the first not behind the last")
    if not isinstance(accumulate, int) or accumulate < 1:
        raise ConfigError(f"accumulate={accumulate!r} must be how many batches make one update: an integer of at least 1")
    if schedule == "reduce_on_plateau":
        schedule, callbacks = None, [ReduceLROnPlateau(), *as_list(callbacks)]
    schedule = schedules.get(schedule)
    resuming = bool(initial_epoch or position)
    session.begin(seed, resuming)
    steps = len(data)
    calls = Callbacks(callbacks, model, {"epochs": epochs, "steps": steps, "images": getattr(data, "images", 0)})
    history: dict[str, list] = {}
    model.stop_training = False
    calls.on_train_begin({})
    if resuming:
        calls.resume(model.callback_states)
    at: tuple[int, ...] = ()  # the epoch and its batch, from 1 on
    good = model.get_weights(), session.state(), (session.step, session.updates)
    work = Work(session, data, validation, keep_features)
    interrupt = _Interrupt()
    try:
        for epoch in range(initial_epoch, epochs):
            at = (epoch + 1,)
            model.position = {"epoch": epoch, "batch": 0, "totals": None}
            calls.on_epoch_begin(epoch, {})
            start, totals, done = time.perf_counter(), Totals(), 0
            if position and position["epoch"] == epoch and position["batch"]:
                totals, done = Totals.from_json(position["totals"]), position["batch"]
            work.arrange()
            if epoch == initial_epoch and hasattr(data, "prefetch"):
                with data.prefetch(epoch):
                    work.warm(data.batch_shape, accumulate > 1)
            before = totals.samples  # of an interrupted epoch: not this run's work
            for batch, (item, waits) in enumerate(_together(work.train.epoch(epoch), accumulate)):
                progress = (epoch + batch / steps if steps else epoch) / epochs
                session.factor, session.momentum = schedule.factor(progress), schedule.momentum(progress)
                if batch < done:
                    continue
                at = epoch + 1, batch + 1
                calls.on_train_batch_begin(batch, {})
                work.train.train(item, totals, class_weight, waits)
                if batch + 1 == steps:
                    session.settle()
                elapsed = time.perf_counter() - start
                logs = {f"train_{k}": v for k, v in session.logs(totals).items()}
                calls.on_train_batch_end(batch, logs | {"images_per_second": (totals.samples - before) / elapsed})
                if interrupt.pressed and not waits:
                    session.settle()
                    model.position = {"epoch": epoch, "batch": batch + 1, "totals": totals.to_json()}
                    raise KeyboardInterrupt
            session.settle()
            trained = time.perf_counter() - start
            row: dict[str, Any] = {"epoch": epoch + 1}
            row |= {f"train_{k}": v for k, v in session.logs(totals).items()}
            if validation is not None:
                calls.on_test_begin({})
                result = work.evaluate()
                if not math.isfinite(result["loss"]):
                    raise NotFiniteError(
                        f"the validation loss is {result['loss']}, although the training loss was finite: the weights have grown too large. {WAY_OUT}"
                    )
                row |= {f"valid_{k}": v for k, v in result.items()}
                calls.on_test_end(result)
            row["learning_rate"] = session.learning_rate
            row["seconds"] = time.perf_counter() - start
            row["images_per_second"] = (totals.samples - before) / trained
            for column, value in row.items():
                history.setdefault(column, []).append(value)
            good = model.get_weights(), session.state(), (session.step, session.updates)
            model.position = {"epoch": epoch + 1, "batch": 0, "totals": None}
            calls.on_epoch_end(epoch, row)
            if interrupt.pressed:
                raise KeyboardInterrupt
            if model.stop_training:
                break
    except NotFiniteError as error:
        weights, state, (session.step, session.updates) = good
        model.set_weights(weights)
        session.restore(state)
        located = NotFiniteError(f"training stopped {_where(at, error.later)}: {error} The weights are those of the last good epoch.")
        calls.on_train_error(located)
        raise located from None
    except BaseException as error:
        calls.on_train_error(error)
        raise
    finally:
        interrupt.restore()
        session.factor, session.momentum = 1.0, None  # `train_on_batch` knows no schedule
        session.abandon()
    calls.on_train_end({k: v[-1] for k, v in history.items()})
    return history


def _where(at: tuple[int, ...], later: int) -> str:
    """In words; later: so many batches before."""
    if not at:
        return "before the first epoch"
    epoch, *batch = at
    return f"in epoch {epoch}, batch {batch[0] - later}" if batch else f"in epoch {epoch}"


def _together(items: Iterable[Any], accumulate: int) -> Iterator[tuple[Any, bool | None]]:
    """(batch, whether its gradients wait for the next one's; None: batches stand alone), `accumulate` batches to an update.

    The last batch of an epoch never waits.
    """
    if accumulate == 1:
        yield from ((item, None) for item in items)
        return
    items, nothing = iter(items), object()
    item = next(items, nothing)
    for count in itertools.count(1):
        if item is nothing:
            return
        following = next(items, nothing)
        yield item, bool(count % accumulate) and following is not nothing
        item = following


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
    return Source(session, data).evaluate()
