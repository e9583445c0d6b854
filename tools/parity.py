"""The networks of keras.applications here and in live Keras: `make parity`.

Keras builds each network, sets weights by rule (random, with statistics far from 0 and 1) and says what it makes of two
pictures. The same network must give the same outputs here, with the same weights by order and from every kind of file that Keras
writes, and in Keras from every kind of file that is written here. What Keras said is kept in build/parity (about 5 GB;
NUMBACNN_PARITY names another folder), so that a second run is shorter.

    python tools/parity.py [NETWORK …] [--keras PYTHON] [--no-files]
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import weight_rule
from rich.console import Console
from rich.table import Table

import numbacnn as nn
from numbacnn.applications.table import find

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = (
    "VGG16",
    "ResNet50",
    "ResNet50V2",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionV3",
    "Xception",
    "NASNetMobile",
    "ConvNeXtTiny",
)
LIMIT = 1e-4  # of the output's largest value
SEED, PICTURES = 5, 2


@dataclass(frozen=True)
class Case:
    """One network, with Keras' answer in `folder`."""

    name: str
    folder: Path
    options: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.options["input_shape"][:2])

    @property
    def pictures(self) -> np.ndarray:
        return weight_rule.pictures(PICTURES, self.size, SEED)

    @property
    def answer(self) -> Any:
        return np.load(self.folder / "answer.npz")


@dataclass(frozen=True)
class Route:
    """One way in which Keras' weights come into a model: a column of the table.

    ending: of the file that the Keras side writes for it (WRITERS in tools/keras_side.py), None if none is needed.
    load: the model with those weights.
    """

    name: str
    ending: str | None
    load: Callable[[Case], nn.Model]


def by_rule(case: Case, factor: float, **options: Any) -> nn.Model:
    """The network built here with the weights of the rule, in Keras' order; the last layer's are multiplied by `factor`."""
    model = nn.keras_application(case.name, **case.options, **options, seed=0)
    arrays = weight_rule.weights([(f"{h.name}/{n}", h.specs[n].shape) for h in model.layers for n in h.order()], SEED, case.name)
    model.set_weights([*arrays[:-2], *(a * np.float32(factor) for a in arrays[-2:])])
    return model


def by_order(case: Case) -> nn.Model:
    """The network built here, and the weights in Keras' order."""
    return by_rule(case, case.answer["factor"])


def fitting_factor(case: Case) -> float:
    """What the last layer is multiplied by, so that a softmax is neither flat nor 0 and 1, as random deep networks make it."""
    model = by_rule(case, 1.0, classifier_activation=None)
    return float(1.5 / model.predict(model.preprocess.apply(case.pictures)).std())


def from_weights(ending: str) -> Callable[[Case], nn.Model]:
    """The network built here with random weights, and then those of the file."""

    def load(case: Case) -> nn.Model:
        model = nn.keras_application(case.name, **case.options, seed=1)
        model.load_weights(case.folder / f"model{ending}")
        return model

    return load


def from_model(ending: str) -> Callable[[Case], nn.Model]:
    """The whole model in the file."""
    return lambda case: nn.load(case.folder / f"model{ending}")


ROUTES: tuple[Route, ...] = (
    Route("by order", None, by_order),
    Route("from .keras", ".keras", from_model(".keras")),
    Route("from .h5", ".h5", from_model(".h5")),
    Route("from .weights.h5", ".weights.h5", from_weights(".weights.h5")),
    Route("from legacy .h5", ".legacy.h5", from_weights(".legacy.h5")),
)
BACK: dict[str, Callable[[nn.Model, Path], None]] = {  # ending of a file that Keras is to open -> what writes it
    ".keras": lambda model, path: model.save(path, "keras"),
    ".h5": lambda model, path: model.save(path, "keras_h5"),
    ".weights.h5": lambda model, path: model.save_weights(path, "weights_h5"),
    ".legacy.h5": lambda model, path: model.save_weights(path, "legacy_weights"),
}


