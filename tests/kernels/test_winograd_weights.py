"""Winograd's gradient by the weights against the plain sum: odd shapes, every edge, both orders, accuracy, any number of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest

from numbacnn import jit
from numbacnn.convolutions import Convolution
from numbacnn.convolutions.winograd_weights import DeepWeights, EarlyWeights
from numbacnn.kernels.tile import M, V, lanes
from numbacnn.kernels.winograd_weights import BLOCK
from numbacnn.plan.buffer import Buffer
from numbacnn.plan.step import Recorder


class Step:
    """What a candidate needs of a step: its launches run at once, each output in the middle of NaN."""

    def __init__(self, dtype):
        self.dtype, self.memory = np.dtype(dtype).type, []

    def new(self, *shape):
        memory = np.full(np.prod(shape) + 64, np.nan, self.dtype)
        self.memory.append(memory)
        return memory[32:-32].reshape(shape)

    def workspace(self, *shape):
        return self.new(8, *shape)

    def run(self, kernel, *inputs, out):
        out = out if isinstance(out, tuple) else (out,)
        kernel(*inputs, *out)
        return out[0]

    def untouched(self):
        return all(np.isnan(m[:32]).all() and np.isnan(m[-32:]).all() for m in self.memory)


def gradient(candidate, x, dy, low):
    step = Step(x.dtype)
    kernel, bias = step.new(candidate.side, candidate.side, x.shape[3], dy.shape[3]), step.new(dy.shape[3])
    problem = Convolution(len(x), x.shape[1:], dy.shape[1:], kernel.shape[:2], low=low, dtype=str(x.dtype))
    candidate.note(step, problem, x, dy, kernel, bias)
    assert step.untouched()
    return kernel, bias


def plain(x, dy, low, side):
    """The sum over all pixels, in float64; what lies outside of x is zero."""
    (_, h, w, _), (_, rows, columns, _) = x.shape, dy.shape
    padded = np.pad(x.astype(float), ((0, 0), (low[0], max(0, rows + side - 1 - h - low[0])), (low[1], max(0, columns + side - 1 - w - low[1])), (0, 0)))
    taps = [[np.einsum("nijc,nijo->co", padded[:, a : a + rows, b : b + columns], dy) for b in range(side)] for a in range(side)]
    return np.array(taps), dy.sum((0, 1, 2), dtype=float)


def relative(a, b):
    return np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2))


SHAPES = [  # batch, height and width of dy (x is a column wider), rows and columns of zeros before x, channels, outputs
    (1, 1, 1, (1, 1), 1, 1),
    (2, 5, 7, (1, 1), 3, 17),
    (1, 4, 9, (0, 0), 17, 5),
    (3, 6, 3, (0, 2), 8, 33),
    (1, 2, 2, (2, 1), 13, 8),
]


@pytest.mark.parametrize("order", [EarlyWeights, DeepWeights])
@pytest.mark.parametrize(("side", "dtype", "tolerance"), [(3, "f4", 1e-5), (3, "f8", 1e-14), (5, "f4", 1e-5)])
def test_any_shape(side, dtype, tolerance, order):
    rng = np.random.default_rng(0)
    for n, h, w, low, channels, outputs in SHAPES:
        x, dy = rng.normal(size=(n, h, w + 1, channels)).astype(dtype), rng.normal(size=(n, h, w, outputs)).astype(dtype)
        results = gradient(order(side), x, dy, low), plain(x, dy, low, side)
        for result, expected in zip(*results, strict=True):
            assert relative(result, expected) < tolerance, (n, h, w, low, channels, outputs)


@pytest.mark.skipif(jit.INTERPRETED, reason="too long without a compiler")
@pytest.mark.parametrize("order", [EarlyWeights, DeepWeights])
def test_several_passes_jobs_and_blocks_stay_accurate(order):
    """More tiles than a pass has, more channels than a job owns; values that don't cancel show how sums lose digits."""
    rng = np.random.default_rng(1)
    channels, outputs = 8 * M + 5, 9 * V * lanes(np.float32) + 3
    x, dy = (rng.normal(0.5, 1, (17, 23, 22, c)).astype("f4") for c in (channels, outputs))
    assert 4 * BLOCK < 17 * 6 * 6
    (kernel, bias), (expected_kernel, expected_bias) = gradient(order(3), x, dy, (1, 1)), plain(x, dy, (1, 1), 3)
    assert relative(kernel, expected_kernel) < 1e-5
    assert relative(bias, expected_bias) < 1e-6


