"""What a benchmark prints and leaves behind: a table, and a JSON file with the date, the machine and every figure."""

import argparse
import datetime
import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .contestant import HERE, Contestant

console = Console(width=None if Console().is_terminal else 160, highlight=False)


def options(name: str, text: str, rounds: int) -> argparse.Namespace:
    """The command line that the benchmarks share."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="beginnings of words in the names of what is to be measured (default: everything)")
    parser.add_argument("--quick", action="store_true", help="two rounds, and only what is short")
    parser.add_argument("--rounds", type=int, help=f"turns of every contestant (default: {rounds}, with --quick 2)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every contestant (default: 2)")
    parser.add_argument("--json", type=Path, help="where the figures go (default: benchmarks/results/NAME.json; with --quick or names: build/NAME.json)")
    given = parser.parse_args()
    given.rounds = given.rounds or (2 if given.quick else rounds)
    part = given.quick or given.only
    given.json = given.json or (HERE.parent / "build" if part else HERE / "results") / f"{name}.json"
    return given


def chosen(given: argparse.Namespace, name: str) -> bool:
    """Whether the command line asks for what has this name: each part begins at one of its words."""
    return not given.only or any(f" {part}" in f" {name}" for part in given.only)


def cpu() -> str:
    """The CPU's name, with its family and model, which clouds do not hide, and its widest vectors."""
    try:
        lines = dict(tuple(map(str.strip, line.split(":", 1))) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    except OSError:
        return platform.processor() or platform.machine()
    flags = lines.get("flags", "").split()
    widest = next((f for f in ("avx512f", "avx2", "sse2") if f in flags), "")
    return f"{lines.get('model name', platform.machine())}, family {lines.get('cpu family')} model {lines.get('model')}, {widest}"


class Machine:
    """Peak and memory speed of the machine, measured by numbacnn's process at the beginning and, `again`, at the end of a run."""

    def __init__(self, ours: Contestant):
        self.ours, self.best = ours, {}
        ours.prepare("machine", "machine")
        self.work = {name: float(work) for name, work in ours.show("machine").items()}
        self.again()

    def again(self) -> None:
        for name, work in self.work.items():
            speed = work / min(self.ours.times("machine", name, 50))
            self.best[name] = max(self.best.get(name, 0.0), speed)

    def peak(self, threads: int) -> float:
        """GFLOP/s of multiply-adds in registers."""
        return self.best[f"peak {threads}"]

    def to_json(self) -> dict:
        units = {"peak": "gflops", "copy": "gigabytes_per_s"}
        return {f"{name.replace(' ', '_')}_threads_{units[name.split()[0]]}": round(speed, 1) for name, speed in self.best.items()}

    def __str__(self):
        units = {"peak": "GFLOP/s", "copy": "GB/s"}
        return ", ".join(f"{name.split()[0]} with {name.split()[1]} thread(s) {speed:.1f} {units[name.split()[0]]}" for name, speed in self.best.items())


def finish(path: Path, machine: Machine | None, contestants: Iterable[Contestant], rows: Sequence[dict], **more: object) -> None:
    """Write the JSON file, and say where and on what machine."""
    facts = {c.name: c.ask("facts") for c in contestants}
    if machine:
        machine.again()
    record = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "machine": machine.to_json() if machine else None,
        "contestants": facts,
        **more,
        "rows": list(rows),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    versions = {name: version for fact in facts.values() for name, version in fact["versions"].items()}
    console.print(f"{record['date']}, {record['cpu']}, {record['cores']} cores{', ' + str(machine) if machine else ''}")
    console.print(", ".join(f"{name} {version}" for name, version in versions.items()))
    console.print(f"figures: {path}")


def table(title: str, columns: Sequence[str], left: int = 1) -> Table:
    """A table whose first `left` columns are text, the others numbers."""
    made = Table(title=title, title_justify="left", box=None, padding=(0, 1), header_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i < left else "right", no_wrap=True)
    return made


def geometric_mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def verdict(ratio: float, goal: float) -> str:
    """The ratio, green where it reaches its goal."""
    return f"[{'green' if ratio >= goal else 'red'}]{ratio:.2f}[/]"
