"""Milliseconds of normalization and pooling kernels, forward and backward, against NumPy: python benchmarks/normalization.py"""

import time
from types import SimpleNamespace

import numpy as np

from numbacnn import jit
from numbacnn.layers.average_pooling2d import AveragePooling2D
from numbacnn.layers.batch_normalization import BatchNormalization
from numbacnn.layers.global_average_pooling2d import GlobalAveragePooling2D
from numbacnn.layers.global_max_pooling2d import GlobalMaxPooling2D
from numbacnn.layers.group_normalization import GroupNormalization
from numbacnn.layers.layer_normalization import LayerNormalization
from numbacnn.layers.max_pooling2d import MaxPooling2D
from numbacnn.layers.rescaling import Rescaling

REPEATS = 15


class Bound:
    """Arrays for a step's promises; `calls` are what a plan would replay."""

    def __init__(self, layer, x):
        self.x, self.batch, self.dtype, self.shape = x, len(x), np.float32, layer.output_shape(x.shape[1:])
        self.clamp, self.calls, self.padding = (-np.inf, np.inf), [], ((0, 0), (0, 0))
        self.residual = self.dresidual = self.x_moments = None  # nothing is folded into the layer
        self.y, self.dy, self.dx = self.new(len(x), *self.shape), self.new(len(x), *self.shape), self.like(x)
        arrays = {n: self.new(*w.shape) for n, w in layer.weights(x.shape[1:]).items()}
        self.w, self.dw = SimpleNamespace(**arrays), SimpleNamespace(**{n: self.like(a) for n, a in arrays.items()})

    def new(self, *shape, dtype=np.float32):
        return np.ones(shape, dtype)

    def like(self, b):
        return np.ones_like(b)

    def constant(self, array):
        return np.array(array, np.float32)

    def run(self, kernel, *args, out):
        out = out if isinstance(out, tuple) else (out,)
        self.calls.append(kernel.bind(*(np.float32(a) if isinstance(a, float) else a for a in args), *out))
        return out[0]


def milliseconds(calls):
    """Best of some repetitions: other programs on the machine only ever add time."""
    best = np.inf
    for _ in range(REPEATS):
        start = time.perf_counter()
        for call in calls:
            call()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def batch_norm_numpy(x, gamma=1.0, beta=0.0):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def batch_norm_backward_numpy(x, dy, inverse=1.0, mean=0.0):
    places = x.size // x.shape[-1]
    normal = (x - mean) * inverse
    dbeta, dgamma = dy.sum((0, 1, 2)), (dy * normal).sum((0, 1, 2))
    return inverse * (dy - dbeta / places - normal * dgamma / places)


def max_pooling_numpy(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def main():
    generator = np.random.default_rng(0)
    cases = [
        (BatchNormalization(), (16, 56, 56, 64), batch_norm_numpy, batch_norm_backward_numpy),
        (BatchNormalization(), (16, 7, 7, 1280), batch_norm_numpy, batch_norm_backward_numpy),
        (BatchNormalization(), (16, 112, 112, 3), batch_norm_numpy, batch_norm_backward_numpy),
        (BatchNormalization(), (1, 56, 56, 64), batch_norm_numpy, None),
        (BatchNormalization().inference(), (16, 56, 56, 64), lambda x: x * np.float32(2) + np.float32(1), lambda x, dy: dy * np.float32(2)),
        (GroupNormalization(), (16, 56, 56, 64), None, None),
        (LayerNormalization(), (16, 56, 56, 64), lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3), None),
        (Rescaling(1 / 255), (16, 224, 224, 3), lambda x: x * np.float32(1 / 255), lambda x, dy: dy * np.float32(1 / 255)),
        (MaxPooling2D(), (16, 56, 56, 64), max_pooling_numpy, None),
        (MaxPooling2D(3, strides=2, padding="same"), (16, 112, 112, 64), None, None),
        (MaxPooling2D(), (64, 28, 28, 1), max_pooling_numpy, None),
        (AveragePooling2D(), (16, 56, 56, 64), None, None),
        (GlobalAveragePooling2D(), (16, 56, 56, 64), lambda x: x.mean((1, 2)), None),
        (GlobalAveragePooling2D(), (16, 7, 7, 1280), lambda x: x.mean((1, 2)), None),
        (GlobalMaxPooling2D(), (16, 56, 56, 64), lambda x: x.max((1, 2)), None),
    ]
    print(f"{jit.set_threads()} threads\n{'layer':32}{'shape':18}{'forward':>9}{'NumPy':>9}{'backward':>10}{'NumPy':>9}   ms")
    for layer, shape, forward, backward in cases:
        step = Bound(layer, generator.standard_normal(shape, np.float32))
        kept = layer.forward(step) or ()
        times = [milliseconds(step.calls), milliseconds([lambda s=step, f=forward: f(s.x)]) if forward else np.nan]
        step.calls.clear()
        layer.backward(step, *kept)
        times += [milliseconds(step.calls), milliseconds([lambda s=step, f=backward: f(s.x, s.dy)]) if backward else np.nan]
        print(f"{type(layer).__name__:32}{'x'.join(map(str, shape)):18}{times[0]:9.3f}{times[1]:9.2f}{times[2]:10.3f}{times[3]:9.2f}", flush=True)


if __name__ == "__main__":
    main()
