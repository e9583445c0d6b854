"""The networks of keras.applications here and in live Keras: `make parity`.

Keras builds each network, sets weights by rule (random, with statistics far from 0 and 1) and says what it makes of two
pictures. The same network must give the same outputs here, with the same weights by order and from every kind of file that Keras
writes, and in Keras from every kind of file that is written here. Keras 3 is asked, and tf.keras 2.15 where NUMBACNN_TF_KERAS names
a Python that has it. Pictures have 96x96 pixels (--own-size: what the network was made for), so that all this takes minutes.

What Keras said is kept in build/parity (NUMBACNN_PARITY names another folder), so that a second run is shorter; --tidy leaves
only what is small there.

    python tools/parity.py [NETWORK …] [--keras PYTHON] [--tf-keras PYTHON] [--own-size] [--tidy]
"""

import argparse
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import weight_rule
from peer import Peer
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
SEED, PICTURES, SIZE = 5, 2, 96


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

    def job(self, **more: Any) -> dict[str, Any]:
        return {"name": self.name, "options": self.options, "folder": str(self.folder.resolve()), **more}


@dataclass(frozen=True)
class Route:
    """One way in which Keras' weights come into a model: a column of the table.

    ending: of the file that the Keras side writes for it (WRITERS in tools/keras_side.py), None if none is needed.
    load: the model with those weights.
    """

    name: str
    ending: str | None
    load: Callable[[Case], nn.Model]


def by_order(case: Case) -> nn.Model:
    """The network built here with the weights of the rule, in Keras' order; the last layer's are multiplied as Keras' are."""
    model = nn.keras_application(case.name, **case.options, seed=0)
    arrays = weight_rule.weights([(f"{h.name}/{n}", h.specs[n].shape) for h in model.layers for n in h.order()], SEED, case.name)
    model.set_weights([*arrays[:-2], *(a * np.float32(case.answer["factor"]) for a in arrays[-2:])])
    return model


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


@dataclass(frozen=True)
class Library:
    """One Keras: the Python that has it, and whether layers are called there as here (those of Keras 3 are)."""

    title: str
    python: str
    same_names: bool


def ask(case: Case, peer: Peer) -> Any:
    """A Future of Keras' answer; what it has answered before is there already."""
    endings = [r.ending for r in ROUTES if r.ending]
    if (case.folder / "answer.npz").is_file():
        refused = json.loads((case.folder / "names.json").read_text())["refused"]
        if all(e in refused or (case.folder / f"model{e}").is_file() for e in endings):
            return None
    return peer.ask(case.job(size=case.size, pictures=PICTURES, seed=SEED, files=endings))


def send_back(case: Case, peer: Peer) -> Any:
    """Write every kind of file, and let Keras open them: a Future."""
    model = by_order(case)
    for ending, write in BACK.items():
        write(model, case.folder / f"back{ending}")
    return peer.ask(case.job(back=list(BACK)))


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Greatest difference, as a share of the greatest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def names_differ(case: Case, model: nn.Model) -> int:
    """Number of layers whose names or places differ; operations, which are layers here only, and names of nested models do not count."""
    theirs = json.loads((case.folder / "names.json").read_text())["layers"]
    known = set(theirs)
    ours = [name for h in model.layers if (name := h.name.rpartition("/")[2]) in known or h.specs]
    return sum(a != b for a, b in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))


@dataclass
class Row:
    """What was found of one network: {column: error}, {column: why there is none}, and the number of layers called otherwise."""

    errors: dict[str, float]
    refused: dict[str, str]
    names: int | None = None
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return all(e <= LIMIT for column, e in self.errors.items() if column not in self.refused) and not self.names

    def texts(self, columns: list[str]) -> list[str]:
        cells = ["refused" if c in self.refused else f"{self.errors[c]:.1e}" for c in columns]
        return [*cells, "" if self.names is None else f"{self.names} differ" if self.names else "same", f"{self.seconds:.0f}"]


COLUMNS = [*(r.name for r in ROUTES), *(f"to {e}" for e in BACK), "pixels"]


def read_theirs(case: Case, same_names: bool) -> Row:
    """Our outputs with Keras' weights, by every route."""
    began, answer = time.perf_counter(), case.answer
    refused = json.loads((case.folder / "names.json").read_text())["refused"]
    row = Row({}, {r.name: refused[r.ending] for r in ROUTES if r.ending in refused})
    for route in ROUTES:
        if route.name in row.refused:
            continue
        model = route.load(case)
        row.errors[route.name] = difference(model.predict(answer["input"]), answer["output"])
        if route.load is by_order:
            row.errors["pixels"] = difference(model.preprocess.apply(case.pictures), answer["input"])
            row.names = names_differ(case, model) if same_names else None
    row.seconds = time.perf_counter() - began
    return row


