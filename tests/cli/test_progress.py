import io

import pytest
from numbacnn_cli.progress import Progress
from rich.console import Console

from numbacnn import jit

BATCH = {"train_loss": 0.5, "train_accuracy": 0.75, "images_per_second": 1234.4}
MEASURES = {"train_loss": 0.4, "train_accuracy": 0.8, "valid_loss": 0.6, "valid_accuracy": 0.7}
ROW = {"epoch": 1, **MEASURES, "learning_rate": 0.001, "seconds": 2.04, "images_per_second": 1000.0}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def statistics(monkeypatch):
    monkeypatch.setattr(jit, "statistics", jit.Statistics())
    return jit.statistics


def shown(live: bool, clock: Clock | None = None) -> tuple[Progress, io.StringIO]:
    stream = io.StringIO()
    return Progress(Console(file=stream, width=200, force_terminal=live, highlight=False), live, clock or Clock()), stream


def train(progress: Progress, first: int = 0) -> None:
    progress.set_params({"epochs": 12, "steps": 2, "images": 60})
    with progress:
        for epoch in range(first, 12):
            progress.on_epoch_begin(epoch)
            progress.on_train_batch_end(0, BATCH)
            progress.on_train_batch_end(1, BATCH)
            progress.on_test_begin()
            progress.on_epoch_end(epoch, ROW)
        if progress.bar:
            progress.bar.refresh()


def test_plain_output_is_a_line_an_epoch(statistics):
    progress, stream = shown(live=False)
    train(progress)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 12
    assert lines[0] == "epoch  1/12  loss 0.4000  accuracy 0.8000  valid loss 0.6000  valid accuracy 0.7000  1000 images/s  2.0 s"
    assert "\x1b" not in stream.getvalue()


def test_a_bar_moves_on_a_terminal(statistics):
    progress, stream = shown(live=True)
    train(progress, first=3)
    assert progress.bar.tasks[0].total == 9 * 2
    assert progress.bar.finished
    assert "epoch  4/12  loss" in stream.getvalue()


def test_the_bar_tells_batch_loss_accuracy_and_speed(statistics):
    progress, _ = shown(live=True)
    progress.set_params({"epochs": 12, "steps": 2, "images": 60})
    with progress:
        progress.on_epoch_begin(0)
        progress.on_train_batch_end(0, BATCH)
        task = progress.bar.tasks[0]
        assert task.description == "epoch 1/12"
        assert task.fields["facts"] == "batch 1/2  loss 0.5000  accuracy 0.7500  1234 images/s"


@pytest.mark.parametrize("live", [False, True])
def test_compiling_is_announced_with_progress_and_its_time(statistics, live):
    clock = Clock()
    progress, stream = shown(live, clock)
    progress.set_params({"epochs": 1, "steps": 1})
    with progress:
        progress.on_epoch_begin(0)
        for done in range(4):
            progress.on_compile(done, 4, "relu_f")
            clock.now += 6
            statistics.compiled += 1
            statistics.seconds += 6
        progress.on_train_batch_end(0, BATCH)
        progress.on_epoch_end(0, ROW)
    text = stream.getvalue()
    assert text.count("compiling kernels for this machine") == 1
    assert ("compiling kernels: 3 of 4" in text) == (not live)
    assert text.count("compiled 4 kernels in 24.0 s") == 1


def test_kernels_from_the_cache_are_not_worth_a_word(statistics):
    progress, stream = shown(live=False)
    progress.set_params({"epochs": 1, "steps": 1})
    with progress:
        progress.on_epoch_begin(0)
        progress.on_compile(0, 1, "relu_f")
        statistics.loaded += 1
        progress.on_train_batch_end(0, BATCH)
    assert stream.getvalue() == ""
