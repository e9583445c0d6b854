"""Matrix products beside NumPy's, depthwise convolutions beside a copy of their input.

    python benchmarks/dense_depthwise.py [results.json]

Best of several runs, in ms and GFLOP/s. NumPy's BLAS gets as many threads as our kernels (NUMBA_NUM_THREADS); both keep their threads
spinning for a while, so neither is measured while the other's still spin.
"""

import json
import os
import sys
import time

THREADS = os.environ.setdefault("NUMBA_NUM_THREADS", str(len(os.sched_getaffinity(0))))
for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", THREADS)

import numpy as np  # noqa: E402  after the threads are set

from numbacnn import jit  # noqa: E402
from numbacnn.kernels import depthwise, depthwise_weights, gemm  # noqa: E402
from numbacnn.kernels.padding import borders, output_size  # noqa: E402

PRODUCTS = [(1, 512, 10), (1, 1280, 1000), (1, 4096, 4096), (16, 1280, 1000), (16, 4096, 4096), (64, 1280, 1000), (64, 4096, 4096)]
PRODUCTS += [(50176, 64, 64), (50176, 24, 144), (50176, 64, 256), (12544, 192, 32), (3136, 512, 512), (784, 960, 320), (512, 512, 512), (1024, 1024, 1024)]
CONVOLUTIONS = [(16, 56, 96, 3, 1), (16, 28, 240, 5, 1), (16, 112, 96, 3, 2), (16, 14, 384, 3, 1), (16, 112, 32, 3, 1), (1, 56, 96, 3, 1)]
CONVOLUTIONS += [(16, 56, 144, 3, 1), (16, 56, 144, 5, 2), (16, 14, 672, 5, 1), (16, 7, 1152, 5, 1)]


def best(function, repeats: int = 7) -> float:
    """Milliseconds of the fastest run."""
    times = []
    for _ in range(3):
        time.sleep(0.1)
        function()
        for _ in range(repeats):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return min(times) * 1e3


class Step:
    """What gemm's functions see, with arrays in place of promises."""

    dtype, affine, clamp = np.float32, None, (-np.inf, np.inf)

    def __init__(self):
        self.launches = []

    def new(self, *shape):
        return np.zeros(shape, self.dtype)

    def constant(self, array):
        return np.asarray(array, self.dtype)

    def run(self, kernel, *args, out):
        args = [self.dtype(a) if isinstance(a, float) else a for a in args]
        self.launches.append((kernel.__name__, kernel.bind(*args, *(out if isinstance(out, tuple) else (out,)))))

    def times(self) -> dict[str, float]:
        times = {name: best(launch) for name, launch in self.launches}
        self.launches = []
        return times


def product(rows: int, k: int, n: int) -> dict:
    draw, step = np.random.default_rng(0).standard_normal, Step()
    x, w, dy = (draw(s, dtype=np.float32) for s in ((rows, k), (k, n), (rows, n)))
    y, dx, dw, bias, dbias = step.new(rows, n), step.new(rows, k), step.new(k, n), step.new(n), step.new(n)
    found = {"shape": (rows, k, n)}
    gemm.forward(step, x, w, bias, y)
    found["forward"] = step.times()
    gemm.data_gradient(step, dy, w, dx)
    found["data"] = step.times()
    gemm.weight_gradient(step, x, dy, dw, dbias)
    found["weights"] = step.times()
    found["numpy"] = [best(lambda: np.dot(x, w, out=y)), best(lambda: np.dot(dy, w.T, out=dx)), best(lambda: np.dot(x.T, dy, out=dw))]
    for part, numpy in zip(("forward", "data", "weights"), found["numpy"], strict=True):
        times, work = found[part], 2e-6 * rows * k * n
        packing = sum(t for name, t in times.items() if name in ("pack", "transpose"))
        ours = sum(times.values()) - packing
        name = f"{rows:6d} x {k:4d} x {n:4d} {part:8s}"
        print(f"{name} {ours:8.3f} ms {work / ours:6.1f} GF/s  packing {packing:7.3f} ms  numpy {numpy:8.3f} ms {work / numpy:6.1f} GF/s")
    return found


def convolution(n: int, size: int, channels: int, k: int, stride: int) -> dict:
    draw = np.random.default_rng(0).standard_normal
    low, out, free = borders(size, k, stride, 1, "same")[0], output_size(size, k, stride, 1, "same"), (np.float32(-np.inf), np.float32(np.inf))
    x, dy, w = (draw(s, dtype=np.float32) for s in ((n, size, size, channels), (n, out, out, channels), (k * k, channels)))
    y, dx, dw, bias, dbias = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(w), np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    residual, unwanted = np.zeros((0, 0, 0, 0), np.float32), np.zeros((0, 3, channels), np.float32)
    band, band_back = depthwise.band_rows(x.shape, y.shape, 4), depthwise.band_rows(y.shape, x.shape, 4)
    moments = np.zeros((n * -(-out // band), 3, channels), np.float32)
    part = np.zeros(depthwise_weights.parts_shape(dy.shape, k * k, np.float32), np.float32)
    line, back = depthwise.axis(stride, 1, low), depthwise.axis_back(stride, 1, low)
    found = {
        "shape": (n, size, size, channels, k, stride),
        "forward": best(depthwise.depthwise.bind(x, w, bias, residual, *free, (k, k), line, line, band, y, unwanted)),
        "with moments": best(depthwise.depthwise.bind(x, w, bias, residual, *free, (k, k), line, line, band, y, moments)),
        "data": best(depthwise.depthwise.bind(dy, w, bias, residual, *free, (k, k), back, back, band_back, dx, unwanted)),
        "weights": best(depthwise_weights.depthwise_weights.bind(x, dy, (k, k), line, line, part)),
        "sum of parts": best(depthwise_weights.add_parts.bind(part, dw, dbias)),
        "copy": best(lambda: np.copyto(dx, x)),
    }
    times = "  ".join(f"{name} {found[name]:6.2f} ms" for name in list(found)[1:])
    print(f"depthwise {k}x{k} stride {stride}, {channels} channels @{size}, batch {n}: {times}  forward {2e-6 * y.size * k * k / found['forward']:.0f} GF/s")
    return found


def main() -> None:
    threads = jit.set_threads(int(THREADS))
    print(f"{threads} threads, compiled {'serial' if jit.SERIAL else 'parallel'}")
    results = {"threads": threads, "products": [product(*s) for s in PRODUCTS], "convolutions": [convolution(*s) for s in CONVOLUTIONS]}
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
