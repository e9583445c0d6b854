"""`make demo`: writes real images, trains on them, predicts a few, and says where everything lies. All of it lands in demo/."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import digits

ROOT = Path("demo")
IMAGES, RUN = ROOT / "digits", ROOT / "run"
WANTED = 0.98  # accuracy on the held-out fifth at the last epoch
FIT = ["--size", "8x8", "--color", "gray", "--augment", "light", "--epochs", "20", "--batch-size", "32"]


def numbacnn(*args: object) -> None:
    """Run the command line as a user would, showing the command."""
    words = ["numbacnn", *map(str, args)]
    print(f"\n$ {shlex.join(words)}", flush=True)
    subprocess.run([Path(sys.executable).with_name("numbacnn"), *words[1:]], check=True)


def main(seed: str = "0") -> int:
    """Exit status 0 if the demo reaches the accuracy that it promises."""
    start = time.perf_counter()
    print(f"writing scikit-learn's digits to {IMAGES}/: {digits.write(IMAGES)} images of 8x8 pixels, a folder for each digit")
    numbacnn("fit", IMAGES, "--model", "small", "--out", RUN, "--force", *FIT, "--seed", seed)
    numbacnn("predict", RUN, *(sorted((IMAGES / d).iterdir())[0] for d in "0369"), "--top", 2)
    rows = (RUN / "history.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    accuracy, summary = float(last["valid_accuracy"]), json.loads((RUN / "summary.json").read_text())
    print(f"\nimages   {IMAGES}/")
    print(f"model    {RUN / 'model.h5'} (best epoch: {summary['best_epoch']}), with checkpoint.h5, history.csv and summary.json beside it")
    print(f"accuracy {accuracy:.4f} on the held-out fifth at the last epoch (promised: {WANTED})")
    print(f"seconds  {summary['seconds_to_first_step']:.1f} to the first training step, {time.perf_counter() - start:.1f} for everything")
    return 0 if accuracy >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
