"""Convolutions on a GPU as one matrix product, in tiles (kernels/gpu_product.py, kernels/gpu_weights.py)."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels.gpu_product import OUTSIDE, finish_parts, product
from ..kernels.gpu_tile import DEPTH, Tile
from ..kernels.gpu_weights import add_parts, weight_gradient
from ..kernels.reduce import channel_sums
from .problem import FREE, Convolution, Epilogue

TILES = (Tile(128, 128, 8, 8), Tile(128, 64, 8, 8), Tile(64, 64, 8, 4), Tile(64, 32, 8, 4), Tile(32, 32, 4, 4))
BUSY = 132 * 256  # threads that keep a GPU busy; twice as many fit. A fixed number, so that results are the same bits on any GPU
FEWEST = 16 * DEPTH  # terms of a sum that are worth a part of their own
MOST = (1 << 31) - 1  # elements of an array: kernels count them in 32 bits


def choose(rows: int, columns: int, phases: int, depth: int, dtype: str) -> tuple[Tile, int]:
    """(tile, parts of the sum) for a result of rows x columns in each phase, each of them a sum of `depth` terms."""
    most = max(1, depth // FEWEST)
    for tile in TILES if dtype == "float32" else TILES[-1:]:  # numbers of 8 bytes fill twice the registers
        threads = tile.tiles(rows, columns) * phases * tile.threads
        if tile is TILES[-1] or (2 * rows > tile.m and 2 * columns > tile.n and threads * most >= BUSY):
            return tile, max(1, min(most, 2 * BUSY // threads))
    raise AssertionError("the last tile is always possible")


def table_of(problem: Convolution, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """(table, phases) as kernels/gpu_product.py wants them, with a place of the table for `unit` neighbouring channels."""
    (_, width, depth), (rows, columns, _) = problem.source, problem.target
    taps, lattices = problem.taps
    channels = np.arange(0, depth, unit)
    pitch = problem.image[2] * problem.result[2]
    table, phases, start = [], [], 0
    for row, column, first, last, down, right, step_row, step_column in lattices.tolist():
        entries = np.zeros((last - first, channels.size, 4), np.int64)
        for entry, (u, v, tap) in zip(entries, taps[first:last].tolist(), strict=True):
            entry[:, 0], entry[:, 1] = u, v
            entry[:, 2] = (u * width + v) * depth + channels
            entry[:, 3] = tap * pitch + channels
        entries = entries.reshape(-1, 4)
        rest = np.zeros((-len(entries) % (DEPTH // unit), 4), np.int64)
        rest[:, 0] = OUTSIDE
        table += [entries, rest]
        lattice = max(0, math.ceil((rows - row) / step_row)), max(0, math.ceil((columns - column) / step_column))
        phases.append((row, column, *lattice, start, (last - first) * depth, down, right, step_row, step_column))
        start += len(entries) + len(rest)
    return np.concatenate(table).astype(np.int32).reshape(-1), np.array(phases, np.int32).reshape(-1)


def is_matrix(problem: Convolution) -> bool:
    """Whether pixels of source and target correspond: a 1x1 convolution without borders and strides."""
    return problem.kernel_size == (1, 1) and problem.strides == (1, 1) and problem.low == (0, 0) and problem.image[:2] == problem.result[:2]


def unit(channels: int, *buffers: Any) -> int:
    """How many neighbouring channels are loaded at once: 4 where all pixels of these buffers start at multiples of 16 bytes, else 1."""
    return 4 if channels % 4 == 0 and all(b.offset * b.dtype.itemsize % 16 == 0 for b in buffers) else 1


def _refuses(problem: Convolution) -> str | None:
    if problem.groups > 1:
        return f"groups={problem.groups}"
    images = problem.batch * max(math.prod(problem.image), math.prod(problem.result))
    largest = max(images, math.prod(problem.kernel_size) * problem.image[2] * problem.result[2])
    return f"{largest} elements of an array are too many: at most {MOST} (a smaller batch helps)" if largest > MOST else None


class Tiles:
    """Forward pass and gradient by the input."""

    name, device, takes_function = "tiles", "cuda", True

    def supports(self, problem: Convolution) -> str | None:
        return _refuses(problem)

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        (height, width, depth), (rows, columns, outputs) = problem.source, problem.target
        written = (y,) if epilogue.residual is None else (y, epilogue.residual)
        wide = unit(depth, x, kernel) if problem.transposed else unit(depth, x)
        wide_out = unit(outputs, *written) if problem.transposed else unit(outputs, *written, kernel)
        table, phases = table_of(problem, wide)
        lattices = phases.reshape(-1, 10)
        most, terms = int((problem.batch * lattices[:, 2] * lattices[:, 3]).max()), int(lattices[:, 5].max())
        tile, parts = choose(most, outputs, len(lattices), terms, problem.dtype)
        each = -(-terms // (parts * DEPTH)) * DEPTH
        parts = max(1, -(-terms // each)) if each else 1
        matrix = is_matrix(problem)
        function = epilogue.made_for(step.dtype)
        made = product(tile, not matrix, problem.transposed, len(lattices) > 1, wide, wide_out, parts > 1, None if parts > 1 else function)
        places = step.constant(np.zeros(4, np.int32) if matrix else table), step.constant(phases)
        residual = step.constant(np.zeros(0)) if epilogue.residual is None else epilogue.residual.reshape(-1)
        vectors, limits = (*epilogue.vectors(step, outputs), residual), epilogue.limits(step)
        geometry = (height, width, depth, problem.batch, rows, columns, outputs, max(each, DEPTH))
        grid = (tile.tiles(most, outputs), parts, len(lattices))
        target = y.reshape(-1) if parts == 1 else step.new(parts * y.size)
        step.run(made, x.reshape(-1), kernel.reshape(-1), *places, *vectors, *(limits if parts == 1 else FREE), geometry, grid, out=target)
        if parts > 1:
            step.run(finish_parts(function), target, *vectors, *limits, outputs, out=y.reshape(-1))
        return None


class TilesWeights:
    """Gradient by the kernel."""

    name, device = "tiles", "cuda"

    def supports(self, problem: Convolution) -> str | None:
        return _refuses(problem)

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        (height, width, depth), (rows, columns, outputs) = problem.image, problem.result
        wide, wide_out = unit(depth, x), unit(outputs, dy, dkernel)
        places, pixels = math.prod(problem.kernel_size) * depth, problem.batch * rows * columns
        tile, parts = choose(places, outputs, 1, pixels, problem.dtype)
        each = -(-pixels // (parts * DEPTH)) * DEPTH
        parts = -(-pixels // each)
        matrix = is_matrix(problem)
        table = step.constant(np.zeros(4, np.int32) if matrix else table_of(problem, wide)[0])
        images, rest = divmod(DEPTH, rows * columns)
        geometry = (height, width, depth, rows, columns, *problem.strides, images, *divmod(rest, columns), outputs, each)
        grid = (tile.tiles(places, outputs), parts, 1)
        target = dkernel.reshape(-1) if parts == 1 else step.new(parts * dkernel.size)
        made = weight_gradient(tile, not matrix, wide, wide_out)
        step.run(made, x.reshape(-1), dy.reshape(-1), table, pixels, places, geometry, grid, out=target)
        if parts > 1:
            step.run(add_parts, target, out=dkernel.reshape(-1))
        channel_sums(step, dy, dbias)


PRODUCTS: Iterable[Any] = (Tiles(),)
WEIGHTS: Iterable[Any] = (TilesWeights(),)
