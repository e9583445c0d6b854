"""`numbacnn predict`: what is on pictures, as a table or as a line of JSON each."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from numbacnn import registry
from numbacnn.errors import ConfigError, DataError

from .options import NOT_FINITE, FileOrModel, Number, plain

if TYPE_CHECKING:
    from numbacnn.model import Model

BATCH = 32


@click.command(short_help="Name what is on pictures.")
@click.argument("model", type=FileOrModel(), metavar="MODEL")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=3, metavar="K", help="How many labels are given for each picture, the most probable first.")
@click.option("--threshold", type=Number(0, 1, inclusive=True), metavar="P", help="For several labels a picture: give those that are more probable than P.")
@click.option("--json", "as_json", is_flag=True, help='A line for each picture: {"path", "label", "probability", "top"}, or {"path", "error"}.')
@click.pass_context
def predict(ctx: click.Context, model: str | Path, paths: tuple[Path, ...], top: int, threshold: float | None, as_json: bool) -> None:
    """Name what is on pictures with MODEL: a model file, the RUN folder of numbacnn fit, or the name of a model that has published
    weights, such as efficientnet_lite0, which knows the 1,000 classes of ImageNet without any training.

    A model that was trained with --labels gives each picture all labels above their thresholds, which its file holds, perhaps none
    (as JSON: {"path", "labels": [{"label", "probability"}]}); --top, where it is given, is the most of them.

    PATH is a picture, or a folder, in which pictures are searched at any depth. The exit status is 1 if a picture could not be
    read; all others are done nevertheless.
    """
    import numbacnn as nn

    loaded = nn.load(model) if isinstance(model, Path) else _pretrained(model)
    several = loaded.task == "multi_label"
    if threshold is not None and not several:
        raise ConfigError(f"--threshold {threshold:g}: {plain(model)} gives each picture one label, the most probable; leave out --threshold")
    if several:
        most = None if ctx.get_parameter_source("top") is ParameterSource.DEFAULT else top
        results = _limited(classified(loaded, paths, len(loaded.labels), threshold), most)
    else:
        results = classified(loaded, paths, min(top, len(loaded.classes)) if loaded.classes else top)
    failed = _print_lines(results) if as_json else _print_table(results, several)
    ctx.exit(1 if failed else 0)


def _pretrained(name: str) -> "Model":
    """A registered model with its published weights."""
    from numbacnn.models.architecture import as_architecture
    from numbacnn.zoo import pretrained, with_weights

    if "imagenet" not in as_architecture(registry.models[name]).weights:
        train = f"numbacnn fit FOLDER --model {name} --out RUN, then numbacnn predict RUN"
        raise ConfigError(f"there are no published weights for {name}, so it must be trained first: {train}; there are for {', '.join(with_weights())}")
    return pretrained(name)


def _limited(results: Iterator[tuple[Path, Any]], most: int | None) -> Iterator[tuple[Path, Any]]:
    """At most so many labels a picture."""
    for path, result in results:
        yield path, result if isinstance(result, DataError) else replace(result, labels=result.labels[:most])


def classified(model: "Model", paths: tuple[Path, ...], top: int, threshold: float | None = None) -> Iterator[tuple[Path, Any]]:
    """(path, Prediction) of every picture in order, (path, DataError) where it cannot be read."""
    waiting: list[Path] = []
    for path in paths:
        found, empty = _search(path)
        waiting.extend(found)
        while len(waiting) >= BATCH or (waiting and empty):
            yield from _batch(model, waiting[:BATCH], top, threshold)
            del waiting[:BATCH]
        if empty:
            yield path, empty
    while waiting:
        yield from _batch(model, waiting[:BATCH], top, threshold)
        del waiting[:BATCH]


def _search(path: Path) -> tuple[list[Path], DataError | None]:
    from numbacnn.data.folder import find_images

    if not path.is_dir():
        return [path], None
    try:
        found = find_images(path)
    except DataError as error:
        return [], error
    return found, None if found else DataError("the folder holds no image")


def _batch(model: "Model", paths: list[Path], top: int, threshold: float | None) -> Iterator[tuple[Path, Any]]:
    try:
        for path, found in zip(paths, model.classify(paths, top=top, threshold=threshold), strict=True):
            yield path, found if all(math.isfinite(p) for _, p in found.top) else DataError(NOT_FINITE)
    except DataError as error:
        if len(paths) == 1:
            yield paths[0], error
            return
        for path in paths:  # one of them is bad: the others must not suffer for it
            yield from _batch(model, [path], top, threshold)


def _reason(error: DataError) -> str:
    return getattr(error, "reason", None) or str(error)


def _print_lines(results: Iterator[tuple[Path, Any]]) -> int:
    failed = 0
    for path, result in results:
        if isinstance(result, DataError):
            failed += 1
            line: dict[str, Any] = {"path": plain(path), "error": _reason(result)}
        elif result.labels is not None:
            line = {"path": plain(path), "labels": _pairs(result.labels)}
        else:
            line = {"path": plain(path), "label": result.label, "probability": result.probability, "top": _pairs(result.top)}
        click.echo(json.dumps(line))
    return failed


def _pairs(labels: tuple[tuple[str, float], ...]) -> list[dict[str, Any]]:
    return [{"label": label, "probability": probability} for label, probability in labels]


def _print_table(results: Iterator[tuple[Path, Any]], several: bool) -> int:
    from rich.table import Table
    from rich.text import Text

    from .tables import wide_console

    errors = []
    table = Table("picture", "labels") if several else Table("picture", "label", "probability", "then")
    table.columns[0].overflow = table.columns[-1].overflow = "fold"
    if not several:
        table.columns[2].justify = "right"
    for path, result in results:
        if isinstance(result, DataError):
            errors.append((path, _reason(result)))
            continue
        named = ", ".join(f"{label} {probability:.3f}" for label, probability in (result.labels if several else result.top[1:]))
        one = () if several else (Text(result.label), f"{result.probability:.3f}")
        table.add_row(Text(plain(path)), *one, Text(named or "none" * several))
    if table.row_count:
        wide_console().print(table)
    for path, reason in errors:
        click.echo(f"numbacnn: {plain(path)}: {reason}", err=True)
    return len(errors)
