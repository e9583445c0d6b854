"""Kernels of elementwise layers from their scalar functions: of one layer, or of several that follow each other. Those with weights
are in channelwise.py; finish.py and gpu_finish.py apply functions where another kernel writes its result.

Several are one pass over memory in each direction. Backward computes the values between them again: that takes less time than to store
and to load them. An element's bits are the same as if each layer ran by itself.
"""

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..jit import Kernel, factory
from .pieces import over_elements
from .scalar import exact, localize

Places = tuple[tuple[int, ...], ...]  # for each function, where among all numbers those stand that it takes


def fields_of(function: Callable) -> tuple[str, ...]:
    """The layer's fields and weights that a scalar function takes, by name."""
    return tuple(n for n in inspect.signature(function).parameters if n not in ("x", "y"))


def reads(function: Callable) -> tuple[str, ...]:
    """What a derivative is computed from: "x", "y", both or nothing."""
    return tuple(n for n in inspect.signature(function).parameters if n in ("x", "y"))


def title(functions: tuple[Callable, ...]) -> str:
    """Scalar functions in a kernel's name: Swish.f of whatever module is Swish."""
    return "_".join(f.__qualname__.removesuffix(".f").rpartition(".")[2] for f in functions)


class Scalars(NamedTuple):
    """Scalar functions, and the numbers that they take: (*fields, *a number of each of the weights), of which function i takes those at places[i].

    fields: numbers; weights: buffers [C], one number a channel.
    """

    functions: tuple[Callable, ...]
    places: Places
    fields: tuple[float, ...] = ()
    weights: tuple[Any, ...] = ()


def scalars(uses: Sequence[tuple[Callable, dict[str, Any], Callable[[str], float]]]) -> Scalars:
    """Functions, each with its layer's weights by name, and with what gives the value of a field by name."""
    fields: list[float] = []
    weights = list(dict.fromkeys(learned[n] for function, learned, _ in uses for n in fields_of(function) if n in learned))
    places: list[tuple[int, ...]] = []
    for function, learned, field in uses:
        at = []
        for name in fields_of(function):
            if name in learned:
                at.append(-1 - weights.index(learned[name]))
            else:
                at.append(len(fields))
                fields.append(float(field(name)))
        places.append(tuple(at))
    return Scalars(
        tuple(function for function, _, _ in uses),
        tuple(tuple(len(fields) - 1 - i if i < 0 else i for i in at) for at in places),
        tuple(fields),
        tuple(weights),
    )


def joined(parts: Sequence[Scalars]) -> Scalars:
    """The functions of all parts, those of the first one first."""
    fields = tuple(value for part in parts for value in part.fields)
    weights = tuple(dict.fromkeys(w for part in parts for w in part.weights))
    places, start = [], 0
    for part in parts:
        own = [*range(start, start + len(part.fields)), *(len(fields) + weights.index(w) for w in part.weights)]
        places += [tuple(own[i] for i in at) for at in part.places]
        start += len(part.fields)
    return Scalars(tuple(f for part in parts for f in part.functions), tuple(places), fields, weights)


def in_order(functions: tuple[Callable, ...]) -> Places:
    """The places of fields that lie one behind another, those of the first function first."""
    ends = list(itertools.accumulate((len(fields_of(f)) for f in functions), initial=0))
    return tuple(tuple(range(a, b)) for a, b in itertools.pairwise(ends))


@factory
def forward(functions: tuple[Callable, ...], name: str, dtype: type) -> Kernel:
    """Kernel run(x, fields, y): the functions of x, the first one first; fields: those of all functions, one after another."""
    return over_elements(composed(functions, in_order(functions), dtype), f"{name}_f")


@factory
def backward(functions: tuple[Callable, ...], derivatives: tuple[Callable, ...], name: str, dtype: type) -> Kernel:
    """Kernel run(x, y, dy, fields, more, dx): y = functions of x; fields of all but the last, and more, of all derivatives.

    The array y is read where the last derivative wants it, x where another one does or where there are several.
    """
    slope, value = _as_it_is, _itself
    for f, df, given, taken in zip(functions, derivatives, in_order(functions), in_order(derivatives), strict=True):
        slope = _slope(slope, value, of_both(localize(df, dtype), reads(df)), picked(taken))
        value = _value(value, localize(f, dtype), picked(given))
    return over_elements(slope, f"{name}_df", derivative=True)


def composed(functions: tuple[Callable, ...], places: Places, dtype: type) -> Callable:
    """One compiled function (x, numbers) that does the work of all."""
    value = _itself
    for f, at in zip(functions, places, strict=True):
        value = _value(value, localize(f, dtype), picked(at))
    return value


def picked(places: tuple[int, ...]) -> Callable:
    """Compiled function: the numbers at these places, as a tuple."""
    if places == tuple(range(places[0], places[0] + len(places)) if places else ()):
        first, last = (places[0], places[-1] + 1) if places else (0, 0)
        return exact(lambda numbers: numbers[first:last])
    before, place = picked(places[:-1]), places[-1]
    return exact(lambda numbers: (*before(numbers), numbers[place]))


def of_both(scalar: Callable, names: tuple[str, ...]) -> Callable:
    """A derivative as a compiled function of x and y, whatever it reads of them."""
    if names == ():
        return exact(lambda x, y, *numbers: scalar(*numbers))
    if names == ("x",):
        return exact(lambda x, y, *numbers: scalar(x, *numbers))
    if names == ("y",):
        return exact(lambda x, y, *numbers: scalar(y, *numbers))
    return scalar


@exact
def _itself(x, fields):
    return x


@exact
def _as_it_is(x, y, dy, fields, more):
    return dy


def _value(before: Callable, scalar: Callable, pick: Callable) -> Callable:
    """`scalar` of what the layers before it make of x."""
    return exact(lambda x, fields: scalar(before(x, fields), *pick(fields)))


def _slope(before: Callable, value: Callable, derivative: Callable, pick: Callable) -> Callable:
    """The gradient by x through a layer and those before it."""

    def run(x, y, dy, fields, more):
        between = value(x, fields)
        return before(x, between, dy * derivative(between, y, *pick(more)), fields, more)

    return exact(run)
