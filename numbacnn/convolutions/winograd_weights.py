"""The gradient of a 3x3 or 5x5 convolution by its weights with Winograd's transforms, in two orders of work."""

from collections.abc import Iterable
from math import ceil, prod
from typing import Any

import numpy as np

from ..kernels.tile import M, V, lanes
from ..kernels.winograd_weights import (
    BLOCK,
    add_products,
    geometry,
    join,
    multiply_and_join,
    products_shape,
    row_of,
    tiles_of,
    tiles_shapes,
    transform_images,
)
from .problem import Convolution

JOBS = 8
SHARES = 16 << 20  # bytes of products that jobs may make to be added up
COST = 6, 16  # multiplying c by c' channels of a tile must outweigh its transforms, which cost 6 * (c + c' + 16)
TILES = 16  # fewer don't pay for the transform of their products
PRODUCTS = 8 << 20  # bytes of products that are worth writing to memory
TRANSFORMS = 24 << 20  # bytes of transformed tiles that may be kept at once
DEEP = 8  # tiles of input channels, and at most as many blocks of output channels, of a job


def _refusal(problem: Convolution, side: int) -> str | None:
    """Why Winograd's transforms don't suit a problem."""
    if problem.kernel_size != (side, side):
        return "kernel of {} x {}".format(*problem.kernel_size)
    if problem.strides != (1, 1) or problem.dilation != (1, 1):
        return f"strides={problem.strides}, dilation={problem.dilation}"
    if problem.groups > 1:
        return f"groups={problem.groups}"
    (h, w, outputs), channels = problem.result, problem.image[2]
    if channels * outputs < COST[0] * (channels + outputs + COST[1]):
        return f"transforms of {channels} + {outputs} channels cost more than they save"
    tiles = tiles_of(problem.batch, h, w, side)
    if tiles < TILES:
        return f"only {tiles} tiles"
    m = 7 - side
    if tiles * m * m > 2 * problem.batch * h * w:
        return f"tiles of {m} x {m} stand out of images of {h} x {w}"
    return None


def _bytes(problem: Convolution, *shapes: tuple[int, ...]) -> int:
    return sum(map(prod, shapes)) * np.dtype(problem.dtype).itemsize


class EarlyWeights:
    """Many tiles, few channels: jobs add up the products of shares of the tiles in memory."""

    winograd = True

    def __init__(self, side: int):
        self.side, self.name = side, f"Winograd {side}x{side}, early"

    def supports(self, problem: Convolution) -> str | None:
        return _refusal(problem, self.side)

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        channels, outputs = x.shape[3], dy.shape[3]
        shape = products_shape(channels, outputs, step.dtype)
        tiles = tiles_of(*dy.shape[:3], self.side)
        shares = min(JOBS, ceil(tiles / BLOCK), max(1, SHARES // _bytes(problem, shape)))
        ranges = min(shape[0], ceil(JOBS / shares))
        scratch = tiles_shapes(min(tiles, BLOCK), channels, ceil(shape[0] / ranges) * V * lanes(step.dtype), step.dtype)
        facts = (geometry(problem.low, self.side), row_of(channels, step.dtype), ranges)
        products = step.run(add_products(self.side), x, dy, *facts, *(step.workspace(*s) for s in scratch), out=step.new(shares, *shape))
        step.run(join(self.side), products, out=(dkernel, dbias))


class DeepWeights:
    """Few tiles, many channels: the products, more than the cache holds, are transformed where they are made."""

    winograd = True

    def __init__(self, side: int):
        self.side, self.name = side, f"Winograd {side}x{side}, deep"

    def supports(self, problem: Convolution) -> str | None:
        if reason := _refusal(problem, self.side):
            return reason
        channels, outputs = problem.image[2], problem.result[2]
        if (size := _bytes(problem, products_shape(channels, outputs, problem.dtype))) < PRODUCTS:
            return f"products of {size / 2**20:.1f} MB stay in the cache"
        tiles = tiles_of(problem.batch, *problem.result[:2], self.side)
        if (size := _bytes(problem, *tiles_shapes(tiles, channels, outputs, problem.dtype))) > TRANSFORMS:
            return f"transformed tiles of {size / 2**20:.0f} MB don't stay in the cache"
        return None

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        channels, outputs = x.shape[3], dy.shape[3]
        tiles, row = tiles_of(*dy.shape[:3], self.side), row_of(channels, step.dtype)
        v, d = (step.new(*shape) for shape in tiles_shapes(tiles, channels, outputs, step.dtype))
        step.run(transform_images(self.side), x, dy, geometry(problem.low, self.side), row, out=(v, d))
        count, blocks = ceil(channels / M), d.shape[0]
        parts, depth = ceil(count / DEEP), ceil(blocks / ceil(blocks / DEEP))
        scratch = step.workspace(*products_shape(ceil(count / parts) * M, depth * V * lanes(step.dtype), step.dtype))
        step.run(multiply_and_join(self.side), v, d, tiles, row, parts, scratch, out=(dkernel, dbias))


WEIGHTS: Iterable[Any] = (DeepWeights(3), EarlyWeights(3), DeepWeights(5), EarlyWeights(5))
