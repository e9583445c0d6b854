"""Convolution layers, each direction, beside PyTorch's: `python benchmarks/convolution.py [part of a shape's name …] [--quick]`

Single precision. Ours: the launches that a training plan makes for the layer, packing and transforming of weights included.
PyTorch: the better one of contiguous and channels_last images, weights as they lie. Results are compared before anything is timed.
"""

from contest.contestant import Contestant
from contest.match import Entry, agree, play
from contest.report import Machine, chosen, console, finish, geometric_mean, options, table, verdict

PARTS = ("forward", "data", "weights")
FIRST = ("forward", "weights")  # nobody asks for the gradient by a network's images
GOAL_EACH, GOAL_MEAN = 0.95, 1.5
TOLERANCES = dict.fromkeys(PARTS, 3e-5)  # relative, root mean square; Winograd's is below 1e-5


def shape(kernel: int, strides: int, inputs: int, outputs: int, size: int, batch: int = 16, parts=PARTS, depthwise: bool = False) -> dict:
    """The spec of one convolution with "same" borders, as the contestants take it."""
    return dict(locals())


SHAPES = {
    "tables": {  # of the note
        "3x3 64 @56": shape(3, 1, 64, 64, 56),
        "3x3 128 @28": shape(3, 1, 128, 128, 28),
        "3x3 256 @14": shape(3, 1, 256, 256, 14),
        "3x3 512 @7": shape(3, 1, 512, 512, 7),
        "stem 7x7 s2 3->64 @224": shape(7, 2, 3, 64, 224, parts=FIRST),
        "1x1 64->256 @56": shape(1, 1, 64, 256, 56),
        "3x3 s2 64->128 @56": shape(3, 2, 64, 128, 56),
        "3x3 s2 128->256 @28": shape(3, 2, 128, 256, 28),
        "3x3 s2 256->512 @14": shape(3, 2, 256, 512, 14),
        "1x1 s2 64->128 @56": shape(1, 2, 64, 128, 56),
        "1x1 s2 128->256 @28": shape(1, 2, 128, 256, 28),
        "1x1 s2 256->512 @14": shape(1, 2, 256, 512, 14),
        "5x5 1->32 @28 b64": shape(5, 1, 1, 32, 28, 64, FIRST),
        "5x5 32->64 @14 b64": shape(5, 1, 32, 64, 14, 64),
    },
    "pointwise": {  # MobileNetV2's
        "1x1 16->96 @112": shape(1, 1, 16, 96, 112),
        "1x1 144->24 @56": shape(1, 1, 144, 24, 56),
        "1x1 384->64 @14": shape(1, 1, 384, 64, 14),
        "1x1 160->960 @7": shape(1, 1, 160, 960, 7),
    },
    "depthwise": {
        "dw 3x3 96 @56": shape(3, 1, 96, 96, 56, depthwise=True),
        "dw 5x5 240 @28": shape(5, 1, 240, 240, 28, depthwise=True),
        "dw 3x3 s2 96 @112": shape(3, 2, 96, 96, 112, depthwise=True),
        "dw 3x3 32 @112": shape(3, 1, 32, 32, 112, depthwise=True),
        "dw 3x3 384 @14": shape(3, 1, 384, 384, 14, depthwise=True),
        "dw 5x5 672 @14": shape(5, 1, 672, 672, 14, depthwise=True),
    },
}
QUICK = ("3x3 64 @56", "3x3 s2 128->256 @28", "1x1 64->256 @56", "5x5 1->32 @28 b64", "dw 3x3 384 @14")


def work(spec: dict) -> float:
    """Gigaflop of the plain sum."""
    out = -(-spec["size"] // spec["strides"])
    return 2e-9 * spec["batch"] * out * out * spec["outputs"] * spec["kernel"] ** 2 * (1 if spec["depthwise"] else spec["inputs"])


def measure(ours: Contestant, torch: Contestant, group: str, name: str, spec: dict, rounds: int) -> list[dict]:
    """A row for each direction."""
    note = ours.prepare(name, "convolution", **spec)
    mine, orders = ours.show(name), ("contiguous", "channels_last")
    for order in orders:
        torch.prepare(f"{name} {order}", "convolution", variant=order, **spec)
        agree(f"{name}, {order}", mine, torch.show(f"{name} {order}"), TOLERANCES)
    rows = []
    for part in spec["parts"]:
        entries = [Entry("numbacnn", ours, name, part), *(Entry(order, torch, f"{name} {order}", part) for order in orders)]
        play(entries, rounds)
        own, *theirs = entries
        best = min(theirs, key=lambda e: e.best)
        ratio, median = best.best / own.best, min(e.median for e in theirs) / own.median
        rows.append({"group": group, "shape": name, "part": part, "algorithm": note, "gflop": round(work(spec), 3), "ratio": round(ratio, 3)})
        rows[-1] |= {"ratio_of_medians": round(median, 3), "peer": best.label, "entries": [e.to_json() for e in entries]}
    ours.drop(name)
    for order in orders:
        torch.drop(f"{name} {order}")
    return rows


def main() -> None:
    given = options("convolution", __doc__, rounds=5)
    rows: list[dict] = []
    with Contestant.ours(threads=given.threads) as ours, Contestant.peer("PyTorch", "pytorch", given.threads) as torch:
        machine = Machine(ours)
        for group, shapes in SHAPES.items():
            for name, spec in shapes.items():
                if chosen(given, name) and (not given.quick or given.only or name in QUICK):
                    console.print(f"[dim]{name} …[/]")
                    rows += measure(ours, torch, group, name, spec, given.rounds)
        peak = machine.peak(given.threads)
        columns = ("shape", "direction", "algorithm", "ours ms", "PyTorch ms", "best order", "GF/s", "of peak", "ratio", "of medians")
        shown = table(f"convolutions, {given.threads} threads; ratio = PyTorch's time / ours, goal ≥ {GOAL_EACH} each", columns, left=3)
        for row in rows:
            own, *theirs = row["entries"]
            row["gflops"] = round(row["gflop"] / own["best_ms"] * 1e3, 1)
            row["share_of_peak"] = round(row["gflops"] / peak, 3)
            times = f"{own['best_ms']:.2f}", f"{min(e['best_ms'] for e in theirs):.2f}"
            speed = f"{row['gflops']:.0f}", f"{row['share_of_peak']:.0%}", verdict(row["ratio"], GOAL_EACH), f"{row['ratio_of_medians']:.2f}"
            shown.add_row(row["shape"], row["part"], row["algorithm"], *times, row["peer"], *speed)
        console.print(shown)
        means = {group: geometric_mean(r["ratio"] for r in rows if r["group"] == group) for group in dict.fromkeys(r["group"] for r in rows)}
        for group, mean in means.items():
            least = min((r for r in rows if r["group"] == group), key=lambda r: r["ratio"])
            goal = f" (goal ≥ {GOAL_MEAN})" if group == "tables" else ""
            console.print(f"{group}: geometric mean {verdict(mean, GOAL_MEAN)}{goal}, least {least['ratio']:.2f} ({least['shape']}, {least['part']})")
        finish(given.json, machine, (ours, torch), rows, geometric_means=means, goals={"each": GOAL_EACH, "mean": GOAL_MEAN})


if __name__ == "__main__":
    main()
