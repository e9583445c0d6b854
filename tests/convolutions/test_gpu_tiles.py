"""Convolutions in a GPU's tiles, acted out, against a plain sum in float64. Threads run in order and in reverse: the bits must be the same."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_every_candidate import drawn, pairs, product

from numbacnn.convolutions import FREE, Convolution, Epilogue, gpu_tiles
from numbacnn.graph import Node
from numbacnn.plan.buffer import Buffer
from numbacnn.plan.step import Recorder, Step

pytestmark = pytest.mark.sim

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
CHANNELS = (1, 3, 4)


class Bench:
    """Notes launches on a step of no plan, and acts them out; what no launch has written is NaN."""

    def __init__(self, problem):
        self.recorder = Recorder(problem.batch, problem.dtype, 1, device="cuda")
        self.step = Step(self.recorder, Node("conv", None), [], (), lambda n: None, lambda n: None, ())

    def buffer(self, array):
        b = Buffer(array.shape, array.dtype, kind="persistent")
        b.array = array
        return b

    def run(self, *results, orders=(False, True)):
        """The results' values, by threads in order and in reverse."""
        found = []
        for backwards in orders:
            for launch in self.recorder.launches:
                for b in launch.out:
                    b.root.array = np.full(b.root.shape, np.nan, b.root.dtype)
                args = tuple(a.real() if isinstance(a, Buffer) else a for a in (*launch.args, *launch.out))
                launch.kernel.on_gpu.simulate(args, backwards)
            found.append([r.array.copy() for r in results])
        for one, other in zip(found[0], found[-1], strict=True):
            assert one.tobytes() == other.tobytes(), "depends on the order in which threads run"
        return found[0]


def error(found, expected):
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max(initial=0) / max(1.0, float(np.abs(expected).max(initial=0))))


def check_product(problem, full, orders=(False, True)):
    """Forward or transposed; full: with everything that may happen to results on their way to memory."""
    source, kernel, random = drawn(problem)
    channels = problem.target[2]
    bias, scale, shift = (random.standard_normal(channels).astype(problem.dtype) for _ in range(3))
    residual = random.standard_normal((problem.batch, *problem.target)).astype(problem.dtype)
    bench, expected = Bench(problem), product(problem, source, kernel)
    b, epilogue = bench.buffer, Epilogue()
    if full:
        epilogue = Epilogue(b(bias), (b(scale), b(shift)), b(residual), (-0.5, 2.0))
        expected = np.clip((expected + bias) * scale + shift + residual, -0.5, 2.0)
    y = Buffer((problem.batch, *problem.target), problem.dtype)
    gpu_tiles.Tiles().note(bench.step, problem, b(source), b(kernel), epilogue, y)
    assert error(bench.run(y, orders=orders)[0], expected) < TOLERANCE[problem.dtype]


def check_weights(problem, orders=(False, True)):
    x, kernel, random = drawn(problem)
    dy = random.standard_normal((problem.batch, *problem.result)).astype(problem.dtype)
    expected = np.zeros(kernel.shape)
    for u, v, ((xr, yr), (xc, yc)) in pairs(problem):
        expected[u, v] = np.einsum("nijc,nijo->co", x[:, xr[:, None], xc].astype(float), dy[:, yr[:, None], yc].astype(float))
    bench = Bench(problem)
    dkernel, dbias = Buffer(kernel.shape, problem.dtype), Buffer((problem.result[2],), problem.dtype)
    gpu_tiles.TilesWeights().note(bench.step, problem, bench.buffer(x), bench.buffer(dy), dkernel, dbias)
    found, bias = bench.run(dkernel, dbias, orders=orders)
    assert error(found, expected) < TOLERANCE[problem.dtype]
    assert error(bias, dy.sum((0, 1, 2), dtype=float)) < TOLERANCE[problem.dtype]


