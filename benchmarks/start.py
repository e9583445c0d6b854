"""How long until the first training step, and until the command line answers: `python benchmarks/start.py [--quick]`

`numbacnn fit` on 60 pictures of noise, 64x64, in a kernel cache that is empty the first time, and again with the kernels there; the seconds
from the start of the process to the end of its first step. Beside it: an import of numbacnn, and `numbacnn --help`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from contest.report import console, finish, options, table, verdict
from PIL import Image

GOALS = {"first step, nothing compiled": 30.0, "first step": 2.0, "import": 0.1, "--help": 0.2}


def pictures(folder: Path) -> None:
    random = np.random.default_rng(0)
    for label in ("cat", "dog", "hamster"):
        (folder / label).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / label / f"{i}.png")


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Of the whole process."""
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def first_step(folder: Path, run: Path, model: str, environment: dict[str, str]) -> float:
    """From the start of the process: what summary.json counts, and what Python took before."""
    start = time.time()
    code = "import time, sys; started = time.time(); from numbacnn_cli.main import main; print(started, file=sys.stderr); main()"
    command = [sys.executable, "-c", code, "fit", str(folder), "--model", model, "--epochs", "1", "--out", str(run), "--size", "64"]
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr
    before = float(shown.splitlines()[0]) - start
    return before + json.loads((run / "summary.json").read_text())["seconds_to_first_step"]


def main() -> None:
    given = options("start", __doc__, rounds=5)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures(folder / "pictures")
        environment = {**os.environ, "NUMBACNN_CACHE": str(folder / "cache")}
        for model in ("small",) if given.quick else ("small", "resnet18"):
            cold = first_step(folder / "pictures", folder / f"{model} cold", model, environment)
            warm = [first_step(folder / "pictures", folder / f"{model} {i}", model, environment) for i in range(given.rounds)]
            rows += [("first step, nothing compiled", model, [cold]), ("first step", model, warm)]
        for what, command in (("import", ["-c", "import numbacnn"]), ("--help", ["-m", "numbacnn_cli.main", "--help"])):
            bare = min(seconds([sys.executable, "-c", "pass"], environment) for _ in range(given.rounds)) if what == "import" else 0.0
            rows.append((what, "", [seconds([sys.executable, *command], environment) - bare for _ in range(2 * given.rounds)]))
    shown = table("start, seconds; import without Python's own start", ("what", "model", "best", "median", "goal", "goal / best"), left=2)
    records = []
    for what, model, times in rows:
        best, median, goal = min(times), sorted(times)[len(times) // 2], GOALS[what]
        records.append({"what": what, "model": model, "best_s": best, "median_s": median, "goal_s": goal})
        shown.add_row(what, model, f"{best:.2f}", f"{median:.2f}", f"{goal:.1f}", verdict(goal / best, 1.0))
    console.print(shown)
    finish(given.json, None, (), records)


if __name__ == "__main__":
    main()