def test_nan_stays_in_its_channels():
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=(1, 6, 6, 11)), rng.normal(size=(1, 6, 6, 7))
    x[0, 2, 2, 10] = dy[0, 1, 1, 3] = np.nan
    kernel, bias = gradient(EarlyWeights(3), x, dy, (1, 1))
    assert np.isnan(kernel[:, :, 10]).all() and np.isnan(kernel[:, :, :, 3]).all() and np.isnan(bias[3])
    assert np.isfinite(np.delete(kernel[:, :, :10], 3, 3)).all() and np.isfinite(np.delete(bias, 3)).all()


@pytest.mark.parametrize(
    ("changes", "early", "deep"),
    [
        ({}, None, "products of 0.6 MB stay in the cache"),
        ({"kernel_size": (5, 5)}, "kernel of 5 x 5", "kernel of 5 x 5"),
        ({"strides": (2, 2)}, "strides=(2, 2), dilation=(1, 1)", "strides=(2, 2), dilation=(1, 1)"),
        ({"groups": 2}, "groups=2", "groups=2"),
        ({"image": (56, 56, 3)}, "transforms of 3 + 64 channels cost more than they save", "transforms of 3 + 64 channels cost more than they save"),
        ({"batch": 1, "result": (8, 8, 64)}, "only 4 tiles", "only 4 tiles"),
        ({"batch": 99, "result": (2, 2, 64)}, "tiles of 4 x 4 stand out of images of 2 x 2", "tiles of 4 x 4 stand out of images of 2 x 2"),
        ({"batch": 16, "image": (7, 7, 512), "result": (7, 7, 512)}, None, None),
        ({"batch": 99, "image": (7, 7, 512), "result": (7, 7, 512)}, None, "transformed tiles of 57 MB don't stay in the cache"),
    ],
)
def test_supports(changes, early, deep):
    problem = Convolution(**{"batch": 16, "image": (56, 56, 64), "result": (56, 56, 64), "kernel_size": (3, 3), "low": (1, 1)} | changes)
    assert EarlyWeights(3).supports(problem) == early
    if deep is None or "MB" not in deep:
        assert DeepWeights(3).supports(problem) == deep
    else:  # sizes depend on the CPU's vectors
        assert DeepWeights(3).supports(problem).endswith(deep.split("MB")[1])


@pytest.mark.parametrize("candidate", [EarlyWeights(3), DeepWeights(3), EarlyWeights(5)], ids=lambda c: c.name)
def test_noted_launches_keep_the_one_rule(candidate):
    """A plan's recorder refuses buffers that are written twice."""
    recorder = Recorder(16, np.float32, 2)

    class Noted:
        dtype = np.float32

        def new(self, *shape):
            return Buffer(shape, np.float32)

        def workspace(self, *shape):
            return Buffer((2, *shape), np.float32, kind="workspace")

        def run(self, kernel, *inputs, out):
            return recorder.run("c", kernel, inputs, out)

    problem = Convolution(16, (14, 14, 64), (14, 14, 64), (candidate.side,) * 2, low=(candidate.side // 2,) * 2)
    images = Buffer((16, 14, 14, 64), np.float32)
    kernel, bias = Buffer((candidate.side, candidate.side, 64, 64), np.float32), Buffer((64,), np.float32)
    candidate.note(Noted(), problem, images, images, kernel, bias)
    assert [set(launch.out) for launch in recorder.launches][-1] == {kernel, bias}


THREADS = """
import hashlib, numba, numpy as np
from numbacnn.convolutions import Convolution
from numbacnn.convolutions.winograd_weights import DeepWeights, EarlyWeights
class Step:
    dtype = np.float32
    def new(self, *shape): return np.full(shape, np.nan, "f4")
    def workspace(self, *shape): return self.new(2, *shape)
    def run(self, kernel, *inputs, out):
        out = out if isinstance(out, tuple) else (out,)
        kernel(*inputs, *out)
        return out[0]
rng = np.random.default_rng(0)
x, dy = rng.normal(size=(5, 31, 33, 59)).astype("f4"), rng.normal(size=(5, 31, 33, 40)).astype("f4")
problem = Convolution(5, x.shape[1:], dy.shape[1:], (3, 3), low=(1, 1))
for candidate in EarlyWeights(3), DeepWeights(3):
    digests = set()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        dw, db = np.full((3, 3, 59, 40), np.nan, "f4"), np.full(40, np.nan, "f4")
        candidate.note(Step(), problem, x, dy, dw, db)
        assert np.isfinite(dw).all() and np.isfinite(db).all()
        digests.add(hashlib.sha256(dw.tobytes() + db.tobytes()).hexdigest())
    assert len(digests) == 1, candidate.name + " depends on the number of threads"
"""


@pytest.mark.skipif(jit.INTERPRETED, reason="too long without a compiler")
def test_same_bits_for_one_and_two_threads():
    env = {**os.environ, "NUMBACNN_SERIAL": "0", "NUMBA_NUM_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", THREADS], env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
