"""Checks for commands.

from numbacnn.testing import check_command, run_command
def test_my_command():
    check_command("my-command")
    assert run_command("my-command", "--count", 3).out == "3\\n"
"""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import click

from .. import registry
from ..errors import NumbacnnError

HEAVY = ("numba", "h5py", "rich", "PIL")


@dataclass(frozen=True)
class Done:
    """What a command did: exit status, standard output, and standard error with the error's one line."""

    status: int
    out: str
    err: str


def run_command(name: str, *args: object) -> Done:
    """Run a registered command in this process as `numbacnn NAME …` does: numbacnn's errors become one line and an exit status."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status, said = registry.commands[name].main([str(a) for a in args], prog_name=f"numbacnn {name}", standalone_mode=False) or 0, ""
        except click.ClickException as error:
            status, said = error.exit_code, error.format_message()
        except NumbacnnError as error:
            status, said = error.exit_status, str(error)
    return Done(status, out.getvalue(), err.getvalue() + said)


def check_command(name: str) -> click.Command:
    """The examination of a registered command; raises AssertionError where it fails. Returns it.

    It has a short help and a help, every option has one; --help works; an unknown option is refused; and its module imports quickly: numba and
    the like only when it is used.
    """
    command = registry.commands[name]
    assert (command.help or "").strip(), f"command {name!r} has no help: give its function a docstring"
    commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    silent = [p.opts[-1] for c in commands for p in c.params if isinstance(p, click.Option) and not p.help]
    assert not silent, f"command {name!r}: {', '.join(silent)} have no help"
    done = run_command(name, "--help")
    assert done.status == 0 and "Usage:" in done.out, f"numbacnn {name} --help: exit status {done.status}: {done.out}{done.err}"
    assert run_command(name, "--no-such-option-at-all").status == 2, f"command {name!r} takes any option"
    module = registry.commands.point(name).value.partition(":")[0]
    code = f"import sys; sys.path[:] = {sys.path!r}; import {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout.split()
    heavy = [m for m in HEAVY if m in loaded]
    assert not heavy, f"command {name!r}: importing {module} imports {', '.join(heavy)}: import them inside of the function, so that --help comes at once"
    return command
