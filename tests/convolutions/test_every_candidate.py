"""Every way to convolve, on every problem of a table that it supports, against a plain sum in float64."""

import numpy as np
import pytest

from numbacnn.backends import open_backend
from numbacnn.backends.cuda import CUDA
from numbacnn.backends.simulated import Simulated
from numbacnn.convolutions import FREE, PRODUCTS, WEIGHTS, Convolution, Epilogue
from numbacnn.graph import Node
from numbacnn.kernels.elementwise import Scalars
from numbacnn.layers.swish import Swish
from numbacnn.plan.bind import bind, give_memory
from numbacnn.plan.buffer import Buffer
from numbacnn.plan.step import Recorder, Step

PROBLEMS = {
    "pointwise": Convolution(3, (5, 7, 17), (5, 7, 20), (1, 1)),
    "strided pointwise": Convolution(2, (7, 6, 16), (4, 3, 24), (1, 1), (2, 2)),
    "same": Convolution(2, (9, 11, 24), (9, 11, 17), (3, 3), low=(1, 1)),
    "valid, few channels": Convolution(3, (8, 9, 3), (6, 7, 16), (3, 3)),
    "one channel": Convolution(2, (12, 12, 1), (12, 12, 1), (5, 5), low=(2, 2)),
    "stem": Convolution(2, (18, 16, 3), (9, 8, 24), (7, 7), (2, 2), low=(3, 3)),
    "strided": Convolution(2, (9, 10, 16), (5, 5, 32), (3, 3), (2, 2), low=(1, 1)),
    "dilated": Convolution(2, (9, 8, 8), (9, 8, 16), (3, 3), dilation=(2, 2), low=(2, 2)),
    "groups": Convolution(2, (6, 6, 12), (6, 6, 18), (3, 3), groups=3, low=(1, 1)),
    "depthwise": Convolution(2, (7, 9, 24), (7, 9, 24), (3, 3), groups=24, low=(1, 1)),
    "early": Convolution(2, (30, 27, 64), (30, 27, 32), (3, 3), low=(1, 1)),
    "deep": Convolution(4, (9, 8, 128), (9, 8, 128), (3, 3), low=(1, 1)),
    "deep, odd channels": Convolution(4, (8, 7, 100), (8, 7, 90), (3, 3), low=(1, 1)),
    "five": Convolution(4, (14, 14, 32), (14, 14, 64), (5, 5), low=(2, 2)),
}
TINY = {  # for simulated GPUs, which are slow
    "pointwise": Convolution(2, (2, 3, 5), (2, 3, 7), (1, 1)),
    "same": Convolution(1, (4, 5, 3), (4, 5, 6), (3, 3), low=(1, 1)),
    "strided": Convolution(2, (5, 6, 4), (3, 3, 3), (3, 3), (2, 2), low=(1, 1)),
    "dilated": Convolution(1, (5, 6, 2), (5, 6, 3), (3, 2), dilation=(2, 3), low=(2, 1)),
    "one channel": Convolution(2, (4, 3, 1), (4, 3, 1), (3, 3), low=(1, 1)),
    "groups": Convolution(2, (4, 5, 6), (4, 5, 4), (3, 3), groups=2, low=(1, 1)),
    "groups, strided": Convolution(1, (7, 4, 10), (3, 2, 6), (2, 3), (3, 2), groups=2, low=(0, 1)),
    "depthwise": Convolution(2, (9, 6, 3), (9, 6, 3), (3, 3), groups=3, low=(1, 1)),
    "depthwise, wide": Convolution(1, (3, 19, 2), (3, 19, 2), (3, 3), groups=2, low=(1, 1)),
    "depthwise, many channels": Convolution(1, (2, 3, 37), (2, 3, 37), (3, 3), groups=37, low=(1, 1)),
    "depthwise, valid": Convolution(1, (6, 7, 5), (2, 5, 5), (5, 3), groups=5),
    "depthwise, strided": Convolution(2, (7, 6, 3), (4, 3, 3), (3, 3), (2, 2), groups=3, low=(1, 0)),
    "depthwise, 5x5": Convolution(1, (4, 5, 2), (2, 3, 2), (5, 5), (2, 2), groups=2, low=(1, 2)),
    "depthwise, 7x7": Convolution(1, (5, 4, 3), (5, 4, 3), (7, 7), groups=3, low=(3, 3)),
    "depthwise, dilated": Convolution(1, (5, 4, 3), (5, 4, 3), (3, 3), dilation=(2, 1), groups=3, low=(2, 1)),
    "depthwise, multiplied": Convolution(2, (5, 4, 3), (5, 4, 6), (3, 3), groups=3, low=(1, 1)),
    "depthwise, multiplied and strided": Convolution(1, (5, 6, 2), (3, 3, 6), (3, 3), (2, 2), groups=2, low=(1, 1)),
    "depthwise, float64": Convolution(1, (4, 5, 3), (2, 3, 3), (3, 3), (2, 2), groups=3, low=(1, 1), dtype="float64"),
    "groups, float64": Convolution(1, (3, 4, 4), (3, 4, 6), (3, 1), groups=2, low=(1, 0), dtype="float64"),
    "depthwise, large": Convolution(1, (4, 3, 2), (4, 3, 2), (9, 2), groups=2, low=(4, 0)),
}


