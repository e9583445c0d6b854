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
    found = rows()
    for row in found:
        marks = ("yes" if row.cpu else "–", "yes" if row.cuda else "–")
        bold = "" if row.distribution == registry.BUILT_IN else "bold"
        table.add_row(
            Text(row.name, style=bold), Text(row.distribution, style=bold), Text(row.version), *marks, Text(row.state, style="red" if row.broken else "")
        )
    console = wide_console()
    console.print(table)
    of_plugins: dict[str, list[str]] = {}
    for row in found:
        if row.distribution != registry.BUILT_IN and not row.broken:
            of_plugins.setdefault(f"{row.distribution} {row.version}", []).append(row.name)
    for owner, names in of_plugins.items():
        console.print(Text(f"from the plugin {owner}: {', '.join(names)}"))


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
        found.append(Row(name, registry.distribution(point), registry.version(point), True, runs_on_gpu(cls), state))
    return found


def runs_on_gpu(cls: type) -> bool:
    """Whether all kernels in the class' file run on a GPU: by a CUDA twin, or by their own source."""
    from numbacnn.jit import Kernel

    return not any(isinstance(value, Kernel) and value.no_gpu for value in vars(sys.modules[cls.__module__]).values())
