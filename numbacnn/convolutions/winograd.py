"""Convolutions with strides of 1 by Winograd's minimal filtering, in two orders of work.

F(4 x 4, 3 x 3) needs a quarter of the multiplications of the plain sum. Root mean square error against float64, relative: about 1.6e-6
(direct sums 2e-7); tests/convolutions hold 1e-5.

Lavin and Gray, Fast algorithms for convolutional neural networks, 2015.
"""

from typing import Any

import numpy as np

from ..kernels.tile import M, V, lanes
from ..kernels.winograd import pitch, tiles_of, transform_weights
from ..kernels.winograd_deep import CHANNELS, deep, transform_inputs
from ..kernels.winograd_early import early
from .problem import Convolution, Epilogue

CACHE = 448 << 10  # bytes of transformed inputs that a job may hold in its core's cache
MOST = 48  # tiles of a job
FEWEST = 12  # fewer tiles in all don't pay for the transform of the weights
NARROW = 16  # where c * c' / (c + c') is smaller, the transforms cost more than the multiplications that they save
DEEP = 128  # input channels from which on weights are better transformed where they are used
FEW = 96  # tiles up to which they are


def _round_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


class Winograd:
    """F(m x m, r x r). takes_weights: rows of two pixels are filled up with as many more (kernels/finish.py), which then costs more than a launch behind."""

    winograd = True
    takes_function = True

    def __init__(self, m: int, r: int):
        self.m, self.r, self.places = m, r, (m + r - 1) ** 2
        self.takes_weights = m > 2

    def tiles(self, problem: Convolution) -> int:
        """Blocks of m x m output pixels."""
        return tiles_of(problem.batch, *problem.target[:2], self.m)

    def refuses(self, problem: Convolution) -> str | None:
        if problem.kernel_size != (self.r, self.r):
            return "kernel {}x{}".format(*problem.kernel_size)
        if problem.strides != (1, 1) or problem.dilation != (1, 1):
            return "strides {}x{}, dilation {}x{}".format(*problem.strides, *problem.dilation)
        if problem.groups > 1:
            return f"groups={problem.groups}"
        channels, outputs = problem.source[2], problem.target[2]
        if channels * outputs < NARROW * (channels + outputs):
            return f"{channels} and {outputs} channels"
        if (tiles := self.tiles(problem)) < FEWEST:
            return f"{tiles} tiles"
        return None

    def low(self, problem: Convolution) -> tuple[int, int]:
        """Rows and columns of zeros before what is read; the transposed sum runs backwards."""
        return tuple(self.r - 1 - n for n in problem.low) if problem.transposed else problem.low


class Early(Winograd):
    """Many tiles, few channels: weights are transformed beforehand, a job owns some tiles."""

    def __init__(self, m: int, r: int):
        super().__init__(m, r)
        self.name = f"Winograd {m}x{m}, {r}x{r}, early"

    def supports(self, problem: Convolution) -> str | None:
        return self.refuses(problem)

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        vector, channels, outputs = lanes(step.dtype), x.shape[3], y.shape[3]
        width, count = V * vector, self.tiles(problem)
        blocks, depth = -(-outputs // width), max(channels, vector)
        fit = CACHE // (self.places * depth * np.dtype(step.dtype).itemsize)
        tiles = min(max(M, fit // M * M), MOST, _round_up(count, M))
        u, bias = step.new(blocks, self.places, pitch(channels * width, step.dtype)), step.new(blocks * width)
        step.run(transform_weights(self.m, self.r), kernel, *epilogue.vectors(step, outputs), int(problem.transposed), out=(u, bias))
        vs = step.workspace(self.places, pitch(tiles * depth, step.dtype))
        gs = step.workspace(self.places, pitch(tiles * width, step.dtype))
        moments = step.new(-(-count // tiles) if epilogue.moments else 0, 3, outputs)
        facts = (epilogue.addend(step, 4), *self.low(problem), tiles, *epilogue.limits(step), vs, gs)
        step.run(early(self.m, self.r, epilogue.made_for(step.dtype)), x, u, bias, *facts, out=(y, moments))
        return moments if epilogue.moments else None


class Deep(Winograd):
    """Few tiles, many channels: a job owns output channels and transforms their weights itself."""

    def __init__(self, m: int, r: int):
        super().__init__(m, r)
        self.name = f"Winograd {m}x{m}, {r}x{r}, deep"

    def supports(self, problem: Convolution) -> str | None:
        if reason := self.refuses(problem):
            return reason
        if problem.source[2] < DEEP:
            return f"{problem.source[2]} channels"
        tiles = self.tiles(problem)
        return f"{tiles} tiles" if tiles > FEW else None

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        channels, outputs, count = x.shape[3], y.shape[3], self.tiles(problem)
        width = V * lanes(step.dtype)
        groups = -(-count // (2 * MOST))
        tiles = _round_up(-(-count // groups), M)
        groups = -(-count // tiles)
        v = step.new(groups, -(-channels // CHANNELS), self.places, pitch(tiles * CHANNELS, step.dtype))
        step.run(transform_inputs(self.m, self.r), x, *y.shape[1:3], *self.low(problem), tiles, out=v)
        gs = step.workspace(self.places, pitch(tiles * width, step.dtype))
        us = step.workspace(self.places, pitch(CHANNELS * width, step.dtype))
        moments = step.new(groups if epilogue.moments else 0, 3, outputs)
        facts = (*epilogue.vectors(step, outputs), epilogue.addend(step, 4), int(problem.transposed), tiles, *epilogue.limits(step), gs, us)
        step.run(deep(self.m, self.r, epilogue.made_for(step.dtype)), v, kernel, *facts, out=(y, moments))
        return moments if epilogue.moments else None


PRODUCTS = (Deep(4, 3), Early(4, 3), Early(2, 5))
