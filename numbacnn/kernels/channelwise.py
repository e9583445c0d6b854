"""Kernels of elementwise layers with weights, one number a channel.

Arrays are cut as in reduce.py: a job takes a block of whole lines, in which the weights are repeated, and of a line PIECE elements at a
time. The gradient by a weight is summed up over the lines of a block, place by place, and then over blocks and places in order, in
float64: a cut by shape alone, so that the bits are the same for any number of threads.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..jit import Kernel, compiled, cuda, digest, factory, kernel, named, prange
from . import elementwise
from .column import column
from .elementwise import Places, Scalars, composed, joined, of_both, picked, reads, title
from .pieces import PIECE
from .reduce import blocks, fold
from .scalar import exact, localize
from .scratch import scratch


def derivative_by(cls: type, weight: str) -> Callable:
    """A layer class' df_<weight>; raises ConfigError where it has none."""
    if not hasattr(cls, f"df_{weight}"):
        raise ConfigError(f"{cls.__name__} learns {weight!r} but has no df_{weight}: add f's derivative by it, or trainable=False")
    return getattr(cls, f"df_{weight}")


def note_forward(step: Any, it: Scalars, name: str, x: Any, y: Any) -> None:
    """Note y = it(x)."""
    cut = blocks(1, x.size, x.shape[-1])
    run = forward(it.functions, it.places, len(it.weights), name, step.dtype)
    step.run(run, x.reshape(-1), it.fields, side_by_side(step, it.weights), cut.width, cut.block, out=y.reshape(-1))


def note_layer(step: Any, it: Scalars, name: str) -> None:
    """Note step.y = it(step.x), or what the functions that the plan folded into the layer make of that."""
    if step.function is not None:
        it, name = joined((it, step.function)), f"{name}_{title(step.function.functions)}"
    note_function(step, it, name, step.x, step.y)


def note_function(step: Any, it: Scalars, name: str, x: Any, y: Any) -> None:
    """Note y = it(x), with or without weights."""
    if it.weights:
        note_forward(step, it, name, x, y)
    else:
        step.run(elementwise.forward(it.functions, name, step.dtype), x, it.fields, out=y)


def note_backward(step: Any, it: Scalars, name: str, x: Any, y: Any, dy: Any, dx: Any, gradients: tuple[Any, ...]) -> None:
    """Note dx = dy * it.functions[0] and, for each further function, its gradient [C] = the sum of dy * function over all but the channels."""
    cut = blocks(1, x.size, x.shape[-1])
    run = backward(it.functions, it.places, len(it.weights), name, step.dtype)
    size = cut.count * cut.width
    partial = step.new(len(gradients) * size)
    flat = (a.reshape(-1) for a in (x, y, dy))
    step.run(run, *flat, it.fields, side_by_side(step, it.weights), cut.width, cut.block, out=(dx.reshape(-1), partial))
    for i, gradient in enumerate(gradients):
        step.run(fold, partial.part(i * size, (size,)), out=gradient)


def side_by_side(step: Any, weights: tuple[Any, ...], room: int = 0) -> Any:
    """Buffer [number of weights, C + room] with the weights [C] as rows."""
    if not weights:
        return step.constant(np.zeros((0, 1)))
    size = weights[0].size
    if len(weights) == 1 and room == 0:
        return weights[0].reshape(1, size)
    rows = step.new(len(weights), size + room)
    for i, w in enumerate(weights):
        step.run(lengthened, w, out=rows.part(i * (size + room), (size + room,)))
    return rows


@kernel(parallel=False)
def lengthened(x, y):
    """y = x, and zeros behind it."""
    for i in prange(y.size):
        y[i] = x[i] if i < x.size else x.dtype.type(0)


