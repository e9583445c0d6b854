"""Is any layer slower than its naive NumPy oracle, or an elementwise layer than a NumPy ufunc over the same numbers?

python benchmarks/layers.py [LAYER …]      a table; the last line is JSON. Both run in turn, the best of several counts.
"""

import json
import platform
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import reference

from numbacnn import registry, testing
from numbacnn.layer import Elementwise

BATCH, SIDE = 8, 56


def larger(shape: tuple) -> tuple:
    """The example's shape at a size where time goes into the work."""
    return (SIDE, SIDE, shape[2]) if len(shape) == 3 and min(shape[:2]) > 1 else shape


def best(first, second, rounds: int = 7) -> tuple[float, float]:
    """Shortest times of two functions that run in turn."""
    times = ([], [])
    for _ in range(rounds):
        for function, found in zip((first, second), times, strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
            if sum(found) > 3:
                return min(times[0]), min(times[1] or times[0])
    return min(times[0]), min(times[1])


def measure(layer, shapes: tuple) -> tuple:
    generator = np.random.default_rng(0)
    weights = testing.draw_weights(layer, shapes, generator, np.float32)
    xs = [x.astype(np.float32) for x in testing.draw_inputs(shapes, BATCH, generator)]
    plan = testing.plan_of(layer, shapes, BATCH, weights)
    plan.run(xs)
    if not plan.calls:
        return None, None, None
    given = {k.partition("/")[2]: v for k, v in weights.items()}
    oracle = getattr(reference, type(layer).__name__)
    peer, against = (lambda: oracle(layer, given, *xs)), "oracle"
    if isinstance(layer, Elementwise):
        y = np.empty_like(xs[0])
        peer, against = (lambda: np.tanh(xs[0], out=y) if type(layer).clamp is None else np.maximum(xs[0], 0, out=y)), "ufunc"
    return *best(lambda: plan.backend.run(plan.calls), peer), against


def main() -> None:
    rows = []
    classes = sorted({registry.layers[n] for n in sys.argv[1:] or registry.layers} - {registry.layers["Input"]}, key=lambda c: c.__name__)
    print(f"{'layer':24} {'shape':>14} {'ours ms':>9} {'peer ms':>9} {'times':>7}  peer")
    for cls in classes:
        layer, *shapes = max(cls.examples(), key=lambda example: np.prod(example[1]))
        try:
            layer.output_shape(*map(larger, shapes))
            shapes = tuple(map(larger, shapes))
        except ValueError:
            pass  # the example only fits its own size
        ours, peer, against = measure(layer, tuple(shapes))
        if ours is None:
            print(f"{cls.__name__:24} has no launch of its own at inference")
            continue
        rows.append({"layer": cls.__name__, "shape": shapes[0], "ours_ms": ours * 1e3, "peer_ms": peer * 1e3, "against": against})
        print(f"{cls.__name__:24} {'x'.join(map(str, shapes[0])):>14} {ours * 1e3:9.3f} {peer * 1e3:9.3f} {peer / ours:7.1f}  {against}", flush=True)
    slower = [r["layer"] for r in rows if r["ours_ms"] > r["peer_ms"]]
    print("slower:", ", ".join(slower) or "none")
    print(json.dumps({"machine": platform.processor() or platform.machine(), "rows": rows}))


if __name__ == "__main__":
    main()
