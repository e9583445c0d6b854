"""Direct convolution on register tiles, with a tap for each place of the kernel, or a single one over an image with borders."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..kernels.convolution import convolving, merged, pack, packed_shape, spans_of
from ..kernels.convolution_weights import add_shares, shares, weight_gradient
from ..kernels.pad import pad
from .problem import Convolution, Epilogue

NARROW = 8  # fewer input channels than this are slow as taps of their own


def _product(step: Any, problem: Convolution, x: Any, offsets: np.ndarray, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
    outputs, count = y.shape[3], kernel.shape[0] * kernel.shape[1]
    groups = merged(problem.groups, outputs, step.dtype)
    shape = packed_shape(count, offsets.size // groups, outputs, groups, step.dtype)
    packed, bias = step.new(*shape), step.new(shape[0] * shape[1] * shape[4])
    step.run(pack, kernel, *epilogue.vectors(step, outputs), int(problem.transposed), out=(packed, bias))
    moments = step.new(spans_of(y.size // outputs) if epilogue.moments else 0, 3, outputs)
    geometry = (*map(step.constant, (offsets, *problem.taps)), *epilogue.limits(step))
    step.run(convolving(epilogue.made_for(step.dtype)), x, packed, bias, epilogue.addend(step, 4), *geometry, out=(y, moments))
    return moments if epilogue.moments else None


def _weights(step: Any, problem: Convolution, x: Any, offsets: np.ndarray, dy: Any, dkernel: Any, dbias: Any) -> None:
    n, h, w, outputs = dy.shape
    groups, taps = merged(problem.groups, outputs, step.dtype), problem.taps
    ranges, parts = shares(n * h * w, len(taps[0]), offsets.size // groups, outputs, groups, step.dtype)
    facts = (x, dy, *map(step.constant, (offsets, *taps)), groups, ranges, parts)
    dkernel = dkernel.reshape(-1)
    if parts == 1:
        step.run(weight_gradient, *facts, out=(dkernel, dbias))
        return
    dkernels, dbiases = step.new(parts * dkernel.size), step.new(parts * outputs)
    step.run(weight_gradient, *facts, out=(dkernels, dbiases))
    step.run(add_shares, dkernels, dbiases, out=(dkernel, dbias))


class Direct:
    """Always possible."""

    name = "direct"
    takes_function = True

    def supports(self, problem: Convolution) -> str | None:
        return None

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        return _product(step, problem, x, np.arange(x.shape[3]), kernel, epilogue, y)


class DirectWeights:
    """Always possible."""

    name = "direct"

    def supports(self, problem: Convolution) -> str | None:
        return None

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        _weights(step, problem, x, np.arange(x.shape[3]), dy, dkernel, dbias)


def _is_not_narrow(problem: Convolution) -> str | None:
    """Why the taps should not become a single one over an image with borders."""
    if problem.transposed:
        return "its gradient by the input"
    if problem.image[2] >= NARROW:
        return f"{problem.image[2]} input channels are enough for taps of their own"
    if problem.groups > 1:
        return f"groups={problem.groups}"
    return "1x1" if problem.kernel_size == (1, 1) else None


def _with_borders(step: Any, problem: Convolution, x: Any) -> tuple[Convolution, Any, np.ndarray]:
    """The same convolution as a 1x1 of an image with borders, that image, and where the values under the kernel lie in it."""
    n, h, w, channels = x.shape
    reach = [(k - 1) * d for k, d in zip(problem.kernel_size, problem.dilation, strict=True)]
    height, width = ((r - 1) * s + e + 1 for r, s, e in zip(problem.result[:2], problem.strides, reach, strict=True))
    bordered = step.new(n, height, width, channels)
    step.run(pad, x.reshape(n, h, w * channels), problem.low[0], problem.low[1] * channels, out=bordered.reshape(n, height, width * channels))
    rows, columns = (np.arange(0, e + 1, d) for e, d in zip(reach, problem.dilation, strict=True))
    offsets = ((rows[:, None] * width + columns)[..., None] * channels + np.arange(channels)).reshape(-1)
    alone = replace(problem, image=(height, width, channels), kernel_size=(1, 1), dilation=(1, 1), low=(0, 0))
    return alone, bordered, offsets


class Bordered:
    """For few input channels: all values under the kernel are one long tap over an image with borders."""

    name = "direct, with borders"
    takes_function = True

    def supports(self, problem: Convolution) -> str | None:
        return _is_not_narrow(problem)

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        alone, bordered, offsets = _with_borders(step, problem, x)
        return _product(step, alone, bordered, offsets, kernel.reshape(1, 1, offsets.size, y.shape[3]), epilogue, y)


class BorderedWeights:
    """The gradient by the kernel of such a convolution."""

    name = "direct, with borders"

    def supports(self, problem: Convolution) -> str | None:
        return _is_not_narrow(problem)

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        alone, bordered, offsets = _with_borders(step, problem, x)
        _weights(step, alone, bordered, offsets, dy, dkernel, dbias)


PRODUCTS: Iterable[Any] = (Bordered(), Direct())
WEIGHTS: Iterable[Any] = (BorderedWeights(), DirectWeights())
