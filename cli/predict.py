"""`numbacnn predict`: what is on pictures, as a table or as a line of JSON each."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from numbacnn import registry
from numbacnn.errors import ConfigError, DataError

from .options import NOT_FINITE, FileOrModel, plain

if TYPE_CHECKING:
    from numbacnn.model import Model

BATCH = 32


@click.command(short_help="Name what is on pictures.")
@click.argument("model", type=FileOrModel(), metavar="MODEL")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=3, metavar="K", help="How many labels are given for each picture, the most probable first.")
@click.option("--json", "as_json", is_flag=True, help='A line for each picture: {"path", "label", "probability", "top"}, or {"path", "error"}.')
@click.pass_context
def predict(ctx: click.Context, model: str | Path, paths: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Name what is on pictures with MODEL: a model file, the RUN folder of numbacnn fit, or the name of a model that has published
    weights, such as efficientnet_lite0, which knows the 1,000 classes of ImageNet without any training.

    PATH is a picture, or a folder, in which pictures are searched at any depth. The exit status is 1 if a picture could not be
    read; all others are done nevertheless.
    """
    import numbacnn as nn

    loaded = nn.load(model) if isinstance(model, Path) else _pretrained(model)
    top = min(top, len(loaded.classes)) if loaded.classes else top
    results = classified(loaded, paths, top)
    failed = _print_lines(results) if as_json else _print_table(results)
    ctx.exit(1 if failed else 0)


def _pretrained(name: str) -> "Model":
    """A registered model with its published weights."""
    from numbacnn.models.architecture import as_architecture
    from numbacnn.zoo import pretrained, with_weights

    if "imagenet" not in as_architecture(registry.models[name]).weights:
        train = f"numbacnn fit FOLDER --model {name} --out RUN, then numbacnn predict RUN"
        raise ConfigError(f"there are no published weights for {name}, so it must be trained first: {train}; there are for {', '.join(with_weights())}")
    return pretrained(name)


def classified(model: "Model", paths: tuple[Path, ...], top: int) -> Iterator[tuple[Path, Any]]:
    """(path, Prediction) of every picture in order, (path, DataError) where it cannot be read."""
    waiting: list[Path] = []
    for path in paths:
        found, empty = _search(path)
        waiting.extend(found)
        while len(waiting) >= BATCH or (waiting and empty):
            yield from _batch(model, waiting[:BATCH], top)
            del waiting[:BATCH]
        if empty:
            yield path, empty
    while waiting:
        yield from _batch(model, waiting[:BATCH], top)
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


def _batch(model: "Model", paths: list[Path], top: int) -> Iterator[tuple[Path, Any]]:
    try:
        for path, found in zip(paths, model.classify(paths, top=top), strict=True):
            yield path, found if math.isfinite(found.probability) else DataError(NOT_FINITE)
    except DataError as error:
        if len(paths) == 1:
            yield paths[0], error
            return
        for path in paths:  # one of them is bad: the others must not suffer for it
            yield from _batch(model, [path], top)


def _reason(error: DataError) -> str:
    return getattr(error, "reason", None) or str(error)


def _print_lines(results: Iterator[tuple[Path, Any]]) -> int:
    failed = 0
    for path, result in results:
        if isinstance(result, DataError):
            failed += 1
            line: dict[str, Any] = {"path": plain(path), "error": _reason(result)}
        else:
            top = [{"label": label, "probability": probability} for label, probability in result.top]
            line = {"path": plain(path), "label": result.label, "probability": result.probability, "top": top}
        click.echo(json.dumps(line))
    return failed


def _print_table(results: Iterator[tuple[Path, Any]]) -> int:
    from rich.table import Table
    from rich.text import Text

    from .tables import wide_console

    errors = []
    table = Table("picture", "label", "probability", "then")
    table.columns[0].overflow = table.columns[3].overflow = "fold"
    table.columns[2].justify = "right"
    for path, result in results:
        if isinstance(result, DataError):
            errors.append((path, _reason(result)))
            continue
        then = ", ".join(f"{label} {probability:.3f}" for label, probability in result.top[1:])
        table.add_row(Text(plain(path)), Text(result.label), f"{result.probability:.3f}", Text(then))
    if table.row_count:
        wide_console().print(table)
    for path, reason in errors:
        click.echo(f"numbacnn: {plain(path)}: {reason}", err=True)
    return len(errors)
