"""`numbacnn evaluate`: how good a model is on pictures whose classes are known."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from numbacnn.errors import ConfigError, NotFiniteError

from . import multi_label
from .options import NOT_FINITE, plain

if TYPE_CHECKING:
    import numpy as np


@click.command(short_help="Measure a model on a folder of pictures.")
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--labels", type=click.Path(path_type=Path), metavar="TABLE.csv", help="Right labels, for a model that was trained with --labels.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def evaluate(model: Path, folder: Path, labels: Path | None, as_json: bool) -> None:
    """Measure MODEL, a model file or RUN folder, on FOLDER: its test/ if it has one, else its valid/, else its class folders.

    Prints loss and accuracy, precision, recall, F1 and count of each class, and the confusion matrix.

    With --labels: on the pictures that the table (a CSV file here or in FOLDER) holds out with is_valid, else on all that it names.
    Prints loss, macro F1 and average precision, and each label's precision, recall and F1 above its threshold, average precision and count.
    """
    import numbacnn as nn
    from numbacnn.data.batches import evaluation_folder

    loaded = nn.load(model)
    if loaded.classes is None or loaded.preprocess is None:
        raise ConfigError(f"{plain(model)} carries no classes or no preprocessing: evaluate needs a model that was trained on a folder of pictures")
    multi_label.check_evaluation(loaded, labels, model)
    data = evaluation_folder(folder, loaded.classes, loaded.preprocess, labels=labels)
    if labels is None:
        loss, confusion = measure(loaded, data)
        report: Any = Report.of(loaded.classes, confusion, loss)
    else:
        report = multi_label.Report.of(loaded, data)
    skipped = [{"path": plain(path), "error": reason} for path, reason in data.skipped]
    if as_json:
        click.echo(json.dumps(asdict(report) | {"skipped": skipped}))
        return
    if labels is None:
        _print(report)
    else:
        report.print()
    for item in skipped:
        click.echo(f"numbacnn: skipped {item['path']}: {item['error']}", err=True)


@dataclass(frozen=True)
class ClassReport:
    """precision and recall are 0 where nothing was predicted, where there is nothing to find."""

    label: str
    precision: float
    recall: float
    f1: float
    count: int


@dataclass(frozen=True)
class Report:
    """confusion[i][j]: pictures of class i that were taken for class j."""

    images: int
    accuracy: float
    loss: float
    classes: list[ClassReport]
    confusion: list[list[int]]

    @classmethod
    def of(cls, labels: "tuple[str, ...]", confusion: "np.ndarray", loss: float) -> "Report":
        """Everything that follows from the confusion matrix."""
        rows = []
        for i, label in enumerate(labels):
            hit, named, there = int(confusion[i, i]), int(confusion[:, i].sum()), int(confusion[i].sum())
            rows.append(ClassReport(label, hit / max(named, 1), hit / max(there, 1), 2 * hit / max(named + there, 1), there))
        images = int(confusion.sum())
        return cls(images, int(confusion.trace()) / max(images, 1), loss, rows, confusion.tolist())


def measure(model: Any, data: Any) -> "tuple[float, np.ndarray]":
    """(mean loss, confusion matrix) over a data set. Raises NotFiniteError where the model answers NaN."""
    import numpy as np

    from numbacnn.train.goals import Totals

    count, totals = len(model.classes), Totals()
    confusion = np.zeros((count, count), np.int64)
    for x, y in data.epoch(0):
        scores = model.probabilities(model.session.evaluate((x, y), totals)().outputs[0])
        if not np.isfinite(scores).all():
            raise NotFiniteError(NOT_FINITE)
        guesses = scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int)
        np.add.at(confusion, (y, guesses), 1)
    return float(model.session.logs(totals)["loss"]), confusion


def _print(report: Report) -> None:
    from rich.table import Table
    from rich.text import Text

    from .tables import wide_console

    console = wide_console()
    console.print(f"{report.images} picture{'s' * (report.images != 1)}: accuracy {report.accuracy:.4f}, loss {report.loss:.4f}")
    table = Table("class")
    for name in ("precision", "recall", "F1", "count"):
        table.add_column(name, justify="right")
    for row in report.classes:
        table.add_row(Text(plain(row.label)), f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", str(row.count))
    console.print(table)
    labels = [Text(plain(c.label)) for c in report.classes]
    matrix = Table("is \\ taken for")
    for label in labels:
        matrix.add_column(label, justify="right")
    for i, (label, row) in enumerate(zip(labels, report.confusion, strict=True)):
        matrix.add_row(label, *(Text(str(n), style="bold" if i == j else "" if n else "dim") for j, n in enumerate(row)))
    console.print(matrix)