def _both(problems):
    return [(name, problem.transpose if transposed else problem) for name, problem in problems.items() for transposed in (False, True)]


FUNCTION = Scalars((Swish.f,), ((),))
CASES = [("cpu", *case) for case in _both(PROBLEMS)] + [("cuda", *case) for case in _both(TINY)]


class Bench:
    """Notes launches on a step of no plan, and runs them; what no launch has written is NaN."""

    def __init__(self, problem, device="cpu", backwards=False):
        self.backend = open_backend("cpu") if device == "cpu" else CUDA(Simulated(backwards))
        self.recorder = Recorder(problem.batch, problem.dtype, self.backend.workspaces)
        self.step = Step(self.recorder, Node("conv", None), [], (), lambda n: None, lambda n: None, ())

    def buffer(self, array):
        b = Buffer(array.shape, array.dtype, kind="persistent")
        b.array = self.backend.constant(array)
        return b

    def real(self, b):
        """The array that a buffer has become."""
        return self.backend.download(b.real())

    def run(self):
        launches = self.recorder.launches
        others = {b for launch in launches for b in (*launch.args, *launch.out) if isinstance(b, Buffer)}
        for b in others:
            if b.root.kind in ("temporary", "workspace") and b.root.array is None:
                b.root.array = self.backend.constant(np.full(b.root.shape, np.nan if b.dtype.kind == "f" else 0, b.dtype))
        give_memory(self.backend, launches, list(others), {}, 0)
        self.backend.run(bind(self.backend, launches))


def pairs(problem):
    """For each tap (u, v): (rows of x, rows of y) that meet there, and the same for columns."""
    for u in range(problem.kernel_size[0]):
        for v in range(problem.kernel_size[1]):
            met = []
            for axis, tap in enumerate((u, v)):
                y = np.arange(problem.result[axis])
                x = y * problem.strides[axis] + tap * problem.dilation[axis] - problem.low[axis]
                inside = (x >= 0) & (x < problem.image[axis])
                met.append((x[inside], y[inside]))
            yield u, v, met


def per_group(array, groups):
    return array.reshape(*array.shape[:-1], groups, -1)


def product(problem, source, kernel):
    """The plain sum, forward or transposed."""
    g, out = problem.groups, np.zeros((problem.batch, *problem.target))
    result = per_group(out, g)
    weights = per_group(kernel.astype(float), g)  # kh, kw, in / groups, g, out / groups
    given = per_group(source.astype(float), g)
    for u, v, ((xr, yr), (xc, yc)) in pairs(problem):
        if problem.transposed:
            result[:, xr[:, None], xc] += np.einsum("nijgo,cgo->nijgc", given[:, yr[:, None], yc], weights[u, v])
        else:
            result[:, yr[:, None], yc] += np.einsum("nijgc,cgo->nijgo", given[:, xr[:, None], xc], weights[u, v])
    return out


