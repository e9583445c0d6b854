"""Whole networks beside PyTorch, ONNX Runtime and OpenVINO: `python benchmarks/networks.py [part of a name …] [--quick]`

Training: one step on one batch: loss (cross-entropy), gradients, SGD with momentum. Inference: the outputs of one batch.
PyTorch with contiguous and with channels_last images, and by torch.compile (channels_last) where that runs; the other runtimes get the
ONNX file that PyTorch exports. All have the same weights; loss, gradients and weights after a step, or outputs, are compared first.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass

from contest.contestant import Contestant, Refused
from contest.match import Entry, agree, play
from contest.report import Machine, chosen, console, finish, options, table, verdict

# Single precision; a relative difference of 1e-6 turns some ReLUs over. In double precision the same networks agree to 1e-9: tests/peers/.
TOLERANCES = {"loss": 1e-5, "gradient": 0.1, "weight": 0.1, "output": 1e-3}
VARIANTS = ("contiguous", "channels_last", "compiled")
RUNTIMES = {"ONNX Runtime": "onnx_runtime", "OpenVINO": "openvino_runtime"}


@dataclass(frozen=True)
class Contest:
    """A network, what is done with it, and how many times faster than the best peer numbacnn wants to be."""

    network: str
    task: str
    batch: int
    size: int
    goal: float
    channels: int = 3
    classes: int = 1000

    @property
    def name(self) -> str:
        return f"{self.network} {self.task} b{self.batch} @{self.size}"

    @property
    def spec(self) -> dict:
        return {"network": self.network, "batch": self.batch, "size": self.size, "channels": self.channels, "classes": self.classes}


CONTESTS = (
    Contest("resnet18", "training", 16, 224, 2.0),
    Contest("resnet18", "inference", 16, 224, 1.5),
    Contest("resnet18", "inference", 1, 224, 1.2),
    Contest("lenet", "training", 64, 28, 3.0, 1, 10),
    Contest("mobilenet_v2", "training", 16, 224, 2.0),
    Contest("mobilenet_v2", "inference", 16, 224, 1.0),
    Contest("efficientnet_lite0", "training", 16, 224, 2.0),
    Contest("efficientnet_lite0", "inference", 16, 224, 1.0),
    Contest("small", "training", 32, 64, 2.0, 3, 10),
)
QUICK = ("lenet training b64 @28", "small training b32 @64", "resnet18 inference b1 @224")


def enter(contest: Contest, ours: Contestant, peers: dict[str, Contestant], folder: str) -> tuple[list[Entry], float, dict[str, str]]:
    """Entries whose results agree, ours first; the largest difference; and why others are missing."""
    ours.prepare(contest.name, "network", task=contest.task, folder=folder, **contest.spec)
    mine, entries, worst, refused = ours.show(contest.name), [Entry("numbacnn", ours, contest.name)], 0.0, {}
    ways = [(f"PyTorch {v}", "PyTorch", {"task": contest.task, "variant": v}) for v in VARIANTS]
    if contest.task == "inference":
        peers["PyTorch"].prepare("export", "network", task=contest.task, variant="onnx", folder=folder, **contest.spec)
        peers["PyTorch"].drop("export")
        ways += [(name, name, {}) for name in RUNTIMES]
    for label, name, extra in ways:
        key = f"{contest.name}, {label}"
        try:
            peers[name].prepare(key, "network", folder=folder, **extra, **contest.spec)
            shown = peers[name].show(key)
        except Refused as error:
            refused[label] = str(error).strip().splitlines()[-1][:300]
            continue
        worst = max(worst, agree(key, mine, shown, TOLERANCES))
        entries.append(Entry(label, peers[name], key))
    return entries, worst, refused


def measure(contest: Contest, ours: Contestant, peers: dict[str, Contestant], rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        console.print(f"[dim]{contest.name}: preparing and comparing …[/]")
        entries, worst, refused = enter(contest, ours, peers, folder)
        play(entries, rounds)
    for entry in entries:
        entry.contestant.drop(entry.key)
    own, *theirs = entries
    best = min(theirs, key=lambda e: e.best)
    return {
        "name": contest.name,
        "peer": best.label,
        "ratio": round(best.best / own.best, 3),
        "ratio_of_medians": round(min(e.median for e in theirs) / own.median, 3),
        "goal": contest.goal,
        "largest_difference": worst,
        "refused": refused,
        "entries": [e.to_json() for e in entries],
    }


def main() -> None:
    given = options("networks", __doc__, rounds=7)
    wanted = [c for c in CONTESTS if chosen(given, c.name) and (not given.quick or given.only or c.name in QUICK)]
    rows = []
    with ExitStack() as stack:
        ours = stack.enter_context(Contestant.ours(threads=given.threads))
        modules = {"PyTorch": "pytorch", **(RUNTIMES if any(c.task == "inference" for c in wanted) else {})}
        peers = {name: stack.enter_context(Contestant.peer(name, module, given.threads)) for name, module in modules.items()}
        machine = Machine(ours)
        for contest in wanted:
            rows.append(row := measure(contest, ours, peers, given.rounds))
            for label, why in row["refused"].items():
                console.print(f"{contest.name}: {label} does not run: {why}")
        columns = ("network", "contestant", "best ms", "median ms", "ratio", "of medians", "goal")
        shown = table(f"networks, {given.threads} threads; ratio = the contestant's time / ours", columns, left=2)
        for row in rows:
            for entry in row["entries"]:
                own, first = row["entries"][0], entry is row["entries"][0]
                ratio, median = entry["best_ms"] / own["best_ms"], entry["median_ms"] / own["median_ms"]
                decides = entry["label"] == row["peer"]
                cells = ("", "", "") if first else (verdict(ratio, row["goal"]) if decides else f"{ratio:.2f}", f"{median:.2f}", f"{row['goal']:.1f}" * decides)
                shown.add_row(row["name"] if first else "", entry["label"], f"{entry['best_ms']:.2f}", f"{entry['median_ms']:.2f}", *cells)
        console.print(shown)
        finish(given.json, machine, (ours, *peers.values()), rows)


if __name__ == "__main__":
    main()
