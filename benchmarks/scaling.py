"""How much faster two threads are than one, for a ResNet-18 training step (b16 @224): `python benchmarks/scaling.py [--quick]`

Each count of threads is a process of its own, ours and PyTorch's (channels_last); all four run in turns.
"""

from contextlib import ExitStack

from contest.contestant import Contestant
from contest.match import Entry, play
from contest.report import Machine, console, finish, options, table, verdict

GOAL = 1.85
SPEC = {"network": "resnet18", "task": "training", "batch": 16, "size": 224}


def main() -> None:
    given = options("scaling", __doc__, rounds=4)
    spec = {**SPEC, "batch": 4, "size": 128} if given.quick else SPEC
    with ExitStack() as stack:
        entries = []
        for threads in (1, given.threads):
            ours = stack.enter_context(Contestant.ours(f"numbacnn, {threads} thread(s)", threads))
            torch = stack.enter_context(Contestant.peer(f"PyTorch, {threads} thread(s)", "pytorch", threads))
            ours.prepare("step", "network", **spec)
            torch.prepare("step", "network", variant="channels_last", **spec)
            for contestant in (ours, torch):
                contestant.times("step")  # compiles, packs, fills the caches
                entries.append(Entry(contestant.name, contestant, "step"))
        machine = Machine(entries[2].contestant)
        play(entries, given.rounds)
        rows = []
        title = f"ResNet-18 training, b{spec['batch']} @{spec['size']}: 1 -> {given.threads} threads, goal ≥ {GOAL}"
        shown = table(title, ("contestant", "1 thread ms", f"{given.threads} threads ms", "times", "of medians"))
        for one, two in zip(entries[:2], entries[2:], strict=True):
            name, times, median = one.label.partition(",")[0], one.best / two.best, one.median / two.median
            rows.append({"name": name, "scaling": round(times, 3), "of_medians": round(median, 3), "entries": [one.to_json(), two.to_json()]})
            ratio = verdict(times, GOAL) if name == "numbacnn" else f"{times:.2f}"
            shown.add_row(name, f"{one.best * 1e3:.0f}", f"{two.best * 1e3:.0f}", ratio, f"{median:.2f}")
        console.print(shown)
        finish(given.json, machine, [e.contestant for e in entries], rows, goal=GOAL, spec=spec)


if __name__ == "__main__":
    main()