def run_keras(jobs: list[dict[str, Any]], folder: Path, python: str) -> None:
    """Let Keras do jobs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    subprocess.run([python, str(ROOT / "tools" / "keras_side.py"), str(path)], check=True, env={**os.environ, "KERAS_BACKEND": "jax"})


def ask(cases: list[Case], routes: tuple[Route, ...], python: str) -> None:
    """Let Keras answer the cases that it has not answered yet."""
    endings = [r.ending for r in routes if r.ending]
    rule = {"pictures": PICTURES, "seed": SEED, "files": endings}
    jobs = [
        {"name": c.name, "options": c.options, "size": c.size, "factor": fitting_factor(c), "folder": str(c.folder.resolve()), **rule}
        for c in cases
        if not all((c.folder / file).is_file() for file in ("answer.npz", *(f"model{e}" for e in endings)))
    ]
    if jobs:
        run_keras(jobs, cases[0].folder.parent, python)


def send_back(case: Case, endings: list[str], python: str) -> list[float]:
    """For each kind of file written here the greatest difference of what Keras makes of it, as a share of the greatest output."""
    model = by_order(case)
    for ending in endings:
        BACK[ending](model, case.folder / f"back{ending}")
    run_keras([{"name": case.name, "options": case.options, "folder": str(case.folder.resolve()), "back": endings}], case.folder.parent, python)
    expected, outputs = case.answer["output"], np.load(case.folder / "back.npz")
    for ending in endings:
        (case.folder / f"back{ending}").unlink()
    return [float(np.abs(outputs[ending] - expected).max() / np.abs(expected).max()) for ending in endings]


def compare(case: Case, route: Route) -> tuple[float, nn.Model]:
    """Greatest difference of an output, as a share of the greatest output; and the model."""
    model, answer = route.load(case), case.answer
    expected = answer["output"]
    return float(np.abs(model.predict(answer["input"]) - expected).max() / np.abs(expected).max()), model


def pixels_differ(case: Case, model: nn.Model) -> float:
    """Greatest difference between our preprocessing and Keras', as a share of the greatest value."""
    expected = case.answer["input"]
    return float(np.abs(model.preprocess.apply(case.pictures) - expected).max() / np.abs(expected).max())


def names_differ(case: Case, model: nn.Model) -> int:
    """Number of layers whose names or places differ; operations, which are layers here only, and names of nested models do not count."""
    theirs = json.loads((case.folder / "names.json").read_text())["layers"]
    known = set(theirs)
    ours = [name for h in model.layers if (name := h.name.rpartition("/")[2]) in known or h.specs]
    return sum(a != b for a, b in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))


def main() -> int:
    """Print the table; 1 if any number is above the limit."""
    folder = Path(os.environ.get("NUMBACNN_PARITY", ROOT / "build" / "parity"))
    python = os.environ.get("NUMBACNN_KERAS", str(ROOT / ".venv-keras" / "bin" / "python"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"default: {', '.join(NETWORKS)}")
    parser.add_argument("--keras", default=python, metavar="PYTHON", help="of the environment with Keras and JAX (default: %(default)s)")
    parser.add_argument("--no-files", action="store_true", help="weights by order alone")
    given = parser.parse_args()
    routes, endings = (ROUTES[:1], []) if given.no_files else (ROUTES, list(BACK))
    asked = hashlib.sha256(b"".join((ROOT / "tools" / f"{file}.py").read_bytes() for file in ("keras_side", "weight_rule"))).hexdigest()[:8]
    cases = []
    for name in given.networks or NETWORKS:
        size = find(name).size
        cases.append(Case(name, folder / f"{name}-{asked}", {"input_shape": [size, size, 3]}))
    start = time.perf_counter()
    ask(cases, routes, given.keras)
    columns = [*(r.name for r in routes), *(f"to {e}" for e in endings), "pixels", "names", "seconds"]
    table, bad = Table("network", *columns, title=f"largest error / largest output (limit {LIMIT})"), []
    for case in cases:
        began, errors, model = time.perf_counter(), [], None
        for route in routes:
            error, loaded = compare(case, route)
            errors.append(error)
            model = model or loaded
        errors += send_back(case, endings, given.keras) if endings else []
        errors.append(pixels_differ(case, model))
        wrong = names_differ(case, model)
        if wrong or not max(errors) <= LIMIT or np.isnan(errors).any():
            bad.append(case.name)
        row = [*(f"{e:.1e}" for e in errors), "same" if not wrong else f"{wrong} differ", f"{time.perf_counter() - began:.0f}"]
        table.add_row(case.name, *row)
        print(f"{case.name}: {', '.join(f'{c} {r}' for c, r in zip(columns, row, strict=True))}", file=sys.stderr, flush=True)
    Console(width=190).print(table)
    print(f"{len(cases)} networks in {time.perf_counter() - start:.0f} s" + (f"; above the limit or named otherwise: {', '.join(bad)}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