@factory
def forward(functions: tuple[Callable, ...], places: Places, count: int, name: str, dtype: type) -> Kernel:
    """Kernel run(x, fields, weights [count, C], width, block, y), x and y of one axis: the functions of x, the first one first."""
    value, room = composed(functions, places, dtype), count * PIECE
    name = f"{name}_channels_f_{digest(value)[:12]}"

    def piece(x, fields, weights, width, start, y):
        wide, here = scratch(y, room), scratch(y, PIECE)
        _repeated(weights, start, wide)
        for first in range(start, y.size, width):
            end = first + min(PIECE, width - start)
            a, b = x[first:end], y[first:end]
            for i in range(b.size):
                here[i] = value(a[i], fields + column(wide, i, count, PIECE))
            for i in range(b.size):
                b[i] = here[i]

    piece = compiled(named(piece, f"{name}_piece"))

    def run(x, fields, weights, width, block, y):
        for job in prange((y.size + block - 1) // block):
            a, b = job * block, min(job * block + block, y.size)
            for start in range(0, width, PIECE):
                piece(x[a:b], fields, weights, width, start, y[a:b])

    numbers = _of_channel(count)

    def on_gpu(x, fields, weights, width, block, y):
        channels = weights.shape[1]
        for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
            y[i] = value(x[i], fields + numbers(weights, i % channels))

    made = Kernel(named(run, name), in_place=("x",))
    made.cuda(named(on_gpu, f"{name}_on_gpu"))
    return made


@factory
def backward(functions: tuple[Callable, ...], places: Places, count: int, name: str, dtype: type) -> Kernel:
    """Kernel run(x, y, dy, fields, weights [count, C], width, block, dx, partial [functions - 1, blocks, width] of one axis).

    functions: the derivative by x, then those by weights, each of x and/or y. dx may lie on the place of x, y or dy.
    """
    slopes = [_times(of_both(localize(f, dtype), reads(f)), picked(at)) for f, at in zip(functions, places, strict=True)]
    slope, add, sums = slopes[0], _adder(tuple(slopes[1:]), PIECE), len(slopes) - 1
    room, results = count * PIECE, sums * PIECE
    name = f"{name}_channels_df_{digest(slope)[:12]}_{digest(add)[:12]}"

    def piece(x, y, dy, fields, weights, width, start, dx, partial, to, far):
        wide, here, total = scratch(dx, room), scratch(dx, PIECE), scratch(dx, results)
        _repeated(weights, start, wide)
        for i in range(results):
            total[i] = 0
        for first in range(start, dx.size, width):
            end = first + min(PIECE, width - start)
            a, b, c, d = x[first:end], y[first:end], dy[first:end], dx[first:end]
            for i in range(d.size):
                numbers = fields + column(wide, i, count, PIECE)
                here[i] = slope(a[i], b[i], c[i], numbers)
                add(a[i], b[i], c[i], numbers, total, i)
            for i in range(d.size):
                d[i] = here[i]
        for k in range(sums):
            for i in range(min(PIECE, width - start)):
                partial[k * far + to + start + i] = total[k * PIECE + i]

    piece = compiled(named(piece, f"{name}_piece"))

    def run(x, y, dy, fields, weights, width, block, dx, partial):
        for job in prange((dx.size + block - 1) // block):
            a, b = job * block, min(job * block + block, dx.size)
            for start in range(0, width, PIECE):
                piece(x[a:b], y[a:b], dy[a:b], fields, weights, width, start, dx[a:b], partial, job * width, partial.size // max(sums, 1))

    of_channel, add_one, own = _of_channel(count), _adder(tuple(slopes[1:]), 1), max(sums, 1)

    def on_gpu(x, y, dy, fields, weights, width, block, dx, partial):
        """A block of threads takes the elements of a job, a thread some places of its lines."""
        start, channels, far = cuda.blockIdx.x * block, weights.shape[1], partial.size // own
        total = cuda.local.array(own, dx.dtype)
        for j in range(cuda.threadIdx.x, width, cuda.blockDim.x):
            numbers = fields + of_channel(weights, j % channels)
            for k in range(own):
                total[k] = dx.dtype.type(0)
            for i in range(start + j, min(start + block, dx.size), width):
                a, b, c = x[i], y[i], dy[i]
                add_one(a, b, c, numbers, total, 0)
                dx[i] = slope(a, b, c, numbers)
            for k in range(sums):
                partial[k * far + cuda.blockIdx.x * width + j] = total[k]

    made = Kernel(named(run, name), in_place=("x", "y", "dy"))
    made.cuda(named(on_gpu, f"{name}_on_gpu"), threads=128, blocks=_jobs)
    return made


def _jobs(x: Any, y: Any, dy: Any, fields: Any, weights: Any, width: int, block: int, dx: Any, partial: Any) -> int:
    return -(-dx.size // block)


def _of_channel(count: int) -> Callable:
    """Compiled function: the numbers of channel c in `count` rows of weights, as a tuple."""
    if count == 0:
        return exact(lambda weights, c: ())
    before, row = _of_channel(count - 1), count - 1
    return exact(lambda weights, c: (*before(weights, c), weights[row, c]))


@compiled
def _repeated(weights, start, wide):
    """wide [count, PIECE] of one axis: the weights of the channels of a line's places from `start` on."""
    count, channels = weights.shape
    for k in range(count):
        c = start % channels
        for i in range(PIECE):
            wide[k * PIECE + i] = weights[k, c]
            c = c + 1 if c + 1 < channels else 0


def _times(derivative: Callable, pick: Callable) -> Callable:
    return exact(lambda x, y, dy, numbers: dy * derivative(x, y, *pick(numbers)))


def _adder(slopes: tuple[Callable, ...], pitch: int) -> Callable:
    """Compiled function that adds what each function gives to its row of `total`, rows of `pitch` numbers, at place i."""
    if not slopes:
        return exact(lambda x, y, dy, numbers, total, i: None)
    before, slope, place = _adder(slopes[:-1], pitch), slopes[-1], (len(slopes) - 1) * pitch

    def add(x, y, dy, numbers, total, i):
        before(x, y, dy, numbers, total, i)
        total[place + i] += slope(x, y, dy, numbers)

    return exact(add)
