"""Is a plugin's layer as good as a built-in one? `python benchmarks/plugin_equality.py [part of a case's name …] [--quick]`

The source files of ReLU, BatchNormalization and DepthwiseConv2D become a distribution of their own (copies/copier.py), found through its entry
points like any plugin. A network of the copies must train to the same bits as one of the built-in layers, make the same launches, and take as
long: at most 2 % more. All that differs is the compiled code, so both kinds of kernels are timed on the same arrays, by turns: where in memory a plan's
arrays lie makes more difference (up to 13 % here) than is asked about. A second binding of the built-in kernels takes turns with
them, and says how far equal code is apart on this machine. While these two differ by more than 1 %, all go on, up to four times the rounds.
"""

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from contest.contestant import HERE
from contest.report import chosen, console, finish, geometric_mean, options, table
from copies import copier
from copies.network import inverted_residual, kit, model, network, trained

import numbacnn as nn
from numbacnn.functional import Symbol
from numbacnn.jit import set_threads
from numbacnn.plan import Plan
from numbacnn.plan.buffer import Buffer

BATCH, CLASSES = 8, 10
GOAL = 1.02  # times the built-in layers' time
AGREED = 0.01  # how far apart two bindings of the same kernels may be
MAKES = 4  # times that the plans are made anew, each time in other places of memory
TURN = 0.02  # seconds
SIDES = {"built-in": "", "copy": copier.PREFIX, "again": ""}


@dataclass(frozen=True)
class Case:
    """What stands behind the input; with `logits` a step of training ends with a loss and an update, else it is given the outputs' gradient."""

    shape: tuple[int, int, int]
    body: Callable[[SimpleNamespace, Symbol], Symbol]
    logits: bool = False
    quick: bool = False


def normalized(of: SimpleNamespace, x: Symbol, top: float | None) -> Symbol:
    return of.ReLU(max_value=top, name="relu")(of.BatchNormalization(name="normalization")(x))


CASES = {
    "ReLU 64 @56": Case((56, 56, 64), lambda of, x: of.ReLU(name="relu")(x), quick=True),
    "BatchNormalization 64 @56": Case((56, 56, 64), lambda of, x: of.BatchNormalization(name="normalization")(x), quick=True),
    "depthwise 3x3 144 @56": Case((56, 56, 144), lambda of, x: of.DepthwiseConv2D(3, padding="same", name="depthwise")(x), quick=True),
    "1x1 64->128 @56, ReLU": Case((56, 56, 64), lambda of, x: of.ReLU(name="relu")(nn.Conv2D(128, 1, name="product")(x))),
    "1x1 64->128 @56, leaky ReLU": Case((56, 56, 64), lambda of, x: of.ReLU(negative_slope=0.1, name="relu")(nn.Conv2D(128, 1, name="product")(x))),
    "3x3 64 @56, normalized, ReLU": Case((56, 56, 64), lambda of, x: normalized(of, nn.Conv2D(64, 3, padding="same", name="convolution")(x), None)),
    "depthwise 5x5 s2 96 @56, normalized, ReLU6": Case(
        (56, 56, 96), lambda of, x: normalized(of, of.DepthwiseConv2D(5, 2, "same", use_bias=False, name="depthwise")(x), 6.0)
    ),
    "inverted residual 24->144->24 @56": Case((56, 56, 24), lambda of, x: inverted_residual(of, x, 144, 24, 1, "block"), quick=True),
    "network 32 @56": Case((56, 56, 32), lambda of, x: network(of, x, 32, CLASSES), logits=True, quick=True),
}
MODES = {  # training, folding
    "at rest, fused": (False, True),
    "at rest, unfused": (False, False),
    "training, fused": (True, True),
    "training, unfused": (True, False),
}


class Side:
    """A plan of a case that has run once. `shown`: what it computed, by name."""

    def __init__(self, case: Case, prefix: str, training: bool, folding: bool, threads: int):
        made = model(kit(prefix), case.shape, case.body, jitter=0.3)
        made.compile(nn.SGD(1e-3, momentum=0.9), "cross_entropy" if case.logits else "mse", device="cpu", threads=threads)
        random = np.random.default_rng(5)
        x = random.standard_normal((BATCH, *case.shape)).astype(np.float32)
        plan_options = {"folding": folding, "input_gradients": True}
        given: dict = {}
        if training:
            plan_options |= {"training": True}
            given["shares"] = [random.standard_normal((BATCH, *made.graph.shapes()[made.graph.outputs[0]])).astype(np.float32)]
        if training and case.logits:
            made.session.prepare()
            plan_options |= {"losses": made.session.losses, "optimizer": made.session.optimizer, "flat": made.session.flat}
            given["shares"] = [np.full(BATCH, 1 / BATCH, np.float32)]
            given["targets"] = [np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]]
            given["rates"] = [made.session.optimizer.rates(1e-3, 1)]
        self.model = made  # its weights are the plan's
        self.plan: Plan = made.network.make([x.shape], {}, **plan_options)
        result = self.plan.run([x], **given)
        self.shown = {f"output {i}": y for i, y in enumerate(result.outputs)}
        self.shown |= {f"weight {path}": w.copy() for path, w in made.network.weights().items()}
        if training and not case.logits:
            self.shown |= {f"gradient {path}": self.plan.weight_gradient(path) for path in self.plan.trace.weight_gradients}
            self.shown["gradient by the input"] = self.plan.input_gradient("x")

    def launches(self) -> list[tuple[str, int]]:
        """Who notes each launch, and of how many it does the work."""
        return [(launch.node, len(launch.joined)) for launch in (*self.plan.prologue, *self.plan.launches)]

    def on(self, place: "Side") -> list[Callable[[], None]]:
        """This plan's kernels, bound to the arrays of another that makes the same launches."""
        pairs = zip(self.plan.launches, place.plan.launches, strict=True)
        return [self.plan.backend.bind(mine.kernel, [a.real() if isinstance(a, Buffer) else a for a in (*its.args, *its.out)]) for mine, its in pairs]

    def turn(self, calls: list[Callable[[], None]]) -> np.ndarray:
        """Each launch's shortest time in some runs of all, in seconds: what disturbs a run disturbs a few of its launches."""
        least, end = np.full(len(calls), np.inf), time.perf_counter() + TURN
        while time.perf_counter() < end:
            for i, call in enumerate(calls):
                start = time.perf_counter()
                self.plan.backend.run((call,))
                least[i] = min(least[i], time.perf_counter() - start)
        return least


