"""`numbacnn plugins list`: what other distributions bring, and whether it works."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint

import click

from numbacnn import points, registry
from numbacnn.errors import PluginError

RUN_KERNELS = ("layer", "loss", "optimizer")


@dataclass(frozen=True)
class Row:
    """One entry point. cpu, cuda: whether it runs there (None for kinds without kernels); state: "ok", or why it cannot be used."""

    kind: str
    name: str
    distribution: str
    version: str
    cpu: bool | None
    cuda: bool | None
    state: str


@click.command("list", short_help="List the plugins that are installed, and whether they work.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
@click.option("--all", "everything", is_flag=True, help="Also what numbacnn itself brings.")
def list_plugins(as_json: bool, everything: bool) -> None:
    """List what plugins bring: kind, name, distribution, version, where it runs, and its state, ok or the reason why it cannot be used."""
    found = list(rows(everything))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in found]))
        return
    from rich.table import Table
    from rich.text import Text

    from ..tables import wide_console

    console = wide_console()
    if not found:
        console.print("No plugins are installed. `numbacnn plugins new NAME` starts one.")
        return
    table = Table("kind", "name", "distribution", "version", "CPU", "CUDA", "state")
    table.columns[6].overflow = "fold"
    for row in found:
        marks = ("" if mark is None else "yes" if mark else "–" for mark in (row.cpu, row.cuda))
        table.add_row(row.kind, *map(Text, (row.name, row.distribution, row.version)), *marks, Text(row.state, style="" if row.state == "ok" else "red"))
    console.print(table)


def rows(everything: bool = False) -> Iterator[Row]:
    """A row for each entry point of a plugin, or of everybody; then one for each distribution whose entry points cannot be read."""
    from ..layers import runs_on_gpu

    for group in registry.ALL:
        for point in group.every:
            if everything or not points.is_built_in(point):
                state = _state(group, point)
                runs = group.kind in RUN_KERNELS
                cuda = state == "ok" and runs_on_gpu(group.load(point)) if runs else None
                yield Row(group.kind, point.name, points.distribution(point), points.version(point), state == "ok" if runs else None, cuda, state)
    for name, version, reason in points.damaged():
        yield Row("?", "?", name, version, None, None, reason)


def _state(group: registry.Registry, point: EntryPoint) -> str:
    if points.is_off(point):
        return f"turned off by {points.SWITCH}"
    try:
        group.load(point)
        winner = group.point(point.name)
    except PluginError as error:
        return str(error)
    if winner != point:
        return f"not used: numbacnn has {group.kind} {winner.name} of its own; the entry point needs another name"
    return "ok"
