"""What `numbacnn fit` shows while it trains: a line an epoch, and on a terminal a bar that moves below them."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from rich import progress as bars

from numbacnn import jit

if TYPE_CHECKING:
    from rich.console import Console

NEWS_EVERY = 10.0  # seconds between two lines that say how far compiling has come, where no bar can show it


class Progress:
    """A callback for fit, and a context that takes the bar away however training ends.

    live: show a bar (for terminals); without it only whole lines are printed.
    """

    def __init__(self, console: "Console", live: bool, clock: Callable[[], float] = time.perf_counter):
        self.console, self.clock = console, clock
        self.bar: bars.Progress | None = _bar(console) if live else None
        self.task: Any = None
        self.model: Any = None
        self.params: dict[str, Any] = {}
        self.first: int | None = None  # epoch that this run begins with
        self.epoch = 0
        self.compiled, self.seconds = jit.statistics.compiled, jit.statistics.seconds  # of these we have spoken
        self.announced: float | None = None  # when we last said that kernels are being compiled

    def __enter__(self) -> Self:
        if self.bar:
            self.task = self.bar.add_task("starting", total=None, facts="")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    # ---- compiling

    def on_compile(self, done: int, total: int, kernel: str) -> None:
        """Called before each of a plan's `total` kernels is compiled or loaded."""
        if jit.statistics.compiled == self.compiled:
            return  # so far all came from the cache
        now = self.clock()
        if self.announced is None:
            self.console.print(f"compiling kernels for this machine: only now, they are kept in {jit.cache_folder()}", style="dim", soft_wrap=True)
        elif not self.bar and now - self.announced >= NEWS_EVERY and done < total:
            self.console.print(f"compiling kernels: {done} of {total}", style="dim")
        if self.announced is None or now - self.announced >= NEWS_EVERY:
            self.announced = now
        self._show("compiling", f"kernel {done} of {total} {kernel}")

    def _report_compiling(self) -> None:
        count, seconds = jit.statistics.compiled - self.compiled, jit.statistics.seconds - self.seconds
        if count:
            self.console.print(f"compiled {count} kernel{'s' * (count > 1)} in {seconds:.1f} s", style="dim")
        self.compiled, self.seconds = jit.statistics.compiled, jit.statistics.seconds

    # ---- Keras' hooks

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.first = epoch if self.first is None else self.first
        self.epoch = epoch
        if self.bar and self.bar.tasks[0].total is None and self.params.get("steps"):
            self.bar.reset(self.task, total=(self.params["epochs"] - epoch) * self.params["steps"], description="starting")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.epoch == self.first:
            self._report_compiling()
        if self.bar:
            logs = logs or {}
            facts = [f"batch {batch + 1}/{self.params.get('steps') or '?'}", *_measures(logs, "train_", "")]
            if "images_per_second" in logs:
                facts.append(f"{logs['images_per_second']:.0f} images/s")
            done = (self.epoch - self.first) * self.params.get("steps", 0) + batch + 1  # the epoch may have begun in an earlier run
            self.bar.update(self.task, completed=done)
            self._show(f"epoch {self.epoch + 1}/{self.params['epochs']}", "  ".join(facts))

    def on_test_begin(self, logs: dict | None = None) -> None:
        if self.bar:
            self._show(f"epoch {self.epoch + 1}/{self.params['epochs']}", "validating")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._report_compiling()
        logs, last = logs or {}, self.params["epochs"]
        facts = [f"epoch {epoch + 1:{len(str(last))}}/{last}", *_measures(logs, "train_", ""), *_measures(logs, "valid_", "valid ")]
        if "images_per_second" in logs:
            facts.append(f"{logs['images_per_second']:.0f} images/s")
        if "seconds" in logs:
            facts.append(f"{logs['seconds']:.1f} s")
        self.console.print("  ".join(facts), soft_wrap=True, highlight=False)

    def _show(self, description: str, facts: str) -> None:
        if self.bar:
            self.bar.update(self.task, description=description, facts=facts)


def _measures(logs: dict, prefix: str, shown: str) -> list[str]:
    """["loss 0.1234", "accuracy 0.9876"] of those logs whose names begin with prefix."""
    return [f"{shown}{name.removeprefix(prefix)} {value:.4f}" for name, value in logs.items() if name.startswith(prefix)]


def _bar(console: "Console") -> bars.Progress:
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=24),
        bars.TextColumn("{task.fields[facts]}"),
        bars.TimeRemainingColumn(compact=True),
        bars.TextColumn("left"),
    )
    return bars.Progress(*columns, console=console, transient=True)
