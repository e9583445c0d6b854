"""Ways to compute a 2-D convolution, one a file: for each, when it can, and the launches that it notes.

A candidate has a `name`, a `device` ("cpu" where it says none), `rounds` where it rounds factors to the problem's precision itself,
`least` where it needs a GPU of that compute capability, `supports(problem) -> reason why not, or None`, and
  of PRODUCTS (the forward pass, and the gradient by the input, which is a transposed problem):
      note(step, problem, x, kernel, epilogue, y) -> buffer of y's moments where the epilogue wants them
  of WEIGHTS (the gradient by kernel and bias):
      note(step, problem, x, dy, dkernel, dbias)
A product's `takes_function` says that it applies the epilogue's function itself; `takes_weights`, where it is False: only one without weights.
The first that can is taken, unless measurements on this machine say otherwise (`numbacnn bench --tune`).
"""

from typing import Any

from ..kernels.channelwise import note_function
from ..kernels.elementwise import Scalars, title
from ..kernels.rounding import KERNELS
from . import depthwise, direct, gpu_grouped, gpu_tensor, gpu_tiles, pointwise, winograd, winograd_weights
from .problem import FREE, Convolution, Epilogue

_ON_CPU = pointwise, depthwise, winograd, direct
_ON_GPU = gpu_tensor, gpu_tiles, gpu_grouped
PRODUCTS = tuple(candidate for room in (*_ON_CPU, *_ON_GPU) for candidate in room.PRODUCTS)
WEIGHTS = tuple(candidate for room in (pointwise, depthwise, winograd_weights, direct, *_ON_GPU) for candidate in room.WEIGHTS)


def note_product(step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
    """Note y = finish((problem's product of x and kernel + bias) * scale + shift + residual), finish = the epilogue's function or clamp.

    Returns y's moments where they are wanted.
    """
    chosen = step.choose("product", PRODUCTS, problem)
    factors = _rounded(step, problem, chosen, x, kernel)
    if epilogue.function is None or _applies(chosen, epilogue.function):
        return chosen.note(step, problem, *factors, epilogue, y)
    between = step.like(y)
    chosen.note(step, problem, *factors, epilogue._replace(function=None), between)
    note_function(step, epilogue.function, title(epilogue.function.functions), between, y)
    return None


def _applies(chosen: Any, function: Scalars) -> bool:
    return getattr(chosen, "takes_function", False) and (not function.weights or getattr(chosen, "takes_weights", True))


def note_weight_gradient(step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
    """Note the problem's gradient by its kernel, and dbias = sum of dy over all pixels."""
    chosen = step.choose("weights", WEIGHTS, problem)
    chosen.note(step, problem, *_rounded(step, problem, chosen, x, dy), dkernel, dbias)


def _rounded(step: Any, problem: Convolution, chosen: Any, *factors: Any) -> tuple:
    """The factors with the problem's precision, unless the algorithm rounds them itself: so a CPU gives what tensor cores give."""
    if not problem.rounds or problem.groups > 1 or getattr(chosen, "rounds", False):
        return factors
    return tuple(step.run(KERNELS[problem.precision], factor, out=step.like(factor)) for factor in factors)


__all__ = ["FREE", "PRODUCTS", "WEIGHTS", "Convolution", "Epilogue", "note_product", "note_weight_gradient"]
