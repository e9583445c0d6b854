"""`numbacnn`: lists its commands without importing any, and turns errors into one line and an exit status."""

import os
import sys
import warnings

import click

from numbacnn import registry
from numbacnn.errors import NumbacnnError

# What `numbacnn --help` says of the built-in commands, in this order: their modules are not imported for it.
SHORT_HELP = {
    "fit": "Train an image classifier on a folder of pictures.",
    "predict": "Name what is on pictures.",
    "evaluate": "Measure a model on a folder of pictures.",
    "lr-find": "Find a learning rate for a folder of pictures.",
    "summary": "Show a model's layers, sizes and costs.",
    "warmup": "Compile a model's kernels ahead, so that training starts at once.",
    "layers": "List the layers that are installed.",
    "bench": "Measure how fast a model trains and predicts here.",
    "devices": "List the devices that training can use.",
    "describe": "Show what a model or weight file holds.",
    "plugins": "Write plugins of your own, list those that are installed, examine them.",
    "convert": "Turn model and weight files into other formats.",
}
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


class Commands(click.Group):
    """A group whose commands are entry points, imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        built_in = [name for name in SHORT_HELP if name in registry.commands.points]
        return built_in + sorted(set(registry.commands.points) - set(built_in))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in registry.commands.points:
            return None
        return registry.commands[name]

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in registry.commands.points:
            raise registry.commands.unknown(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._short_help(name)) for name in self.list_commands(ctx)])

    @staticmethod
    def _short_help(name: str) -> str:
        owners = {registry.distribution(p): registry.version(p) for p in registry.commands.points[name]}
        if registry.BUILT_IN in owners and name in SHORT_HELP:
            return SHORT_HELP[name]
        return "From " + " and ".join(f"{owner} {version}" for owner, version in owners.items()) + "."


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110})
@click.version_option(package_name="numbacnn", message="%(prog)s %(version)s")
def numbacnn() -> None:
    """Convolutional networks in Python alone: train on folders of pictures, predict, evaluate."""


def main(args: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 (an image failed), 2 (bad input), 3 (NaN in the loss) or 130 (Ctrl-C)."""
    in_python, warnings.formatwarning = warnings.formatwarning, _one_line
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the model is not compiled")  # commands that train say themselves how
            return numbacnn.main(args, prog_name="numbacnn", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        message = error.format_message()
        stop = "" if message.endswith((".", "?", ")")) else "."
        return _fail(message + (f"{stop} See '{error.ctx.command_path} --help'." if error.ctx else ""), error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except NumbacnnError as error:
        return _fail(str(error), error.exit_status)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `numbacnn predict … | head`: nobody reads any more, and Python must not complain when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # no permission, no space left, …
        named = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return _fail(named, NumbacnnError.exit_status)
    finally:
        warnings.formatwarning = in_python


def _one_line(message: Warning, *_: object) -> str:
    return f"numbacnn: warning: {' '.join(str(message).split())}\n"


def _fail(message: str, status: int) -> int:
    click.echo(click.style("numbacnn: ", fg="red", bold=True) + " ".join(message.split()), err=True)
    return status