@st.composite
def problems(draw):
    """Convolutions of small images, strided or dilated, by any borders up to what the kernel reaches."""
    kernel, strides = (draw(st.integers(1, 3)), draw(st.integers(1, 2))), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = (1, 1) if max(strides) > 1 else (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    low = tuple(draw(st.integers(0, r - 1)) for r in reach)
    high = tuple(draw(st.integers(0, r - 1)) for r in reach)
    sizes = [max(draw(st.integers(1, 4)), r - a - b) for r, a, b in zip(reach, low, high, strict=True)]
    result = [(n + a + b - r) // s + 1 for n, r, a, b, s in zip(sizes, reach, low, high, strides, strict=True)]
    channels, outputs, dtype = draw(st.sampled_from(CHANNELS)), draw(st.sampled_from(CHANNELS)), draw(st.sampled_from(("float32", "float64")))
    return Convolution(draw(st.integers(1, 2)), (*sizes, channels), (*result, outputs), kernel, strides, dilation, low, dtype=dtype)


@settings(max_examples=20)
@given(problems(), st.booleans(), st.booleans())
def test_products(problem, transposed, full):
    check_product(problem.transpose if transposed else problem, full, orders=(False,))


@settings(max_examples=12)
@given(problems())
def test_weight_gradients(problem):
    check_weights(problem, orders=(False,))


WIDE = Convolution(1, (1, 33, 4), (1, 33, 8), (1, 3), low=(0, 1))
NARROW = Convolution(1, (3, 13, 3), (2, 7, 11), (2, 2), (2, 2), low=(1, 0))
MATRIX = Convolution(1, (1, 9, 12), (1, 9, 36), (1, 1))


def sized(problem, pixels, outputs):
    """The same with other numbers of pixels, or just more, and of output channels."""
    rows, columns = problem.result[0], -(-pixels // problem.result[0])
    inside = (columns - 1) * problem.strides[1] + problem.kernel_size[1] - 2 * problem.low[1]
    return replace(problem, image=(problem.image[0], inside, problem.image[2]), result=(rows, columns, outputs))


@pytest.mark.parametrize("tile", gpu_tiles.TILES, ids=str)
def test_every_tile(tile, monkeypatch):
    """Results that overflow it by rows or by columns, loaded one by one or four at once."""
    monkeypatch.setattr(gpu_tiles, "choose", lambda *facts: (tile, parts))
    parts = 1
    wide, matrix, narrow = sized(WIDE, tile.m + 2, tile.n - 4), sized(MATRIX, tile.m - 3, tile.n + 4), sized(NARROW, tile.m // 2, tile.n // 2 + 1)
    check_product(wide, full=True, orders=(False,))
    check_product(matrix, full=False, orders=(True,))
    check_weights(sized(WIDE, 9, tile.n + 4), orders=(False,))
    parts = 2
    check_product(narrow, full=True, orders=(True,))
    check_weights(sized(NARROW, 23, tile.n // 2 + 1), orders=(True,))
    check_product(sized(NARROW, tile.m, 3).transpose, full=False, orders=(False,))


@pytest.mark.parametrize("problem", [WIDE, NARROW, MATRIX], ids=["wide", "narrow", "matrix"])
def test_parts_that_would_be_empty_are_left_out(problem, monkeypatch):
    monkeypatch.setattr(gpu_tiles, "choose", lambda *facts: (gpu_tiles.TILES[-1], 60))
    small = sized(replace(problem, image=(*problem.image[:2], 9)), 17, 2)
    check_product(small, full=True)
    check_weights(small)


def test_nan_passes_the_clamp():
    problem = Convolution(1, (1, 5, 4), (1, 5, 4), (1, 1))
    bench, x = Bench(problem), np.ones((1, 1, 5, 4), np.float32)
    x[0, 0, 2] = np.nan
    y = Buffer(x.shape, x.dtype)
    gpu_tiles.Tiles().note(bench.step, problem, bench.buffer(x), bench.buffer(np.ones((1, 1, 4, 4), np.float32)), Epilogue(clamp=(0.0, 6.0)), y)
    found = bench.run(y)[0][0, 0]
    assert np.isnan(found[2]).all() and (np.delete(found, 2, 0) == 4).all()


def test_a_view_that_starts_anywhere_is_read_one_by_one():
    problem = Convolution(1, (1, 3, 4), (1, 3, 4), (1, 1))
    bench, all_of_it = Bench(problem), np.arange(13, dtype=np.float32)
    x, kernel = bench.buffer(all_of_it).part(1, (1, 1, 3, 4)), np.eye(4, dtype=np.float32).reshape(1, 1, 4, 4)
    y = Buffer((1, 1, 3, 4), np.float32)
    gpu_tiles.Tiles().note(bench.step, problem, x, bench.buffer(kernel), Epilogue(clamp=FREE), y)
    assert (bench.run(y)[0].reshape(-1) == all_of_it[1:]).all()


@pytest.mark.parametrize(
    ("rows", "columns", "depth"), [(401408, 64, 576), (100352, 128, 1152), (1568, 512, 4608), (49, 512, 4608), (32, 1000, 2048), (35, 5, 27), (1, 1, 1)]
)
def test_choices_keep_a_gpu_busy_where_there_is_work(rows, columns, depth):
    tile, parts = gpu_tiles.choose(rows, columns, 1, depth, "float32")
    threads = tile.tiles(rows, columns) * parts * tile.threads
    assert threads >= gpu_tiles.BUSY or parts == max(1, depth // gpu_tiles.FEWEST)
    assert parts == 1 or threads <= 2 * gpu_tiles.BUSY
    assert tile.tiles(rows, columns) * tile.m * tile.n <= max(2.6 * rows * columns, 4096)


def test_what_is_refused():
    problem = Convolution(2, (6, 6, 12), (6, 6, 18), (3, 3), groups=3, low=(1, 1))
    large = Convolution(1 << 20, (64, 64, 3), (64, 64, 3), (3, 3), low=(1, 1))
    for candidate in (*gpu_tiles.PRODUCTS, *gpu_tiles.WEIGHTS):
        assert candidate.supports(problem) == "groups=3"
        assert f"at most {gpu_tiles.MOST}" in candidate.supports(large)
        assert candidate.supports(replace(problem, groups=1)) is None
    assert math.isinf(FREE[1])
