"""A RUN folder: model.h5 (best), checkpoint.h5 (last), history.csv and summary.json, always whole, whenever training ends."""

import csv
import importlib.metadata
import io
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

from ..errors import DataError
from ..store import native
from .callbacks import Callback
from .multi_label import label_reports

FILES = ("model.h5", "checkpoint.h5", "history.csv", "summary.json")


class RunFolder(Callback):
    """Callback of `numbacnn fit`. The best epoch is that of the best first metric on validation data, of these the one with the smallest loss.

    path      the folder, made where it is missing
    settings  JSON-able: what a resumed run needs to know; kept in the checkpoint
    facts     more for summary.json (model, size, images_train, images_valid …)
    started   time.perf_counter() when the command began
    """

    last = True

    def __init__(self, path: str | Path, settings: dict, facts: dict | None = None, started: float | None = None):
        self.path, self.settings, self.facts = Path(path), settings, dict(facts or {})
        self.started = time.perf_counter() if started is None else started
        self.rows: list[dict] = []
        self.before = 0.0  # seconds that earlier runs took
        self.best: dict | None = None
        self.labels: list[dict] = []  # of a model with several labels an image: how good each label was in the best epoch
        self.first_step: float | None = None
        self.epoch = 0
        self.position: dict | None = None

    @classmethod
    def resume(cls, path: str | Path, facts: dict | None = None, started: float | None = None) -> "tuple[RunFolder, native.ModelFile]":
        """The callback that goes on with a RUN folder (`epoch`: first epoch to train, `position`: for fit), and its checkpoint's contents."""
        file = Path(path) / "checkpoint.h5"
        if not file.is_file():
            raise DataError(f"{path} holds no checkpoint.h5, so there is nothing to resume: start without --resume")
        checkpoint = native.read(file)
        loop = checkpoint.loop
        if not isinstance(loop, dict) or not {"settings", "rows", "epoch"} <= set(loop):
            raise DataError(f"{file} was not written by numbacnn fit: it does not say where to go on")
        self = cls(path, loop["settings"], facts, started)
        self.rows, self.best, self.before = list(loop["rows"]), loop["best"], float(loop["seconds"])
        self.epoch, self.position, self.labels = int(loop["epoch"]), loop["position"], loop.get("labels", [])
        return self, checkpoint

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.first_step is None:
            self.first_step = time.perf_counter() - self.started

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        row = dict(logs or {})
        self.rows = [r for r in self.rows if r["epoch"] < row["epoch"]] + [row]
        if self.best is None or self._rank(row) > self._rank(self.best):
            self.best = row
            self.labels = [asdict(report) for report in label_reports(self.model)] if "valid_loss" in row else []
            self.model.save(self.path / "model.h5")
        self.write(epoch + 1)

    def on_train_error(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            position = self.model.position
            self.write(position["epoch"], position)
        elif self.rows:
            self.write_summary()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.write_summary()

    def write(self, epoch: int, position: dict | None = None) -> None:
        """checkpoint.h5, history.csv and summary.json as they stand before epoch number `epoch` (0-based)."""
        loop = {"epoch": epoch, "rows": self.rows, "best": self.best, "seconds": self.seconds(), "settings": self.settings, "position": position}
        self.model.save(self.path / "checkpoint.h5", checkpoint=True, loop=loop | {"labels": self.labels})
        text = io.StringIO()
        known = self.columns()
        extra = [c for c in (self.rows[-1] if self.rows else {}) if c not in known]
        writer = csv.DictWriter(text, [*known, *extra], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        _replace(self.path / "history.csv", text.getvalue())
        self.write_summary()

    def columns(self) -> list[str]:
        """Of history.csv; those of validation also where there is none."""
        session = self.model.session
        train, valid = (["loss", *session.measured(training)] for training in (True, False))
        return ["epoch", *(f"train_{n}" for n in train), *(f"valid_{n}" for n in valid), "learning_rate", "seconds", "images_per_second"]

    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.started

    def write_summary(self) -> None:
        best, last, main = self.best or {}, self.rows[-1] if self.rows else {}, self._main()
        summary = {
            **{f"valid_{name}": best.get(f"valid_{name}") for name in (*self.model.session.measured(), "loss")},
            "best_by": main if main in best else "train_loss",
            "best_epoch": best.get("epoch"),
            "last_epoch": last.get("epoch", 0),
            f"last_{main}": last.get(main),
            "classes": list(self.model.classes or ()),
            **({"labels": self.labels} if self.labels else {}),
            "seconds": round(self.seconds(), 3),
            "seconds_to_first_step": None if self.first_step is None else round(self.first_step, 3),
            "device": self.model.network.backend.name,
            **self.facts,
            "versions": {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in ("numbacnn", "numba", "numpy", "h5py")}},
        }
        _replace(self.path / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")

    def _main(self) -> str:
        """The column that tells which epoch is the best."""
        return f"valid_{(*self.model.session.measured(), 'loss')[0]}"

    def _rank(self, row: dict) -> tuple:
        """Better is greater: the first metric on validation data, then its loss; without validation data the training loss."""
        loss, main = row.get("valid_loss", row.get("train_loss", float("inf"))), self._main()
        return (0.0 if main == "valid_loss" else row.get(main, 0.0), -loss)


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
