"""Convolutions on simulated tensor cores (kernels/ptx emulates their instructions on the host) against plain sums of rounded factors.

Here is proven that every number reaches its place and that nothing is read too early. That the instructions themselves do what the PTX ISA
says of them, and how fast they are, only a GPU can show.
"""

from dataclasses import replace

import numpy as np
import pytest

from numbacnn.backends.cuda import CUDA
from numbacnn.backends.simulated import Simulated
from numbacnn.convolutions import PRODUCTS, WEIGHTS, Convolution, Epilogue, gpu_tensor
from numbacnn.graph import Node
from numbacnn.kernels.gpu_tensor import LARGE, MIDDLE, SMALL
from numbacnn.kernels.rounding import KERNELS
from numbacnn.plan.bind import bind, give_memory
from numbacnn.plan.buffer import Buffer
from numbacnn.plan.step import Recorder, Step

pytestmark = pytest.mark.sim

F4 = np.float32
PROBLEMS = {
    "one of everything": Convolution(1, (1, 1, 1), (1, 1, 1), (1, 1)),
    "1x1, odd": Convolution(1, (5, 3, 17), (5, 3, 3), (1, 1)),
    "1x1, in fours": Convolution(2, (4, 5, 20), (4, 5, 36), (1, 1)),
    "same": Convolution(1, (5, 7, 4), (5, 7, 8), (3, 3), low=(1, 1)),
    "three channels": Convolution(1, (9, 8, 3), (5, 4, 17), (3, 3), (2, 2), low=(1, 1)),
    "strided 1x1": Convolution(2, (5, 6, 8), (3, 3, 12), (1, 1), (2, 2)),
    "strides apart": Convolution(1, (7, 7, 4), (3, 3, 4), (3, 2), (2, 3)),
    "dilated": Convolution(1, (6, 5, 4), (6, 5, 5), (3, 2), dilation=(2, 1), low=(2, 0)),
    "taps that meet nothing": Convolution(1, (1, 1, 4), (1, 1, 4), (5, 5), low=(2, 2)),
}
BOTH = {"same", "three channels"}  # whose threads run in reverse, too
CASES = [(name, precision) for name in PROBLEMS for precision in ("tf32", "bf16")]


class Bench:
    """Notes launches on a step of no plan, and runs them on a simulated GPU whose memory is NaN at first."""

    def __init__(self, problem, backwards=False):
        self.backend = CUDA(Simulated(backwards))
        self.step = Step(Recorder(problem.batch, F4, 1, device="cuda", precision=problem.precision), Node("c", None), [], (), None, None, ())

    def buffer(self, array):
        buffer = Buffer(array.shape, array.dtype, kind="persistent")
        buffer.array = self.backend.constant(array)
        return buffer

    def run(self, *wanted):
        launches = self.step._recorder.launches
        others = list({b for launch in launches for b in (*launch.args, *launch.out) if isinstance(b, Buffer)})
        for root in {b.root for b in others}:
            if root.array is None and root.kind == "temporary":
                root.array = self.backend.constant(np.full(root.shape, np.nan, root.dtype))
        give_memory(self.backend, launches, others, {}, 0)
        self.backend.run(bind(self.backend, launches))
        return [self.backend.download(b.real()) for b in wanted]


def rounded(x, precision):
    y = np.empty_like(x)
    KERNELS[precision](x, y)
    return y.astype(float)


def pairs(problem):
    """For each tap: which rows of x and y meet there, and which columns."""
    for tap in np.ndindex(problem.kernel_size):
        met = []
        for axis in (0, 1):
            y = np.arange(problem.result[axis])
            x = y * problem.strides[axis] + tap[axis] * problem.dilation[axis] - problem.low[axis]
            inside = (x >= 0) & (x < problem.image[axis])
            met.append((x[inside], y[inside]))
        yield tap, met


def plain_product(problem, source, kernel):
    out = np.zeros((problem.batch, *problem.target))
    for tap, ((xr, yr), (xc, yc)) in pairs(problem):
        if problem.transposed:
            out[:, xr[:, None], xc] += source[:, yr[:, None], yc] @ kernel[tap].T
        else:
            out[:, yr[:, None], yc] += source[:, xr[:, None], xc] @ kernel[tap]
    return out


def draw(problem):
    generator = np.random.default_rng([problem.batch, *problem.image, *problem.result])
    kernel = generator.standard_normal((*problem.kernel_size, problem.image[2], problem.result[2])).astype(F4)
    return (lambda *shape: generator.standard_normal(shape).astype(F4)), kernel


def run_product(problem, source, kernel, epilogue, backwards=False):
    bench = Bench(problem, backwards)
    b = bench.buffer
    affine, residual = epilogue.affine and tuple(map(b, epilogue.affine)), None if epilogue.residual is None else b(epilogue.residual)
    epilogue = epilogue._replace(bias=None if epilogue.bias is None else b(epilogue.bias), affine=affine, residual=residual)
    y = Buffer((problem.batch, *problem.target), F4)
    assert gpu_tensor.Tensor().supports(problem) is None
    gpu_tensor.Tensor().note(bench.step, problem, b(source), b(kernel), epilogue, y)
    return bench.run(y)[0]


