"""RUN, the folder that `numbacnn fit` writes to: found, checked, and never taken from somebody else."""

import contextlib
from pathlib import Path

from numbacnn.errors import ConfigError

CHECKPOINT = "checkpoint.h5"
OURS = ("model.h5", CHECKPOINT, "history.csv", "summary.json")
RUNS = Path("runs")


def next_run(folder: Path) -> Path:
    """runs/<folder>-<n> with the first n that is free."""
    n = 1
    while (run := RUNS / f"{_name(folder)}-{n}").exists():
        n += 1
    return run


def last_run(folder: Path) -> Path:
    """The runs/<folder>-<n> with the highest n that has a checkpoint."""
    prefix = f"{_name(folder)}-"
    numbers = [p.name.removeprefix(prefix) for p in RUNS.glob("*") if p.name.startswith(prefix) and (p / CHECKPOINT).is_file()]
    found = sorted(int(n) for n in numbers if n.isdecimal())
    if not found:
        raise ConfigError(f"--resume: no {RUNS / prefix}<n> has a checkpoint; say with --out which run to go on with, or leave out --resume")
    return RUNS / f"{prefix}{found[-1]}"


def check_free(run: Path, folder: Path, force: bool) -> None:
    """Raise ConfigError where a new run must not be written to `run`."""
    inside = run.resolve().is_relative_to(folder.resolve())
    if inside:
        raise ConfigError(f"output folder {run} lies in {folder}, where it would be taken for a class: choose another place with --out")
    if run.exists() and not run.is_dir():
        raise ConfigError(f"--out {run} is a file: choose a folder")
    held = sorted(p.name for p in run.iterdir()) if run.is_dir() else []
    if held and not force:
        way_out = "go on with it with --resume, replace it with --force" if CHECKPOINT in held else "replace the files of an earlier run in it with --force"
        raise ConfigError(f"output folder {run} is in use ({held[0]}{', …' * (len(held) > 1)}): choose another --out, or {way_out}")


def check_resumable(run: Path) -> None:
    """Raise ConfigError where there is nothing to go on with."""
    if not (run / CHECKPOINT).is_file():
        raise ConfigError(f"--resume: {run} has no {CHECKPOINT}, so there is nothing to go on with; leave out --resume to start a new run")


def create(run: Path, folder: Path, numbered: bool) -> Path:
    """Make the folder of a new run.

    numbered: `run` came from `next_run`; if another process took it meanwhile, the next one is ours.
    """
    while True:
        try:
            run.mkdir(parents=True, exist_ok=not numbered)
            break
        except FileExistsError:
            run = next_run(folder)
    return run


class Replacement:
    """A callback before RunFolder's: what an earlier run left in `run` goes when the new one has something to put in its place, and not before.

    Our files go, and no others.
    """

    def __init__(self, run: Path):
        self.run, self.done = run, False

    def set_model(self, model: object) -> None: ...

    def set_params(self, params: dict) -> None: ...

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.clear()

    def on_train_error(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):  # then there is a checkpoint
            self.clear()

    def clear(self) -> None:
        if not self.done:
            self.done = True
            for name in OURS:
                (self.run / name).unlink(missing_ok=True)


def discard_empty(run: Path) -> None:
    """Remove the folder of a run that ended before anything was written."""
    with contextlib.suppress(OSError):  # it holds something
        run.rmdir()


def _name(folder: Path) -> str:
    return folder.resolve().name or "run"
