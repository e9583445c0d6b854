"""Does Winograd change how a network learns? ResNet-18 on clip-art pictures, 64x64, with Winograd and without, several seeds.

python benchmarks/winograd_curves.py [FOLDER] [--epochs 8] [--seeds 3] [--json FILE]

Each seed draws the weights and the order of the pictures; with and without Winograd they are the same. Rounding makes the two runs part
after some steps, as it does runs on other machines: the question is whether they part farther than runs with different seeds do.
"""

import argparse
import datetime
import json
import time
from pathlib import Path

import numpy as np
from contest.report import console, cpu, table

import numbacnn as nn

CURVES = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
LIMIT = 2.0  # standard deviations between seeds


def learn(folder: Path, winograd: bool, seed: int, epochs: int) -> tuple[dict[str, list], list[str]]:
    """The history of one training, and the ways to convolve that its plan chose."""
    train, valid = nn.image_folder(folder, size=64, batch_size=32, seed=seed)
    model = nn.build("resnet18", (64, 64, 3), len(train.classes), seed=seed)
    model.compile(nn.SGD(0.01, momentum=0.9, weight_decay=1e-4), "cross_entropy", metrics=["accuracy"], winograd=winograd)
    history = model.fit(train, valid, epochs=epochs, schedule="one_cycle", seed=seed)
    chosen = [choice.name for plan, _ in model.network._plans.values() if plan.training for choice in plan.choices]
    return {name: history[name] for name in CURVES}, chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).resolve().parents[2] / "shared" / "data" / "clipart")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path(__file__).resolve().parent / "results" / "winograd_curves.json")
    given = parser.parse_args()
    curves: dict[bool, dict[str, list]] = {True: {c: [] for c in CURVES}, False: {c: [] for c in CURVES}}
    for seed in range(given.seeds):
        for winograd in (True, False):
            start = time.perf_counter()
            history, chosen = learn(given.folder, winograd, seed, given.epochs)
            uses = sum("winograd" in name.lower() for name in chosen)
            if bool(uses) != winograd:
                raise SystemExit(f"with winograd={winograd}, {uses} of {len(chosen)} products are Winograd's: there is nothing to compare")
            for name in CURVES:
                curves[winograd][name].append(history[name])
            last = ", ".join(f"{name} {history[name][-1]:.3f}" for name in CURVES)
            console.print(f"seed {seed}, winograd={winograd} ({uses} products): {last}, {time.perf_counter() - start:.0f} s")
    columns = ("curve", "epoch", "with", "without", "difference", "between seeds", "share")
    shown, shares = table(f"means over {given.seeds} seeds; share = difference / standard deviation between seeds, limit {LIMIT}", columns), []
    for name in CURVES:
        on, off = (np.array(curves[w][name]) for w in (True, False))  # [seeds, epochs]
        spread = np.sqrt((on.var(0, ddof=1) + off.var(0, ddof=1)) / 2)
        difference = on.mean(0) - off.mean(0)
        for epoch in range(given.epochs):
            shares.append(abs(difference[epoch]) / max(spread[epoch], 1e-6))
            cells = (on.mean(0)[epoch], off.mean(0)[epoch], difference[epoch], spread[epoch])
            shown.add_row(name, str(epoch + 1), *(f"{v:.4f}" for v in cells), f"{shares[-1]:.2f}")
    console.print(shown)
    console.print(f"largest share {max(shares):.2f}, mean {np.mean(shares):.2f}: the curves are {'within' if max(shares) <= LIMIT else 'NOT within'} noise")
    record = {"date": datetime.date.today().isoformat(), "cpu": cpu(), "epochs": given.epochs, "seeds": given.seeds, "largest_share": max(shares)}
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(record | {"with": curves[True], "without": curves[False]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
