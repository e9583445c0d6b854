"""Depthwise convolution: as many groups as channels, with a filter for each."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels.depthwise import axis, axis_back, band_rows, convolving_by_channel, fold
from ..kernels.depthwise_weights import add_parts, depthwise_weights, parts_shape
from ..kernels.width import V, lanes
from .problem import Convolution, Epilogue


def _refuses(problem: Convolution) -> str | None:
    channels = problem.image[2]
    if not channels == problem.groups == problem.result[2]:
        return f"{channels} channels and {problem.result[2]} filters in groups={problem.groups}"
    if channels < V * lanes(problem.dtype):
        return f"{channels} channels are narrower than a tile"
    return None


def _geometry(problem: Convolution) -> tuple:
    """Window, rows and columns as the kernels want them."""
    direction = axis_back if problem.transposed else axis
    return problem.kernel_size, *map(direction, problem.strides, problem.dilation, problem.low)


def _matrix(kernel: Any) -> Any:
    return kernel.reshape(-1, kernel.shape[3])


class Depthwise:
    """Forward pass and gradient by the input."""

    name = "depthwise"
    takes_function = True

    def supports(self, problem: Convolution) -> str | None:
        return _refuses(problem)

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        kernel, channels = _matrix(kernel), y.shape[3]
        bias, *affine = epilogue.vectors(step, channels)
        if epilogue.affine:
            folded, folded_bias = step.like(kernel), step.new(channels)
            step.run(fold, kernel, bias, *affine, out=(folded, folded_bias))
            kernel, bias = folded, folded_bias
        band = band_rows(x.shape, y.shape, np.dtype(step.dtype).itemsize)
        moments = step.new(y.shape[0] * -(-y.shape[1] // band) if epilogue.moments else 0, 3, channels)
        facts = (x, kernel, bias, epilogue.addend(step, 4), *epilogue.limits(step), *_geometry(problem), band)
        step.run(convolving_by_channel(epilogue.made_for(step.dtype)), *facts, out=(y, moments))
        return moments if epilogue.moments else None


class DepthwiseWeights:
    """Gradient by the kernel."""

    name = "depthwise"

    def supports(self, problem: Convolution) -> str | None:
        return _refuses(problem)

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        dkernel = _matrix(dkernel)
        part = step.new(*parts_shape(dy.shape, dkernel.shape[0], step.dtype))
        step.run(depthwise_weights, x, dy, *_geometry(problem), out=part)
        step.run(add_parts, part, out=(dkernel, dbias))


PRODUCTS: Iterable[Any] = (Depthwise(),)
WEIGHTS: Iterable[Any] = (DepthwiseWeights(),)
