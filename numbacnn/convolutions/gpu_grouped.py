"""Convolutions in groups on a GPU: depthwise by tiles of pixels, all others by plain sums, which are always possible."""

import math
from collections.abc import Iterable
from typing import Any

from ..kernels.gpu import add_parts
from ..kernels.gpu_depthwise import parts_of, tile, weights_tile
from ..kernels.gpu_grouped import grouped, grouped_weights, swap_channels
from ..kernels.gpu_grouped import parts_of as grouped_parts_of
from .problem import Convolution, Epilogue

LARGEST, FURTHEST = 7, 3  # sides and strides of windows that fit into registers
WIDE = 16  # pixels of a row from which on a thread makes eight of them
PIXELS = 4  # of a row that the weight gradient takes at a time


def _is_not_depthwise(problem: Convolution) -> str | None:
    inputs, outputs, groups = problem.image[2], problem.result[2], problem.groups
    if inputs != groups:
        return f"{inputs} channels in groups={groups}"
    if groups == 1:
        return "a single channel is no group"
    if max(problem.kernel_size) > LARGEST or max(problem.strides) > FURTHEST:
        return f"windows of {problem.kernel_size} with strides {problem.strides} do not fit into registers"
    if problem.dilation != (1, 1):
        return f"dilation {problem.dilation}"
    if problem.transposed and problem.strides != (1, 1):
        return "its gradient by the input with strides"
    if problem.transposed and inputs != outputs:
        return "its gradient by the input with several filters a channel"
    return None


class GPUDepthwise:
    """Forward pass, and the gradient by the input where that is a convolution like it."""

    name, device, takes_function = "gpu depthwise", "cuda", True

    def supports(self, problem: Convolution) -> str | None:
        return _is_not_depthwise(problem)

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> None:
        size, low = problem.kernel_size, problem.low
        if problem.transposed:
            low = tuple(k - 1 - n for k, n in zip(size, low, strict=True))
        pixels = 8 if y.shape[2] > WIDE and problem.strides[1] <= 2 else 4
        residual = epilogue.addend(step, 1) if epilogue.residual is None else epilogue.residual.reshape(-1)
        facts = (residual, *epilogue.limits(step), x.shape[1:], y.shape, low, int(problem.transposed), pixels)
        made = tile(*size, *problem.strides, pixels, epilogue.made_for(step.dtype))
        step.run(made, x.reshape(-1), kernel.reshape(-1), *epilogue.vectors(step, y.shape[3]), *facts, out=y.reshape(-1))


class GPUGrouped:
    """Always possible."""

    name, device, takes_function = "gpu grouped", "cuda", True

    def supports(self, problem: Convolution) -> str | None:
        return None

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> None:
        taps, groups = math.prod(problem.kernel_size), problem.groups
        weights = kernel.reshape(taps, *kernel.shape[2:])
        if problem.transposed:
            weights = step.run(swap_channels, weights, groups, out=step.new(taps, weights.shape[2] // groups, y.shape[3]))
        residual = epilogue.addend(step, 1) if epilogue.residual is None else epilogue.residual.reshape(-1)
        steps = problem.strides if problem.transposed else (1, 1)
        facts = (residual, *epilogue.limits(step), *map(step.constant, problem.taps), x.shape[1:], y.shape, steps, groups)
        step.run(grouped(epilogue.made_for(step.dtype)), x.reshape(-1), weights.reshape(-1), *epilogue.vectors(step, y.shape[3]), *facts, out=y.reshape(-1))


class GPUDepthwiseWeights:
    """Gradient by kernel and bias."""

    name, device = "gpu depthwise", "cuda"

    def supports(self, problem: Convolution) -> str | None:
        return _is_not_depthwise(problem)

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        size, outputs = problem.kernel_size, dy.shape[3]
        parts = parts_of(dy.shape, size[0])
        sums, biases = step.new(parts, math.prod(size), outputs), step.new(parts, outputs)
        facts = (x.reshape(-1), dy.reshape(-1), x.shape[1:], dy.shape, problem.low, size[0])
        step.run(weights_tile(size[1], *problem.strides, PIXELS), *facts, out=(sums, biases))
        step.run(add_parts, sums.reshape(parts, -1), biases, out=(dkernel.reshape(-1), dbias))


class GPUGroupedWeights:
    """Always possible."""

    name, device = "gpu grouped", "cuda"

    def supports(self, problem: Convolution) -> str | None:
        return None

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        taps, (depth, outputs) = math.prod(problem.kernel_size), dkernel.shape[2:]
        parts = grouped_parts_of(dy.shape, taps, depth)
        facts = (x.reshape(-1), dy.reshape(-1), step.constant(problem.taps[0]), x.shape[1:], dy.shape, problem.strides, problem.groups)
        if parts == 1:
            step.run(grouped_weights, *facts, out=(dkernel.reshape(1, taps, depth, outputs), dbias.reshape(1, outputs)))
            return
        sums, biases = step.new(parts, taps, depth, outputs), step.new(parts, outputs)
        step.run(grouped_weights, *facts, out=(sums, biases))
        step.run(add_parts, sums.reshape(parts, -1), biases, out=(dkernel.reshape(-1), dbias))


PRODUCTS: Iterable[Any] = (GPUDepthwise(), GPUGrouped())
WEIGHTS: Iterable[Any] = (GPUDepthwiseWeights(), GPUGroupedWeights())
