"""Functions of `math` that an elementwise layer calls and that do not become vector instructions: it says why such a layer is slow."""

import math
import types
from collections.abc import Callable

from ...kernels.channelwise import derivative_by
from ...kernels.scalar import FUNCTIONS
from ...layer import Elementwise
from ...rebuild import names

INSTRUCTIONS = {"ceil", "copysign", "fabs", "floor", "isfinite", "isinf", "isnan", "sqrt", "trunc"}  # vectors have them


def one_by_one(layer: Elementwise) -> str:
    """What to say about it, or ""."""
    learned = [derivative_by(type(layer), name) for name, weight in layer.learned().items() if weight.trainable]
    found = set().union(*(_called(function, set()) for function in (*layer.functions(), *learned))) - FUNCTIONS.keys() - INSTRUCTIONS
    return f"math.{', math.'.join(sorted(found))}: one number at a time ({', '.join(sorted(FUNCTIONS))}, sqrt: several)" if found else ""


def _called(function: Callable, seen: set[int]) -> set[str]:
    """Functions of math that a scalar function and its helpers name."""
    seen.add(id(function))
    used = names(function.__code__)
    values = [*(function.__globals__[n] for n in used if n in function.__globals__), *(c.cell_contents for c in function.__closure__ or ())]
    calls = {v.__name__ for v in values if isinstance(v, types.BuiltinFunctionType) and v.__module__ == "math"}
    if math in values:
        calls |= {n for n in used if isinstance(getattr(math, n, None), types.BuiltinFunctionType)}
    helpers = (v for v in values if isinstance(v, types.FunctionType) and not v.__module__.startswith("numbacnn.") and id(v) not in seen)
    return calls.union(*(_called(v, seen) for v in helpers))
