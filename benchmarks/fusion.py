"""What it saves to compute an elementwise layer in the pass of the convolution before it: `python benchmarks/fusion.py [part of a shape's name …] [--quick]`

Inference plans of a convolution and what stands behind it, fused and launch by launch, take turns; the shortest time of each. The Mish of a
plugin (the same two functions, written outside of the package) must take as long as the built-in one.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np
from contest.report import chosen, console, finish, geometric_mean, options, table

import numbacnn as nn
from numbacnn.backends import open_backend
from numbacnn.jit import set_threads
from numbacnn.kernels.scalar import sigmoid
from numbacnn.plan import Plan

BATCH = 8
SHAPES = {  # layer, shape of an image
    "1x1 64->128 @56": (nn.Conv2D(128, 1), (56, 56, 64)),
    "1x1 24->144 @56": (nn.Conv2D(144, 1), (56, 56, 24)),
    "depthwise 3x3 144 @56": (nn.DepthwiseConv2D(3, padding="same"), (56, 56, 144)),
    "3x3 64 @56 Winograd": (nn.Conv2D(64, 3, padding="same"), (56, 56, 64)),
    "3x3 s2 3->32 @112": (nn.Conv2D(32, 3, 2, "same"), (112, 112, 3)),
    "Dense 512->512": (nn.Dense(512), (512,)),
}
QUICK = ("1x1 64->128 @56", "depthwise 3x3 144 @56")


@dataclass(frozen=True)
class PluginMish(nn.Elementwise):
    """The built-in layer's functions, as a plugin would have them."""

    @staticmethod
    def f(x):
        e = math.exp(-abs(x))
        a = 1.0 + 2.0 * e if x >= 0.0 else e * (e + 2.0)
        b = 2.0 * e * e if x >= 0.0 else 2.0
        return x * (a / (a + b))

    @staticmethod
    def df(x):
        e = math.exp(-abs(x))
        a = 1.0 + 2.0 * e if x >= 0.0 else e * (e + 2.0)
        b = 2.0 * e * e if x >= 0.0 else 2.0
        c = 4.0 * e * (1.0 + e) * (e if x >= 0.0 else 1.0)
        w = 1.0 / (a + b)
        return a * w + x * c * w * w


@dataclass(frozen=True)
class LearnedSwish(nn.Elementwise):
    """Swish with a number a channel that learns."""

    beta = nn.PerChannel("ones")

    @staticmethod
    def f(x, beta):
        return x * sigmoid(beta * x)

    @staticmethod
    def df(x, beta):
        s = sigmoid(beta * x)
        return s * (1.0 + beta * x * (1.0 - s))

    @staticmethod
    def df_beta(x, beta):
        s = sigmoid(beta * x)
        return x * x * s * (1.0 - s)


@dataclass(frozen=True)
class Slope(nn.Elementwise):
    """PReLU with a slope a channel: next to nothing to compute."""

    alpha = nn.PerChannel()

    @staticmethod
    def f(x, alpha):
        return x if x > 0.0 else alpha * x

    @staticmethod
    def df(x, alpha):
        return 1.0 if x > 0.0 else alpha

    @staticmethod
    def df_alpha(x):
        return 0.0 if x > 0.0 else x


BEHIND = {
    "Mish": (nn.Mish(),),
    "plugin Mish": (PluginMish(),),
    "HardSwish": (nn.HardSwish(),),
    "Swish": (nn.Swish(),),
    "Swish, a beta a channel": (LearnedSwish(),),
    "a slope a channel": (Slope(),),
    "LeakyReLU, Swish with a beta": (nn.LeakyReLU(0.1), LearnedSwish()),
    "ReLU6, Swish": (nn.ReLU6(), nn.Swish()),
}


def plans(layer: nn.Layer, shape: tuple[int, ...], threads: int) -> dict[str, Plan]:
    """Of the layer alone, and of each of BEHIND fused and launch by launch; they have run once, with equal results."""
    x = np.random.default_rng(0).standard_normal((BATCH, *shape)).astype(np.float32)
    made = {}
    for name, behind in {"nothing": (), **BEHIND}.items():
        model = nn.Sequential([nn.Input(shape), *map(replace, (layer, *behind))], seed=0)
        results = []
        for how, folding in (("fused", True), ("apart", False)) if behind else (("alone", True),):
            plan = Plan(model.graph, BATCH, model.network.weights(), open_backend("cpu", threads), folding=folding)
            results.append(plan.run([x]).outputs[0])
            made[f"{name}, {how}"] = plan
        assert all(np.array_equal(results[0], y) for y in results), name
    return made


def shortest(made: dict[str, Plan], rounds: int) -> dict[str, float]:
    """Seconds of each plan: the least of all turns, every other round in the opposite order."""
    least = dict.fromkeys(made, math.inf)
    for i in range(rounds):
        for name in list(made)[:: 1 - 2 * (i % 2)]:
            plan = made[name]
            for _ in range(3):
                start = time.perf_counter()
                plan.backend.run(plan.calls)
                least[name] = min(least[name], time.perf_counter() - start)
    return least


def main() -> None:
    given = options("fusion", __doc__, rounds=40)
    set_threads(given.threads)
    rows = []
    for name, (layer, shape) in SHAPES.items():
        if not chosen(given, name) or (given.quick and not given.only and name not in QUICK):
            continue
        console.print(f"[dim]{name} …[/]")
        times = shortest(plans(layer, shape, given.threads), given.rounds)
        for behind in BEHIND:
            fused, apart = times[f"{behind}, fused"], times[f"{behind}, apart"]
            rows.append({"shape": name, "behind": behind, "alone_ms": 1e3 * times["nothing, alone"], "fused_ms": 1e3 * fused, "apart_ms": 1e3 * apart})
    shown = table(f"batch of {BATCH}, {given.threads} threads, milliseconds", ("shape", "behind it", "layer alone", "fused", "apart", "apart / fused"), left=2)
    for row in rows:
        numbers = (f"{row[key]:.3f}" for key in ("alone_ms", "fused_ms", "apart_ms"))
        shown.add_row(row["shape"], row["behind"], *numbers, f"{row['apart_ms'] / row['fused_ms']:.2f}")
    console.print(shown)
    of = {(row["shape"], row["behind"]): row for row in rows}
    shapes = dict.fromkeys(row["shape"] for row in rows)
    mean = {how: geometric_mean(of[s, "plugin Mish"][f"{how}_ms"] / of[s, "Mish"][f"{how}_ms"] for s in shapes) for how in ("fused", "apart")}
    console.print(f"a plugin's Mish takes {mean['fused']:.3f} times as long as the built-in one fused, {mean['apart']:.3f} apart (geometric means)")
    finish(given.json, None, (), rows, plugin_over_built_in=mean)


if __name__ == "__main__":
    main()
