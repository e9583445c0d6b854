"""`numbacnn layers`: the layers that are installed, whoever they come from."""

import sys
from dataclasses import dataclass

import click

from numbacnn import registry
from numbacnn.errors import PluginError


@click.command(short_help="List the layers that are installed.")
def layers() -> None:
    """List all layers that are installed: name, the distribution it comes from, its version, where it runs, and its state.

    A layer that cannot be imported is listed with the reason.
    """
    from rich.table import Table
    from rich.text import Text

    from .tables import wide_console

    table = Table("layer", "distribution", "version", "CPU", "CUDA", "state")
    table.columns[5].overflow = "fold"
    for row in rows():
        marks = ("yes" if row.cpu else "–", "yes" if row.cuda else "–")
        table.add_row(row.name, Text(row.distribution), Text(row.version), *marks, Text(row.state, style="red" if row.broken else ""))
    wide_console().print(table)


@dataclass(frozen=True)
class Row:
    """One layer; state: "ok", "as X" for a second name of X, or why it cannot be imported."""

    name: str
    distribution: str
    version: str
    cpu: bool
    cuda: bool
    state: str
    broken: bool = False


def rows() -> list[Row]:
    """A row for each registered name."""
    found = []
    for name in registry.layers:
        points = registry.layers.points[name]
        owner = " / ".join(registry.distribution(p) for p in points)
        version = " / ".join(registry.version(p) for p in points)
        try:
            cls = registry.layers[name]
        except PluginError as error:
            found.append(Row(name, owner, version, False, False, str(error.__cause__ or error), broken=True))
            continue
        point = registry.layers.point(name)
        state = "ok" if cls.__name__ == name else f"as {cls.__name__}"
        found.append(Row(name, registry.distribution(point), registry.version(point), True, _has_twins(cls), state))
    return found


def _has_twins(cls: type) -> bool:
    """Whether the kernels in the layer's file all have a CUDA twin (and there are any)."""
    from numbacnn.jit import Kernel

    kernels = [value for value in vars(sys.modules[cls.__module__]).values() if isinstance(value, Kernel)]
    return bool(kernels) and all(k.twin for k in kernels)
