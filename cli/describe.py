"""`numbacnn describe`: what a file holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import plain

if TYPE_CHECKING:
    from numbacnn.store.describe import Description


@click.command(short_help="Show what a model or weight file holds.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def describe(file: Path, as_json: bool) -> None:
    """Show the format of FILE and its layers with the names, shapes and types of their weights.

    FILE is one of numbacnn, of Keras (.h5, .weights.h5, .keras) or of PyTorch (.pth): its content decides, not its name. No model is made of
    it, so that files with unknown layers can be looked at as well.
    """
    import numbacnn as nn

    found = nn.describe(file)
    if as_json:
        click.echo(json.dumps(found.to_json()))
        return
    _print(found)


def _print(found: "Description") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from .tables import wide_console

    console = wide_console()
    written = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    title = f"{plain(found.path)}: {found.title}" + (f", written by {written}" if written else "")
    console.print(Text(title))
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    if found.whole:
        table.add_column("class")
    table.add_column("weights", overflow="fold")
    table.add_column("parameters", justify="right")
    for layer in found.layers:
        weights = ", ".join(f"{w.name} {_shape(w.shape)}" + ("" if w.dtype == "float32" else f" {w.dtype}") for w in layer.weights)
        row = [layer.name, *([layer.class_name or ""] if found.whole else []), weights, f"{layer.parameters:,}" if layer.weights else ""]
        table.add_row(*map(Text, row))
    console.print(table)
    content = "a whole model" if found.whole else "weights alone"
    console.print(f"{content}; {len(found.layers)} layers, {found.parameters:,} parameters, {found.bytes / 2**20:.1f} MiB")


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"
