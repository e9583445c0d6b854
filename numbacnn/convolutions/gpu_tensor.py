"""Convolutions on a GPU's tensor cores, in TensorFloat-32 or bfloat16 with float32 sums (kernels/gpu_tensor.py)."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels.gpu_tensor import DEPTH, LARGE, LEAST, MIDDLE, SMALL, Tile
from ..kernels.gpu_tensor_product import pack, product
from ..kernels.gpu_tensor_weights import add_parts, weight_gradient
from ..kernels.rounding import KERNELS
from .problem import Convolution, Epilogue

BLOCKS = 264  # that keep a GPU busy: two for each of 132 processors. A fixed number: results are the same bits on any GPU
FEWEST = 8  # pieces of a sum that are worth a part of their own
MOST_PARTS = 256
MOST_BYTES = 64 << 20  # of all parts
MOST = 1 << 31  # elements of an image, pixels: what 32 bits can count
MOST_DOWN = 65535  # tiles below each other: the second axis of a grid (CUDA C++ Programming Guide)


def _refuses(problem: Convolution) -> str | None:
    if not problem.rounds:
        return f"precision={problem.dtype}: it needs tf32 or bf16"
    if problem.groups > 1:
        return f"groups={problem.groups}"
    sizes = (
        problem.batch * math.prod(problem.image),
        problem.batch * math.prod(problem.result),
        math.prod(problem.kernel_size) * problem.image[2] * problem.result[2],
    )
    if max(sizes) >= MOST:
        return f"{max(sizes)} elements are more than 32 bits can count"
    return None


def _in_fours(channels: int, *buffers: Any) -> bool:
    """Whether channels come in fours that start at multiples of 16 bytes."""
    return channels % 4 == 0 and all(b.offset * np.dtype(b.dtype).itemsize % 16 == 0 for b in buffers)


def _taps(step: Any, problem: Convolution) -> tuple[Any, Any]:
    return tuple(step.constant(np.asarray(table, np.int32).reshape(-1)) for table in problem.taps)


def _largest_phase(problem: Convolution) -> int:
    """Pixels of the target that the phase with the most of them makes."""
    rows, columns, _ = problem.target
    return max(problem.batch * -(-(rows - p[0]) // p[6]) * -(-(columns - p[1]) // p[7]) for p in problem.taps[1].tolist())


def _tile(rows: int, columns: int, times: int, unit: int) -> Tile:
    """The largest tile that keeps a GPU busy, `times` for each place of the matrix, and is not mostly beside it."""
    if unit == 4:
        for tile in (LARGE, MIDDLE):
            if 2 * columns > tile.columns and math.prod(tile.blocks(rows, columns)) * times >= BLOCKS // 2:
                return tile
    return SMALL


class Tensor:
    """Forward pass and gradient by the input."""

    name, device, rounds, least, takes_function = "tensor cores", "cuda", True, LEAST, True

    def supports(self, problem: Convolution) -> str | None:
        if reason := _refuses(problem):
            return reason
        pixels = _largest_phase(problem)
        return f"{pixels} pixels are too many for a grid" if pixels > MOST_DOWN * SMALL.rows else None

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        depth, channels, most = x.shape[3], y.shape[3], _largest_phase(problem)
        unit = 4 if _in_fours(depth, x) else 1
        taps, phases = _taps(step, problem)
        packed = step.new(math.prod(problem.kernel_size), channels, depth)
        if problem.transposed:
            step.run(KERNELS[problem.precision], kernel, out=packed)
        else:
            step.run(pack, kernel.reshape(-1, depth, channels), int(problem.precision == "bf16"), out=packed)
        vectors, residual = epilogue.vectors(step, channels), epilogue.addend(step, 4).reshape(-1)
        fours = _in_fours(channels, y, residual)
        tile = _tile(most, channels, phases.size // 8, unit)
        facts = (taps, phases, problem.batch, most, tuple(problem.source), tuple(problem.target), fours, *epilogue.limits(step))
        made = product(problem.precision, tile, unit, epilogue.made_for(step.dtype))
        step.run(made, x.reshape(-1), packed.reshape(-1), *vectors, residual, *facts, out=y.reshape(-1))
        return None


class TensorWeights:
    """Gradient by the kernel."""

    name, device, rounds, least = "tensor cores", "cuda", True, LEAST

    def supports(self, problem: Convolution) -> str | None:
        return _refuses(problem)

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        depth, channels = x.shape[3], dy.shape[3]
        unit = 4 if _in_fours(depth, x) and _in_fours(channels, dy, dkernel) else 1
        taps, _ = _taps(step, problem)
        places, pieces = math.prod(problem.kernel_size) * depth, -(-problem.batch * math.prod(problem.result[:2]) // DEPTH)
        most = max(1, min(pieces // FEWEST, MOST_PARTS, MOST_BYTES // (4 * places * channels)))
        tile = _tile(places, channels, most, unit)
        each = -(-pieces // max(1, min(most, BLOCKS // math.prod(tile.blocks(places, channels)))))
        parts = -(-pieces // each)
        facts = (x.reshape(-1), dy.reshape(-1), taps, problem.batch, tuple(problem.image), tuple(problem.result), tuple(problem.strides), each, parts)
        made, dkernel = weight_gradient(problem.precision, tile, unit), dkernel.reshape(-1)
        if parts == 1:
            step.run(made, *facts, out=(dkernel, dbias))
            return
        dkernels, dbiases = step.new(parts * dkernel.size), step.new(parts * channels)
        step.run(made, *facts, out=(dkernels, dbiases))
        step.run(add_parts, dkernels, out=dkernel)
        step.run(add_parts, dbiases, out=dbias)


PRODUCTS: Iterable[Any] = (Tensor(),)
WEIGHTS: Iterable[Any] = (TensorWeights(),)