def check_product(problem, both_orders=False):
    drawn, kernel = draw(problem)
    source, channels = drawn(problem.batch, *problem.source), problem.target[2]
    plain = plain_product(problem, rounded(source, problem.precision), rounded(kernel, problem.precision))
    bias, scale, shift, residual = drawn(channels), drawn(channels), drawn(channels), drawn(problem.batch, *problem.target)
    everything = np.clip((plain + bias) * scale + shift + residual, -0.5, 2)
    size = np.abs(plain).max() + 1
    epilogue, expected = Epilogue(), plain
    if not problem.transposed:
        epilogue, expected = Epilogue(bias, (scale, shift), residual, (-0.5, 2.0)), everything
    found = run_product(problem, source, kernel, epilogue)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * size)
    if both_orders:
        assert np.array_equal(found, run_product(problem, source, kernel, epilogue, backwards=True)), "it depends on the order in which threads run"


def check_weights(problem, both_orders=False):
    drawn, kernel = draw(problem)
    x, dy = drawn(problem.batch, *problem.image), drawn(problem.batch, *problem.result)
    expected, left, right = np.zeros(kernel.shape), rounded(x, problem.precision), rounded(dy, problem.precision)
    for tap, ((xr, yr), (xc, yc)) in pairs(problem):
        expected[tap] = np.einsum("nijc,nijo->co", left[:, xr[:, None], xc], right[:, yr[:, None], yc])
    found = []
    for backwards in (False, True)[: 1 + both_orders]:
        bench = Bench(problem, backwards)
        dkernel, dbias = Buffer(kernel.shape, F4), Buffer(kernel.shape[-1:], F4)
        assert gpu_tensor.TensorWeights().supports(problem) is None
        gpu_tensor.TensorWeights().note(bench.step, problem, bench.buffer(x), bench.buffer(dy), dkernel, dbias)
        found.append(bench.run(dkernel, dbias))
    for one, other in zip(found[0], found[-1], strict=True):
        assert np.array_equal(one, other), "it depends on the order in which threads run"
    np.testing.assert_allclose(found[0][0], expected, rtol=1e-5, atol=1e-5 * (np.abs(expected).max() + 1))
    np.testing.assert_allclose(found[0][1], right.sum((0, 1, 2)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name, precision", CASES)
def test_forward(name, precision):
    check_product(replace(PROBLEMS[name], precision=precision), both_orders=name in BOTH)


@pytest.mark.parametrize("name, precision", CASES)
def test_gradient_by_the_input(name, precision):
    check_product(replace(PROBLEMS[name], precision=precision, transposed=True), both_orders=name in BOTH)


@pytest.mark.parametrize("name, precision", CASES)
def test_gradient_by_the_kernel(name, precision):
    check_weights(replace(PROBLEMS[name], precision=precision), both_orders=name in BOTH)


@pytest.mark.parametrize("tile, precision", [(LARGE, "tf32"), (LARGE, "bf16"), (MIDDLE, "bf16")], ids=str)
def test_larger_tiles(tile, precision, monkeypatch):
    monkeypatch.setattr(gpu_tensor, "_tile", lambda *_: tile)
    check_product(Convolution(1, (10, 13, 4), (10, 13, 72), (1, 2), low=(0, 1), precision=precision))
    check_weights(Convolution(1, (2, 9, 68), (2, 9, 76), (2, 1), precision=precision))


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_parts_of_the_sum_over_pixels(precision, monkeypatch):
    monkeypatch.setattr(gpu_tensor, "FEWEST", 1)
    check_weights(Convolution(3, (5, 5, 4), (5, 5, 4), (3, 3), low=(1, 1), precision=precision))


def test_tiles_fit_the_matrix():
    assert gpu_tensor._tile(1 << 16, 256, 1, 4) == LARGE
    assert gpu_tensor._tile(1 << 16, 64, 1, 4) == MIDDLE
    assert gpu_tensor._tile(1 << 16, 256, 1, 1) == gpu_tensor._tile(500, 64, 1, 4) == gpu_tensor._tile(1 << 16, 16, 1, 4) == SMALL


@pytest.mark.parametrize(
    "problem, reason",
    [
        (Convolution(1, (4, 4, 4), (4, 4, 4), (1, 1)), "it needs tf32 or bf16"),
        (Convolution(1, (4, 4, 4), (4, 4, 4), (1, 1), dtype="float64", precision="float64"), "it needs tf32 or bf16"),
        (Convolution(1, (4, 4, 4), (4, 4, 4), (1, 1), groups=2, precision="bf16"), "groups=2"),
        (Convolution(1 << 20, (32, 32, 4), (32, 32, 4), (1, 1), precision="bf16"), "more than 32 bits"),
        (Convolution(1 << 22, (4, 4, 1), (4, 4, 1), (1, 1), precision="bf16"), "too many for a grid"),
    ],
)
def test_what_is_refused(problem, reason):
    assert reason in gpu_tensor.Tensor().supports(problem)


def test_a_gpu_without_these_instructions_takes_another_way():
    problem = Convolution(1, (4, 4, 4), (4, 4, 4), (1, 1), precision="bf16")
    for capability, name in ((75, "tiles"), (80, "tensor cores")):
        recorder = Recorder(1, F4, 1, device="cuda", precision="bf16", capability=capability)
        step = Step(recorder, Node("c", None), [], (), None, None, ())
        assert step.choose("product", PRODUCTS, problem).name == step.choose("weights", WEIGHTS, problem).name == name
        why = {"tensor cores": "it needs compute capability 8.0, and this GPU has 7.5"} if capability == 75 else {}
        assert [choice.refused.get("tensor cores") for choice in recorder.choices] == [why.get("tensor cores")] * 2
