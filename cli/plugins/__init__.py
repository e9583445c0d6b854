"""`numbacnn plugins`: write plugins, list those that are installed, examine them. One file a subcommand, imported when it is used."""

import importlib

import click

from numbacnn.errors import UnknownNameError

SUBCOMMANDS = {  # name: (file, function, short help)
    "new": ("new", "new_plugin", "Write a plugin of your own, which passes its tests at once."),
    "list": ("listing", "list_plugins", "List the plugins that are installed, and whether they work."),
    "check": ("check", "check", "Examine all that a plugin brings."),
}


class Subcommands(click.Group):
    """A group whose subcommands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return None
        file, function, _ = SUBCOMMANDS[name]
        return getattr(importlib.import_module(f"{__name__}.{file}"), function)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in SUBCOMMANDS:
            raise UnknownNameError("command", f"plugins {args[0]}", [f"plugins {name}" for name in SUBCOMMANDS])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in SUBCOMMANDS.items()])


@click.group(cls=Subcommands, short_help="Write plugins of your own, list those that are installed, examine them.")
def plugins() -> None:
    """Layers, losses, optimizers, metrics, models, augmentations and commands that other distributions bring, or that you write."""
