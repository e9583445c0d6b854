"""Elementwise layers against NumPy's ufuncs for the same work: milliseconds for 3.2 million float32 values.

NUMBACNN_SERIAL=0 python benchmarks/elementwise.py [--json]

`numpy` is the shortest formula in ufuncs that is stable too; erf, which NumPy lacks, is left out of its GELU (tanh form instead).
"""

import json
import math
import sys
import time

import numpy as np

import numbacnn.layer
from numbacnn import registry
from numbacnn.jit import available_threads, set_threads

SIZE = 3_200_000


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _softplus(x):
    return np.logaddexp(x, np.float32(0))


NUMPY = {
    "ReLU": lambda x: np.maximum(x, 0),
    "LeakyReLU": lambda x: np.where(x > 0, x, x * np.float32(0.3)),
    "Sigmoid": _sigmoid,
    "Tanh": np.tanh,
    "Swish": lambda x: x * _sigmoid(x),
    "HardSwish": lambda x: x * np.clip(x / 6 + np.float32(0.5), 0, 1),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "GELU": lambda x: np.float32(0.5) * x * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x))),
    "Softplus": _softplus,
    "Mish": lambda x: x * np.tanh(_softplus(x)),
}


class Recorded:
    """A stand-in for a plan's step: launches a layer's kernels at once, on arrays."""

    dtype = np.float32

    def __init__(self, x):
        self.x, self.y, self.dy, self.dx, self.calls = x, np.empty_like(x), np.ones_like(x), np.empty_like(x), []

    def run(self, kernel, *args, out):
        args = [tuple(map(self.dtype, a)) if isinstance(a, tuple) else a for a in args]
        self.calls.append(kernel.bind(*args, out))


def best(call, repeats=15):
    """Shortest time in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def main():
    x = np.random.default_rng(0).normal(0, 2, SIZE).astype(np.float32)
    results = {}
    for name, ufuncs in NUMPY.items():
        layer = registry.layers[name]()
        assert isinstance(layer, numbacnn.layer.Elementwise)
        step = Recorded(x)
        layer.forward(step)
        layer.backward(step)
        forward, backward = step.calls
        row = {"numpy": best(lambda ufuncs=ufuncs: ufuncs(x), 7)}
        for threads in (1, available_threads()):
            set_threads(threads)
            row |= {f"forward_{threads}": best(forward), f"backward_{threads}": best(backward)}
        results[name] = {k: round(v, 2) for k, v in row.items()}
        if "--json" not in sys.argv:
            print(f"{name:12s}" + "".join(f"  {k} {v:6.2f}" for k, v in results[name].items()), flush=True)
    if "--json" in sys.argv:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
