"""The most memory that training ResNet-18 holds (b16 @224): `python benchmarks/memory.py [--quick]`

Resident set of a whole process after a few steps, its libraries included; ours, and PyTorch's with either order of the images.
"""

from contextlib import ExitStack

from contest.contestant import Contestant
from contest.report import console, finish, options, table

STEPS = 4
SPEC = {"network": "resnet18", "task": "training", "batch": 16, "size": 224}


def peak(contestant: Contestant, spec: dict) -> dict:
    """Megabytes that the process holds at most, before there is a network and in the end."""
    empty = contestant.ask("memory")["peak"]
    contestant.prepare("step", "network", **spec)
    contestant.times("step", steps=STEPS)
    whole = contestant.ask("memory")["peak"]
    return {"name": contestant.name, "peak_mb": round(whole / 1e6), "libraries_mb": round(empty / 1e6)}


def main() -> None:
    given = options("memory", __doc__, rounds=1)
    spec = {**SPEC, "batch": 4, "size": 128} if given.quick else SPEC
    rows = []
    with Contestant.ours(threads=given.threads) as once:  # compiling takes memory, too, but only once: another process does it
        once.prepare("step", "network", **spec)
        once.times("step")
    with ExitStack() as stack:
        ours = stack.enter_context(Contestant.ours(threads=given.threads))
        rows.append(peak(ours, spec))
        for order in ("contiguous", "channels_last"):
            torch = stack.enter_context(Contestant.peer(f"PyTorch {order}", "pytorch", given.threads))
            rows.append(peak(torch, {**spec, "variant": order}))
        title = f"memory of ResNet-18 training, b{spec['batch']} @{spec['size']}; goal: not more than the peers"
        shown = table(title, ("contestant", "peak MB", "libraries MB", "peak / ours"))
        for row in rows:
            row["ratio"] = round(row["peak_mb"] / rows[0]["peak_mb"], 3)
            shown.add_row(row["name"], f"{row['peak_mb']}", f"{row['libraries_mb']}", f"{row['ratio']:.2f}")
        console.print(shown)
        finish(given.json, None, (ours, torch), rows, spec=spec)


if __name__ == "__main__":
    main()
