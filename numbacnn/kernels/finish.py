"""What a convolution or a matrix product does to a register tile before it is written: a bias, and a clamp or scalar functions.

    finish = finishing(function, m, v)
    acc = finish(acc, bias, j, lo, hi, c)      acc, m x v vectors; bias.flat[j:] belongs to its columns, which are channels c …

function None: min(max(acc + bias, lo), hi). Else functions of the elements of acc + bias, and in the place of lo and hi stand the numbers that
they take, whatever clamps: lo = fields (a tuple), hi = weights [count, at least C + a tile's width] by channel (channelwise.side_by_side).
The tile goes through scratch memory, where LLVM makes vector code of the functions; an element's bits are those of a pass of its own
(seen on AVX2; with SSE2 alone, Winograd's 5 x 5 differs in the last bits, because LLVM orders the sum before it in another way).
"""

from collections.abc import Callable

from ..jit import compiled, digest, named
from .column import column
from .elementwise import Places, composed, title
from .scratch import scratch
from .tile import clamp, lanes, load, plus, spread, store, zero
from .width import V

Function = tuple[tuple[Callable, ...], Places, int, type]  # functions, places, count of the weights, dtype: what kernels are compiled for
SHORT = 4  # vectors: LLVM leaves shorter loops scalar, so smaller tiles are filled up with whatever lies there
ROOM = V + 1  # vectors that weights need behind their last channel: no tile is wider


def finishing(function: Function | None, m: int, v: int) -> Callable:
    """Compiled function (acc, bias, j, lo, hi, c) -> acc for tiles of m x v vectors."""
    if function is None:
        return _clamped
    functions, places, count, dtype = function
    value, width = composed(functions, places, dtype), v * lanes(dtype)
    size = max(m * width, SHORT * lanes(dtype))
    numbers = count * size

    def run(acc, bias, j, fields, weights, c):
        here, wide = scratch(bias, size), scratch(bias, numbers)
        store(plus(acc, spread(bias, j, 0, m), 0), here, 0, width)
        for k in range(count):  # each row of the tile beside the weights of its channels
            store(load(zero(bias, m, v), weights, k * weights.shape[1] + c, 0), wide, k * size, width)
        for i in range(size):
            here[i] = value(here[i], fields + column(wide, i, count, size))
        return load(acc, here, 0, width)

    return compiled(named(run, f"finish_{m}_{v}{label(function)}"))


def finishing_row(function: Function | None) -> Callable:
    """Compiled function (row, lo, hi, c) that clamps a row, or applies functions to it, in its place; the bias is in it already."""
    if function is None:
        return _clamped_row
    functions, places, count, dtype = function
    value = composed(functions, places, dtype)

    def run(row, fields, weights, c):
        for i in range(row.size):
            row[i] = value(row[i], fields + column(weights, c + i, count, weights.shape[1]))

    return compiled(named(run, f"finish_row{label(function)}"))


@compiled
def _clamped_row(row, lo, hi, c):
    for i in range(row.size):
        value = lo if row[i] < lo else row[i]
        row[i] = hi if value > hi else value


@compiled
def _clamped(acc, bias, j, lo, hi, c):
    return clamp(acc, bias, j, lo, hi)


def label(function: Function | None) -> str:
    """What tells a kernel with these functions from others, to be added to its name."""
    if function is None:
        return ""
    functions, places, _, dtype = function
    return f"_{title(functions)}_{digest(composed(functions, places, dtype))[:12]}"
