"""Kernels of elementwise layers from their scalar functions: of one layer, or of several that follow each other.

Several are one pass over memory in each direction. Backward computes the values between them again: that takes less time than to store
and to load them. An element's bits are the same as if each layer ran by itself.
"""

import inspect
from collections.abc import Callable

from ..jit import Kernel, factory
from ..jit import elementwise as over_elements
from .scalar import exact, localize


def fields_of(function: Callable) -> tuple[str, ...]:
    """The layer's fields that a scalar function takes, by name."""
    return tuple(n for n in inspect.signature(function).parameters if n not in ("x", "y"))


def reads(function: Callable) -> tuple[str, ...]:
    """What a derivative is computed from: "x", "y" or both."""
    return tuple(n for n in inspect.signature(function).parameters if n in ("x", "y"))


@factory
def forward(functions: tuple[Callable, ...], name: str, dtype: type) -> Kernel:
    """Kernel run(x, fields, y): the functions of x, the first one first; fields: those of all functions, one after another."""
    value, count = _itself, 0
    for f in functions:
        value, count = _value(value, localize(f, dtype), count, count + len(fields_of(f))), count + len(fields_of(f))
    return over_elements(value, f"{name}_f")


@factory
def backward(functions: tuple[Callable, ...], derivatives: tuple[Callable, ...], name: str, dtype: type) -> Kernel:
    """Kernel run(x, y, dy, fields, more, dx): y = functions of x; fields of all but the last, and more, of all derivatives.

    The array y is read where the last derivative wants it, x where another one does or where there are several.
    """
    slope, value, given, taken = _as_it_is, _itself, 0, 0
    for f, df in zip(functions, derivatives, strict=True):
        slope = _slope(slope, value, _of_both(localize(df, dtype), reads(df)), taken, taken + len(fields_of(df)))
        value = _value(value, localize(f, dtype), given, given + len(fields_of(f)))
        given, taken = given + len(fields_of(f)), taken + len(fields_of(df))
    return over_elements(slope, f"{name}_df", derivative=True)


@exact
def _itself(x, fields):
    return x


@exact
def _as_it_is(x, y, dy, fields, more):
    return dy


def _value(before: Callable, scalar: Callable, first: int, last: int) -> Callable:
    """`scalar` of what the layers before it make of x."""
    return exact(lambda x, fields: scalar(before(x, fields), *fields[first:last]))


def _slope(before: Callable, value: Callable, derivative: Callable, first: int, last: int) -> Callable:
    """The gradient by x through a layer and those before it."""

    def run(x, y, dy, fields, more):
        between = value(x, fields)
        return before(x, between, dy * derivative(between, y, *more[first:last]), fields, more)

    return exact(run)


def _of_both(scalar: Callable, names: tuple[str, ...]) -> Callable:
    if names == ("x",):
        return exact(lambda x, y, *fields: scalar(x, *fields))
    if names == ("y",):
        return exact(lambda x, y, *fields: scalar(y, *fields))
    return scalar
