"""Every way to convolve, on every problem of a table that it supports, against a plain sum in float64."""

import numpy as np
import pytest

from numbacnn.backends import open_backend
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
FUNCTION = Scalars((Swish.f,), ((),))
CASES = [(name, problem.transpose if transposed else problem) for name, problem in PROBLEMS.items() for transposed in (False, True)]


class Bench:
    """Notes launches on a step of no plan, and runs them; what no launch has written is NaN."""

    def __init__(self, problem):
        self.backend = open_backend("cpu")
        self.recorder = Recorder(problem.batch, problem.dtype, self.backend.workspaces)
        self.step = Step(self.recorder, Node("conv", None), [], (), lambda n: None, lambda n: None, ())

    def buffer(self, array):
        b = Buffer(array.shape, array.dtype, kind="persistent")
        b.array = array
        return b

    def run(self):
        launches = self.recorder.launches
        others = {b for launch in launches for b in (*launch.args, *launch.out) if isinstance(b, Buffer)}
        for b in others:
            if b.root.kind in ("temporary", "workspace") and b.root.array is None:
                b.root.array = np.full(b.root.shape, np.nan if b.dtype.kind == "f" else 0, b.dtype)
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


def relative(a, b):
    return np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0] + (", transposed" if c[1].transposed else ""))
def test_products(case):
    problem = case[1]
    source, kernel, random = drawn(problem)
    channels = problem.target[2]
    bias, scale, shift = (random.standard_normal(channels).astype(problem.dtype) for _ in range(3))
    residual = random.standard_normal((problem.batch, *problem.target)).astype(problem.dtype)
    plain = product(problem, source, kernel)
    sums = (plain + bias) * scale + shift + residual
    full = np.clip(sums, -0.5, 2.0)
    able = [c for c in PRODUCTS if c.supports(problem) is None]
    assert able
    for candidate in able:
        for what in ("plain", "everything", "moments", "function"):
            if what != "plain" and problem.transposed:
                continue
            if what == "function" and not getattr(candidate, "takes_function", False):
                continue
            bench = Bench(problem)
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
            assert relative(y.array, expected) < 1e-5, (candidate.name, what)
            if moments is not None:
                check_moments(moments.real(), plain, candidate.name)


def check_moments(parts, y, name):
    """Counts, means and squared deviations of parts make those of the whole."""
    count, mean, squares = (parts[:, i].astype(float) for i in range(3))
    pixels = y.reshape(-1, y.shape[3])
    whole = (count * mean).sum(0) / count.sum(0)
    assert (count.sum(0) == len(pixels)).all(), name
    assert np.allclose(whole, pixels.mean(0), atol=1e-5), name
    spread = (squares + count * (mean - whole) ** 2).sum(0) / len(pixels)
    assert np.allclose(spread, pixels.var(0), rtol=1e-4), name


@pytest.mark.parametrize("case", [c for c in CASES if not c[1].transposed], ids=lambda c: c[0])
def test_weight_gradients(case):
    problem = case[1]
    x, kernel, random = drawn(problem)
    dy = random.standard_normal((problem.batch, *problem.result)).astype(problem.dtype)
    expected = np.zeros(kernel.shape)
    for u, v, ((xr, yr), (xc, yc)) in pairs(problem):
        a, g = per_group(x.astype(float), problem.groups)[:, xr[:, None], xc], per_group(dy.astype(float), problem.groups)[:, yr[:, None], yc]
        expected[u, v] = np.einsum("nijgc,nijgo->cgo", a, g).reshape(kernel.shape[2:])
    for candidate in WEIGHTS:
        if candidate.supports(problem) is None:
            bench = Bench(problem)
            dkernel, dbias = Buffer(kernel.shape, problem.dtype), Buffer((problem.result[2],), problem.dtype)
            candidate.note(bench.step, problem, bench.buffer(x), bench.buffer(dy), dkernel, dbias)
            bench.run()
            assert relative(dkernel.array, expected) < 1e-5, candidate.name
            assert relative(dbias.array, dy.sum((0, 1, 2), dtype=float)) < 1e-5, candidate.name


def test_candidates_have_names_of_their_own():
    for candidates in (PRODUCTS, WEIGHTS):
        names = [c.name for c in candidates]
        assert len(set(names)) == len(names)
    assert (-np.inf, np.inf) == FREE