def compare(case: Case, training: bool, folding: bool, threads: int, rounds: int) -> dict:
    """The sums of all launches' shortest times, every other round in the opposite order; all sides have computed the same bits by as many launches."""
    least: dict[str, np.ndarray] = {}
    held = 0
    while held < rounds or (held < 4 * rounds and abs(least["again"].sum() / least["built-in"].sum() - 1) > AGREED):
        sides = {name: Side(case, prefix, training, folding, threads) for name, prefix in SIDES.items()}
        place, *others = sides.values()
        for other in others:
            if other.launches() != place.launches():
                sys.exit(f"the launches differ: {place.launches()} and {other.launches()}")
            if wrong := [n for n in place.shown if not np.array_equal(place.shown[n], other.shown[n])] or place.shown.keys() ^ other.shown.keys():
                sys.exit(f"the bits differ: {wrong}")
        calls = {name: side.on(place) for name, side in sides.items()}
        for bound in calls.values():
            place.turn(bound)  # warms up
        gc.disable()
        for _ in range(max(1, rounds // MAKES)):
            start = held % len(SIDES)
            for name in [*SIDES, *SIDES][start : start + len(SIDES)][:: 1 - 2 * (held % 2)]:
                least[name] = np.minimum(least.get(name, np.inf), place.turn(calls[name]))
            held += 1
        gc.enable()
    times = {f"{name.replace('-', '_')}_ms": 1e3 * float(seconds.sum()) for name, seconds in least.items()}
    return {"launches": len(least["again"]), "rounds": held, **times}


def train(threads: int, epochs: int) -> dict:
    """Both networks trained alike; equal weights and losses, or the benchmark ends."""
    console.print("[dim]training …[/]")
    (ours, losses), (theirs, others) = (trained(kit(prefix), (16, 16, 16), 16, 4, epochs, threads) for prefix in ("", copier.PREFIX))
    wrong = [path for (path, w), other in zip(ours.network.weights().items(), theirs.network.weights().values(), strict=True) if not np.array_equal(w, other)]
    if wrong or losses != others:
        sys.exit(f"trained with copies, these weights differ: {', '.join(wrong)}; losses {losses[-1]} and {others[-1]}")
    steps, weights = epochs * 4, ours.count_params()
    console.print(f"{steps} steps of training, loss {losses[0]:.3f} → {losses[-1]:.3f}: all {weights} weights have the same bits")
    return {"steps": steps, "weights": weights, "first_loss": losses[0], "last_loss": losses[-1], "same_bits": True}


def main() -> None:
    given = options("plugin_equality", __doc__, rounds=40)
    set_threads(given.threads)
    with copier.installed(HERE.parent / "build" / "plugin_equality"):  # always there: compiled kernels are kept by a file's place, too
        learned = train(given.threads, 5 if given.quick else 25)
        rows = []
        for name, case in CASES.items():
            if not chosen(given, name) or (given.quick and not given.only and not case.quick):
                continue
            console.print(f"[dim]{name} …[/]")
            for mode, (training, folding) in MODES.items():
                rows.append({"case": name, "mode": mode, **compare(case, training, folding, given.threads, given.rounds)})
    for row in rows:
        row["ratio"], row["noise"] = row["copy_ms"] / row["built_in_ms"], row["again_ms"] / row["built_in_ms"]
    title = f"batch of {BATCH}, {given.threads} threads, milliseconds; again: a second binding of built-in kernels"
    shown = table(title, ("case", "mode", "launches", "built-in", "copy", "copy / built-in", "again / built-in"), left=2)
    for row in rows:
        color = "green" if row["ratio"] <= GOAL else "red"
        ratio = f"[{color}]{row['ratio']:.3f}[/]"
        shown.add_row(row["case"], row["mode"], str(row["launches"]), f"{row['built_in_ms']:.3f}", f"{row['copy_ms']:.3f}", ratio, f"{row['noise']:.3f}")
    console.print(shown)
    worst, mean = max(row["ratio"] for row in rows), geometric_mean(row["ratio"] for row in rows)
    noise = max(max(row["noise"], 1 / row["noise"]) for row in rows)
    console.print(f"copies take {mean:.3f} times as long as the built-in layers (geometric mean), at most {worst:.3f}; equal code differs by up to {noise:.3f}")
    finish(given.json, None, (), rows, training=learned, goal=GOAL, worst=worst, mean=mean, noise=noise, within=worst <= GOAL)


if __name__ == "__main__":
    main()
