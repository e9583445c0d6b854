"""Speed of a convolution layer: forward, gradient by data and gradient by weights, in GFLOP/s.

`python benchmarks/convolution.py [part of a shape's name …]` prints a table, then the same as JSON. Single precision, packing
included, all threads that this process may use; best and median of the runs.
"""

import json
import sys
import time

import numpy as np

from numbacnn import jit
from numbacnn.graph import Node
from numbacnn.layers.conv2d import Conv2D
from numbacnn.plan.buffer import Buffer
from numbacnn.plan.step import Recorder, Step

SHAPES = {  # batch, size, input channels, layer
    "3x3 64->64 @56": (16, 56, 64, Conv2D(64, 3, padding="same")),
    "3x3 128->128 @28": (16, 28, 128, Conv2D(128, 3, padding="same")),
    "3x3 256->256 @14": (16, 14, 256, Conv2D(256, 3, padding="same")),
    "3x3 512->512 @7": (16, 7, 512, Conv2D(512, 3, padding="same")),
    "stem 7x7 s2 3->64 @224": (4, 224, 3, Conv2D(64, 7, 2, padding="same")),
    "1x1 64->256 @56": (16, 56, 64, Conv2D(256, 1)),
    "3x3 s2 64->128 @56": (16, 56, 64, Conv2D(128, 3, 2, padding="same")),
    "3x3 1->32 @28": (64, 28, 1, Conv2D(32, 3, padding="same")),
}
RUNS = 7


def launches(batch: int, size: int, channels: int, layer: Conv2D) -> tuple[str, float, dict[str, list]]:
    """(algorithm, GFLOP of one pass, bound launches of each pass)."""
    rng, shape = np.random.default_rng(0), (size, size, channels)
    out = layer.output_shape(shape)
    weights = {name: Buffer(w.shape, "f4", name, "persistent") for name, w in layer.weights(shape).items()}
    gradients = {name: Buffer(w.shape, "f4", f"gradient of {name}") for name, w in layer.weights(shape).items()}
    recorder = Recorder(batch, np.float32, jit.available_threads())
    step = Step(recorder, Node("c", layer), [Buffer((batch, *shape), "f4")], out, weights.__getitem__, gradients.__getitem__, list(weights))
    kept = layer.forward(step)
    step.dy = Buffer((batch, *out), "f4")
    noted = {"forward": list(recorder.launches)}
    layer.backward(step, *kept)
    later = recorder.launches[len(noted["forward"]) :]
    first = next(i for i, launch in enumerate(later) if step.dx.root in launch.writes) + 1
    noted |= {"data": later[:first], "weights": later[first:]}
    arrays: dict[Buffer, np.ndarray] = {}

    def real(value):
        if not isinstance(value, Buffer):
            return value
        root = value.root
        if root not in arrays:
            arrays[root] = root.array if root.kind == "constant" else rng.normal(size=root.shape).astype(root.dtype)
        return arrays[root].reshape(-1)[value.offset : value.offset + value.size].reshape(value.shape)

    bound = {name: [launch.kernel.bind(*map(real, (*launch.args, *launch.out))) for launch in todo] for name, todo in noted.items()}
    work = 2e-9 * batch * out[0] * out[1] * out[2] * np.prod(step.w.kernel.shape[:3])
    return recorder.choices[0].name, work, bound


def seconds(calls: list) -> list[float]:
    """Sorted times of one pass, after a first untimed one."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        for call in calls:
            call()
        times.append(time.perf_counter() - start)
    return sorted(times[1:])


def main(parts: list[str]) -> None:
    print(f"{jit.set_threads()} threads, best / median GFLOP/s")
    rows = []
    for name, (batch, size, channels, layer) in SHAPES.items():
        if parts and not any(part in name for part in parts):
            continue
        algorithm, work, bound = launches(batch, size, channels, layer)
        row = {"shape": name, "batch": batch, "algorithm": algorithm}
        for which, calls in bound.items():
            times = seconds(calls)
            row[which] = {"best": round(work / times[0], 1), "median": round(work / times[len(times) // 2], 1)}
        cells = " | ".join(f"{which} {row[which]['best']:6.1f} / {row[which]['median']:6.1f}" for which in bound)
        print(f"{name:24}{algorithm:30}{cells}", flush=True)
        rows.append(row)
    print(f"compiling: {jit.statistics.compiled} kernels, {jit.statistics.seconds:.1f} s (loaded from the cache: {jit.statistics.loaded})")
    print(json.dumps(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
