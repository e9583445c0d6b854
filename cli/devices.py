"""`numbacnn devices`: where it can run, and why not elsewhere."""

import json
from dataclasses import asdict

import click


@click.command(short_help="List the devices that training can use.")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of {name, what, reason}.")
def devices(as_json: bool) -> None:
    """List the CPU and the GPUs that were found, with the reason where one cannot be used.

    `--device auto` takes the first GPU that can be used, else the CPU.
    """
    from rich.table import Table
    from rich.text import Text

    from numbacnn.backends.survey import devices as find

    from .tables import wide_console

    found = find()
    if as_json:
        click.echo(json.dumps([asdict(d) for d in found], indent=1))
        return
    table = Table("device", "what", "can be used")
    table.columns[2].overflow = "fold"
    for device in found:
        table.add_row(device.name, device.what, Text("yes") if device.reason is None else Text(device.reason, style="red"))
    wide_console().print(table)