def take_back(case: Case, row: Row, answer: dict[str, Any]) -> None:
    """Keras' outputs with our files, into the row."""
    outputs, expected = np.load(case.folder / "back.npz"), case.answer["output"]
    for ending in BACK:
        if ending in answer["refused"]:
            row.refused[f"to {ending}"] = answer["refused"][ending]
        else:
            row.errors[f"to {ending}"] = difference(outputs[ending], expected)
        (case.folder / f"back{ending}").unlink()
    row.seconds += answer["seconds"]


def compare(library: Library, cases: list[Case], tidy: bool) -> bool:
    """Print a table; whether all is well. While a network is compared here, Keras works on the next one."""
    began, rows = time.perf_counter(), {}
    cases[0].folder.parent.mkdir(parents=True, exist_ok=True)
    peer = Peer(library.python, cases[0].folder.parent)

    def finish(case: Case, coming: Any) -> None:
        row = rows[case.name]
        take_back(case, row, coming.result())
        print(f"{case.name}: {', '.join(f'{c} {t}' for c, t in zip([*COLUMNS, 'names', 'seconds'], row.texts(COLUMNS), strict=True))}", file=sys.stderr)
        for column, reason in row.refused.items():
            print(f"  {column}: {reason[:300]}", file=sys.stderr, flush=True)
        for file in case.folder.glob("model.*") if tidy else ():
            file.unlink()

    answers, before = ask(cases[0], peer), None
    for i, case in enumerate(cases):
        if answers:
            answers.result()
        answers = ask(cases[i + 1], peer) if i + 1 < len(cases) else None
        rows[case.name] = read_theirs(case, library.same_names)
        if before:
            finish(*before)
        before = case, send_back(case, peer)
    finish(*before)
    peer.close()
    table = Table("network", *COLUMNS, "names", "seconds", title=f"{library.title}: largest error / largest output (limit {LIMIT})")
    for name, row in rows.items():
        table.add_row(name, *row.texts(COLUMNS))
    Console(width=190).print(table)
    bad = [name for name, row in rows.items() if not row.good]
    ended = f"; above the limit or named otherwise: {', '.join(bad)}" if bad else ""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = " and ".join(f"{u.ru_utime + u.ru_stime:.0f} s of {where}" for u, where in zip(used, ("ours", "Keras'"), strict=True))
    print(f"{len(cases)} networks in {time.perf_counter() - began:.0f} s; processor time so far: {cpu}{ended}", flush=True)
    return not bad


def main() -> int:
    """Print the tables; 1 if any number is above the limit."""
    folder = Path(os.environ.get("NUMBACNN_PARITY", ROOT / "build" / "parity"))
    python = os.environ.get("NUMBACNN_KERAS", str(ROOT / ".venv-keras" / "bin" / "python"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"default: {', '.join(NETWORKS)}")
    parser.add_argument("--keras", default=python, metavar="PYTHON", help="of the environment with Keras 3 and JAX; '' leaves it out (default: %(default)s)")
    parser.add_argument("--tf-keras", default=os.environ.get("NUMBACNN_TF_KERAS", ""), metavar="PYTHON", help="of one with tf.keras 2.15")
    parser.add_argument("--own-size", action="store_true", help="pictures of the size that the network was made for")
    parser.add_argument("--tidy", action="store_true", help="remove Keras' files of a network when it has been compared")
    given = parser.parse_args()
    asked = hashlib.sha256(b"".join((ROOT / "tools" / f"{file}.py").read_bytes() for file in ("keras_side", "weight_rule"))).hexdigest()[:8]
    good = True
    for library in (Library("Keras 3", given.keras, True), Library("tf.keras 2", given.tf_keras, False)):
        if not library.python:
            print(f"{library.title} was not asked: {'NUMBACNN_KERAS' if library.same_names else 'NUMBACNN_TF_KERAS'} names no Python that has it")
            continue
        cases = []
        for name in given.networks or NETWORKS:
            side = find(name).size if given.own_size else max(SIZE, find(name).smallest)
            cases.append(Case(name, folder / library.title.replace(" ", "") / f"{name}-{side}-{asked}", {"input_shape": [side, side, 3]}))
        good &= compare(library, cases, given.tidy)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
