"""What commands do where pictures have several labels, named in a table (--labels)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numbacnn import registry
from numbacnn.errors import ConfigError, NotFiniteError

from .options import NOT_FINITE, plain

if TYPE_CHECKING:
    from numbacnn.train.multi_label import LabelReport

LOSS = "binary_cross_entropy"
METRICS = {"single_label": ("accuracy",), "multi_label": ("average_precision", "f1")}  # the first one tells which epoch is the best


def chosen_loss(settings: dict[str, Any], given: set[str]) -> str:
    """The loss of a new run: with --labels one over independent labels."""
    if settings["labels"] is None:
        return settings["loss"]
    if "loss" not in given:
        return LOSS
    if registry.losses[settings["loss"]]().link != "sigmoid":
        raise ConfigError(f"--loss {settings['loss']} goes with one label a picture, --labels with several: leave out --loss, or give {LOSS}")
    return settings["loss"]


def check_resumed(settings: dict[str, Any], started: dict[str, Any], run: Path) -> None:
    """A run goes on with the kind of data that it was started with; the table may have moved."""
    if settings["labels"] is not None and started.get("labels") is None:
        raise ConfigError(f"--labels {plain(settings['labels'])}: {plain(run)} was started on folders of classes: leave out --labels, or start a new run")


def callbacks(data: Any, valid: Any) -> list[Any]:
    """What comes before the run's own callback."""
    from numbacnn.train.multi_label import ChooseThresholds

    return [ChooseThresholds()] if data.task == "multi_label" and valid is not None else []


def check_evaluation(model: Any, labels: Path | None, where: Path) -> None:
    """--labels goes with models for several labels a picture, and they need it."""
    several = model.task == "multi_label"
    if several and labels is None:
        raise ConfigError(f"{plain(where)} gives pictures several labels: say with --labels TABLE.csv which ones are right")
    if not several and labels is not None:
        raise ConfigError(f"--labels {plain(labels)}: {plain(where)} gives each picture one label; evaluate it on folders of classes, without --labels")


@dataclass(frozen=True)
class Report:
    """How good a model is on pictures whose labels are known. f1 and average_precision: means over the labels, at the model's thresholds."""

    images: int
    f1: float
    average_precision: float
    loss: float
    labels: "list[LabelReport]"

    @classmethod
    def of(cls, model: Any, data: Any) -> "Report":
        """From a data set. Raises NotFiniteError where the model answers NaN."""
        import numpy as np

        from numbacnn.train.multi_label import measure, report

        true, scores, loss = measure(model, data)
        if not np.isfinite(scores).all():
            raise NotFiniteError(NOT_FINITE)
        labels = report(model.labels, true, scores, model.thresholds)
        f1, area = (float(np.mean([getattr(label, name) for label in labels])) for name in ("f1", "average_precision"))
        return cls(len(true), f1, area, loss, labels)

    def print(self) -> None:
        """A line about all, and a table with a line for each label."""
        from rich.table import Table
        from rich.text import Text

        from .tables import wide_console

        console = wide_console()
        means = f"F1 {self.f1:.4f}, average precision {self.average_precision:.4f}, loss {self.loss:.4f}"
        console.print(f"{self.images} picture{'s' * (self.images != 1)}: {means}")
        table = Table("label")
        for name in ("threshold", "precision", "recall", "F1", "average precision", "count"):
            table.add_column(name, justify="right")
        for row in self.labels:
            numbers = (row.threshold, row.precision, row.recall, row.f1, row.average_precision)
            table.add_row(Text(plain(row.label)), *(f"{number:.3f}" for number in numbers), str(row.count))
        console.print(table)
