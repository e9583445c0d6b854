"""What a convolution on a GPU does to a number before it is written: a clamp, or scalar functions (as kernels/finish.py on a CPU)."""

import functools
from collections.abc import Callable

from ..jit import compiled, device
from .elementwise import composed
from .finish import Function
from .scalar import exact


@functools.cache
def ending(function: Function | None) -> Callable:
    """Device function (value, lo, hi, c) -> what is written in channel c.

    function None: min(max(value, lo), hi), where NaN stays NaN. Else functions of the value, and in the place of lo and hi stand the numbers that
    they take: lo = fields (a tuple), hi = weights [count, at least C + 3] by channel.
    """
    if function is None:
        return _bound
    functions, places, count, dtype = function
    value, at = composed(functions, places, dtype), _column(count)
    return exact(lambda v, fields, weights, c: value(v, fields + at(weights, c)))


@functools.cache
def finishing(function: Function | None) -> Callable:
    """Device function (value, residual, lo, hi, c, place, y): y[place] = `ending` of value + residual[place]; an empty residual is none."""
    end = ending(function)

    @device
    def finish(value, residual, lo, hi, c, place, y):
        if residual.size > 0:
            value += residual[place]
        y[place] = end(value, lo, hi, c)

    return finish


@compiled
def _bound(value, lo, hi, c):
    value = lo if value < lo else value
    return hi if value > hi else value


def _column(count: int) -> Callable:
    """Compiled function: column c of an array [count, …], as a tuple."""
    if count == 0:
        return exact(lambda weights, c: ())
    before, k = _column(count - 1), count - 1
    return exact(lambda weights, c: (*before(weights, c), weights[k, c]))
