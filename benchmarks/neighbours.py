"""What a busy neighbour costs: training steps beside 0, 1 and 2 processes that never rest: `python benchmarks/neighbours.py [--quick]`

Beside k such processes on c cores, a job of c threads gets c / (c + k) of the machine at most where the system shares it out evenly by
threads, so a step should take about (c + k) / c times as long. A thread that waits for another by spinning, or a barrier that waits for one whose core was
taken, costs far more. Ours and PyTorch's steps alternate, each alone with the same neighbours.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from contest.contestant import Contestant
from contest.match import Entry, play
from contest.report import console, finish, options, table

SPECS = {
    "small b32 @64": {"network": "small", "task": "training", "batch": 32, "size": 64, "classes": 10},
    "resnet18 b4 @128": {"network": "resnet18", "task": "training", "batch": 4, "size": 128},
}
ALLOWED = 1.5  # times the even share


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that compute all the time."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    given = options("neighbours", __doc__, rounds=5)
    cores, rows = len(os.sched_getaffinity(0)), []
    with ExitStack() as stack:
        ours = stack.enter_context(Contestant.ours(threads=given.threads))
        torch = stack.enter_context(Contestant.peer("PyTorch", "pytorch", given.threads))
        for name, spec in list(SPECS.items())[: 1 if given.quick else None]:
            ours.prepare(name, "network", **spec)
            torch.prepare(name, "network", variant="channels_last", **spec)
            alone: dict[str, float] = {}
            for count in (0, 1, 2):
                with neighbours(count):
                    entries = [Entry(contestant.name, contestant, name) for contestant in (ours, torch)]
                    play(entries, given.rounds)
                for entry in entries:
                    times = entry.median / alone.setdefault(entry.label, entry.median)
                    facts = {"name": name, "contestant": entry.label, "neighbours": count, "even_share": (cores + count) / cores}
                    rows.append({**facts, "median_ms": 1e3 * entry.median, "worst_ms": 1e3 * max(entry.times), "times_as_long": times})
    columns = ("network", "contestant", "busy", "median ms", "worst ms", "times as long", "even share")
    shown = table(f"training beside busy processes, {cores} cores; goal: at most {ALLOWED} times the even share", columns, left=2)
    for row in rows:
        color = "green" if row["times_as_long"] <= ALLOWED * row["even_share"] else "red"
        times = f"[{color}]{row['times_as_long']:.2f}[/]"
        numbers = (f"{row['neighbours']}", f"{row['median_ms']:.0f}", f"{row['worst_ms']:.0f}", times, f"{row['even_share']:.2f}")
        shown.add_row(row["name"], row["contestant"], *numbers)
    console.print(shown)
    finish(given.json, None, (), rows, goal=ALLOWED)


if __name__ == "__main__":
    main()
