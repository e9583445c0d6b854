"""Direct convolution on register tiles, with a tap for each place of the kernel or for each of its rows."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..kernels.convolution import convolve, pack, packed_shape, pad_columns, spans_of
from ..kernels.convolution_weights import add_shares, shares, weight_gradient
from .problem import Convolution, Epilogue

NARROW = 8  # fewer input channels than this are slow as taps of their own


class Direct:
    """Always possible."""

    name = "direct"

    def supports(self, problem: Convolution) -> str | None:
        return None

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        outputs, transposed = y.shape[3], int(problem.transposed)
        count = kernel.shape[0] * kernel.shape[1]
        shape = packed_shape(count, kernel.size // (count * outputs), outputs, problem.groups, step.dtype)
        packed, bias = step.new(*shape), step.new(shape[0] * shape[1] * shape[4])
        step.run(pack, kernel, *epilogue.vectors(step, outputs), transposed, out=(packed, bias))
        moments = step.new(spans_of(y.size // outputs) if epilogue.moments else 0, 3, outputs)
        geometry = (*map(step.constant, problem.taps), *map(float, epilogue.clamp))
        step.run(convolve, x, packed, bias, epilogue.addend(step, 4), *geometry, out=(y, moments))
        return moments if epilogue.moments else None


class DirectWeights:
    """Always possible."""

    name = "direct"

    def supports(self, problem: Convolution) -> str | None:
        return None

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        n, h, w, outputs = dy.shape
        parts = shares(n * h * w, outputs, problem.groups, step.dtype)
        facts = (x, dy, *map(step.constant, problem.taps), problem.groups, parts)
        if parts == 1:
            step.run(weight_gradient, *facts, out=(dkernel, dbias))
            return
        dkernels, dbiases = step.new(parts, *dkernel.shape), step.new(parts, *dbias.shape)
        step.run(weight_gradient, *facts, out=(dkernels, dbiases))
        step.run(add_shares, dkernels, dbiases, out=(dkernel, dbias))


def _cannot_join(problem: Convolution) -> str | None:
    """Why the taps of a row of the kernel cannot become one long tap over an input with padded columns."""
    if problem.transposed:
        return "its gradient by the input"
    if problem.image[2] >= NARROW:
        return f"{problem.image[2]} input channels are enough for taps of their own"
    if problem.groups > 1:
        return f"groups={problem.groups}"
    if problem.dilation[1] > 1 or problem.kernel_size[1] == 1:
        return "the taps of a kernel's row do not lie side by side"
    return None


def _joined(step: Any, problem: Convolution, x: Any, kernel: Any) -> tuple[Convolution, Any, Any]:
    """The same convolution with a kernel of one column, its padded input and its kernel."""
    (rows, columns), (n, h, _, channels) = problem.kernel_size, x.shape
    padded = step.new(n, h, (problem.result[1] - 1) * problem.strides[1] + columns, channels)
    step.run(pad_columns, x, problem.low[1], out=padded)
    alone = replace(problem, image=padded.shape[1:], kernel_size=(rows, 1), low=(problem.low[0], 0))
    return alone, padded, kernel.reshape(rows, 1, -1, kernel.shape[3])


class Joined(Direct):
    """For few input channels: a row of the kernel is one long tap over an input with padded columns."""

    name = "direct, joined columns"

    def supports(self, problem: Convolution) -> str | None:
        return _cannot_join(problem)

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        alone, padded, kernel = _joined(step, problem, x, kernel)
        return super().note(step, alone, padded, kernel, epilogue, y)


class JoinedWeights(DirectWeights):
    """The gradient by the kernel of such a convolution."""

    name = "direct, joined columns"

    def supports(self, problem: Convolution) -> str | None:
        return _cannot_join(problem)

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        alone, padded, joined = _joined(step, problem, x, dkernel)
        super().note(step, alone, padded, dy, joined, dbias)


PRODUCTS: Iterable[Any] = (Joined(), Direct())
WEIGHTS: Iterable[Any] = (JoinedWeights(), DirectWeights())