def drawn(problem, seed=0):
    random = np.random.default_rng(seed)
    kernel = random.standard_normal((*problem.kernel_size, problem.image[2] // problem.groups, problem.result[2])) / 5
    source = random.standard_normal((problem.batch, *problem.source))
    return source.astype(problem.dtype), kernel.astype(problem.dtype), random


def able(candidates, problem, device):
    """Those that can do it on the device."""
    found = [c for c in candidates if getattr(c, "device", "cpu") == device and c.supports(problem) is None]
    assert found
    return found


def title(case):
    return f"{case[0]}: {case[1]}{', transposed' if case[2].transposed else ''}"


def close(problem):
    return 1e-13 if problem.dtype == "float64" else 1e-5


def relative(a, b):
    return np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2))


@pytest.mark.parametrize("case", CASES, ids=title)
def test_products(case):
    device, _, problem = case
    source, kernel, random = drawn(problem)
    channels = problem.target[2]
    bias, scale, shift = (random.standard_normal(channels).astype(problem.dtype) for _ in range(3))
    residual = random.standard_normal((problem.batch, *problem.target)).astype(problem.dtype)
    plain = product(problem, source, kernel)
    sums = (plain + bias) * scale + shift + residual
    full = np.clip(sums, -0.5, 2.0)
    for candidate in able(PRODUCTS, problem, device):
        for what in ("plain", "everything", "moments", "function"):
            if what != "plain" and problem.transposed:
                continue
            if what == "function" and not getattr(candidate, "takes_function", False):
                continue
            bench = Bench(problem, device, backwards=what == "everything")
            b = bench.buffer
            epilogue = Epilogue(moments=what == "moments")
            if what == "everything":
                epilogue = Epilogue(b(bias), (b(scale), b(shift)), b(residual), (-0.5, 2.0))
            if what == "function":
                epilogue = Epilogue(b(bias), (b(scale), b(shift)), b(residual), function=FUNCTION)
            y = Buffer((problem.batch, *problem.target), problem.dtype)
            moments = candidate.note(bench.step, problem, b(source), b(kernel), epilogue, y)
            bench.run()
            expected = {"everything": full, "function": sums / (1 + np.exp(-sums))}.get(what, plain)
            assert relative(bench.real(y), expected) < close(problem), (candidate.name, what)
            if moments is not None:
                check_moments(bench.real(moments), plain, candidate.name)


def check_moments(parts, y, name):
    """Counts, means and squared deviations of parts make those of the whole."""
    count, mean, squares = (parts[:, i].astype(float) for i in range(3))
    pixels = y.reshape(-1, y.shape[3])
    whole = (count * mean).sum(0) / count.sum(0)
    assert (count.sum(0) == len(pixels)).all(), name
    assert np.allclose(whole, pixels.mean(0), atol=1e-5), name
    spread = (squares + count * (mean - whole) ** 2).sum(0) / len(pixels)
    assert np.allclose(spread, pixels.var(0), rtol=1e-4), name


@pytest.mark.parametrize("case", [c for c in CASES if not c[2].transposed], ids=title)
def test_weight_gradients(case):
    device, _, problem = case
    x, kernel, random = drawn(problem)
    dy = random.standard_normal((problem.batch, *problem.result)).astype(problem.dtype)
    expected = np.zeros(kernel.shape)
    for u, v, ((xr, yr), (xc, yc)) in pairs(problem):
        a, g = per_group(x.astype(float), problem.groups)[:, xr[:, None], xc], per_group(dy.astype(float), problem.groups)[:, yr[:, None], yc]
        expected[u, v] = np.einsum("nijgc,nijgo->cgo", a, g).reshape(kernel.shape[2:])
    for candidate in able(WEIGHTS, problem, device):
        for backwards in (False,) if device == "cpu" else (False, True):
            bench = Bench(problem, device, backwards)
            dkernel, dbias = Buffer(kernel.shape, problem.dtype), Buffer((problem.result[2],), problem.dtype)
            candidate.note(bench.step, problem, bench.buffer(x), bench.buffer(dy), dkernel, dbias)
            bench.run()
            assert relative(bench.real(dkernel), expected) < close(problem), candidate.name
            assert relative(bench.real(dbias), dy.sum((0, 1, 2), dtype=float)) < close(problem), candidate.name


def test_candidates_have_names_of_their_own():
    for candidates in (PRODUCTS, WEIGHTS):
        names = [c.name for c in candidates]
        assert len(set(names)) == len(names)
    assert (-np.inf, np.inf) == FREE
