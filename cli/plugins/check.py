"""`numbacnn plugins check`: the examination of all that a distribution or a module brings."""

import json
from typing import Any

import click

PASSED, FAILED = 0, 1
STYLES = {"ok": "green", "failed": "bold red", "slow": "yellow", "skipped": "dim"}


@click.command(short_help="Examine all that a plugin brings.")
@click.argument("target", metavar="DISTRIBUTION_OR_MODULE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--verbose", is_flag=True, help="Also print the traceback of each check that failed.")
@click.option("--only", metavar="CHECK", multiple=True, help="Only this check; may be given several times.")
@click.option("--name", metavar="NAME", multiple=True, help="Only what is registered by this name; may be given several times.")
@click.option("--timeout", type=click.FloatRange(min=1), default=900.0, help="Seconds that one check may take.")
@click.pass_context
def check(ctx: click.Context, target: str, as_json: bool, verbose: bool, only: tuple[str, ...], name: tuple[str, ...], timeout: float) -> int:
    """Examine all that DISTRIBUTION_OR_MODULE brings: an installed distribution, a module that Python can import, or a .py file.

    A layer is checked for its configuration, shapes, gradients in float64, float32 against float64, batches of one and of none, threads,
    memory (guard words around every array, bounds, outputs written completely), float64 in the code of float32 kernels, files, and speed.
    Each runs in a process of its own, so that one that crashes is only a failed check.

    Being slow is a mark for information, and no failure. Exit status: 0 passed, 1 failed, 2 no such distribution or module.
    """
    from numbacnn.errors import UnknownNameError
    from numbacnn.testing.examination import CHECKS, examine

    known = {c.name for checks in CHECKS.values() for c in checks}
    for wanted in only:
        if wanted not in known:
            raise UnknownNameError("check", wanted, sorted(known))
    with _progress(quiet=as_json) as heard:
        reports = examine(target, checks=set(only) or None, names=set(name) or None, timeout=timeout, heard=heard)
    passed = bool(reports) and all(report.passed for report in reports)
    if as_json:
        from importlib.metadata import version

        content = {"target": target, "numbacnn": version("numbacnn"), "passed": passed, "subjects": [r.as_dict(verbose) for r in reports]}
        click.echo(json.dumps(content, indent=2))
    else:
        _print(reports, passed, verbose)
    return PASSED if passed else FAILED


def _progress(quiet: bool) -> Any:
    """A line that says what is being examined, on a terminal; gives heard(subject, check)."""
    from contextlib import contextmanager

    from rich.console import Console

    @contextmanager
    def line() -> Any:
        console = Console(stderr=True)
        if quiet or not console.is_terminal:
            yield lambda subject, check: None
            return
        with console.status("starting …") as status:
            yield lambda subject, check: status.update(f"{subject.kind} {subject.name}: {check} …")

    return line()


def _print(reports: list, passed: bool, verbose: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..tables import wide_console

    console = wide_console()
    for report in reports:
        subject = report.subject
        owner = f" of {subject.distribution} {subject.version}" if subject.distribution else ""
        console.print(Text(f"{subject.kind} {subject.name}{owner}", style="bold"))
        table = Table("check", "mark", "seconds", "")
        table.columns[2].justify = "right"
        table.columns[3].overflow = "fold"
        for mark in report.marks:
            table.add_row(mark.check, Text(mark.mark, style=STYLES[mark.mark]), f"{mark.seconds:.1f}", Text(mark.detail))
        console.print(table)
        for mark in report.marks if verbose else ():
            if mark.trace:
                console.print(Text(f"{mark.check}:\n{mark.trace}"))
    failed = [f"{r.subject.name}: {m.check}" for r in reports for m in r.marks if m.mark == "failed"]
    slow = [f"{r.subject.name}" for r in reports for m in r.marks if m.mark == "slow"]
    if slow:
        console.print(Text(f"slow: {', '.join(slow)}", style=STYLES["slow"]))
    verdict = "passed" if passed else f"failed: {'; '.join(failed) or 'there is nothing to examine'}"
    console.print(Text(verdict, style=STYLES["ok" if passed else "failed"]))
