"""Ways to compute a 2-D convolution, one a file: for each, when it can, and the launches that it notes.

A candidate has a `name`, `supports(problem) -> reason why not, or None`, and
  of PRODUCTS (the forward pass, and the gradient by the input, which is a transposed problem):
      note(step, problem, x, kernel, epilogue, y) -> buffer of y's moments where the epilogue wants them
  of WEIGHTS (the gradient by kernel and bias):
      note(step, problem, x, dy, dkernel, dbias)
A product's `takes_function` says that it applies the epilogue's function itself.
The first that can is taken, unless measurements on this machine say otherwise (`numbacnn bench --tune`).
"""

from typing import Any

from ..kernels.channelwise import note_function
from ..kernels.elementwise import title
from . import depthwise, direct, pointwise, winograd, winograd_weights
from .problem import FREE, Convolution, Epilogue

PRODUCTS = (*pointwise.PRODUCTS, *depthwise.PRODUCTS, *winograd.PRODUCTS, *direct.PRODUCTS)
WEIGHTS = (*pointwise.WEIGHTS, *depthwise.WEIGHTS, *winograd_weights.WEIGHTS, *direct.WEIGHTS)


def note_product(step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
    """Note y = finish((problem's product of x and kernel + bias) * scale + shift + residual), finish = the epilogue's function or clamp.

    Returns y's moments where they are wanted.
    """
    candidate = step.choose("product", PRODUCTS, problem)
    if epilogue.function is None or getattr(candidate, "takes_function", False):
        return candidate.note(step, problem, x, kernel, epilogue, y)
    between = step.like(y)
    candidate.note(step, problem, x, kernel, epilogue._replace(function=None), between)
    note_function(step, epilogue.function, title(epilogue.function.functions), between, y)
    return None


def note_weight_gradient(step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
    """Note the problem's gradient by its kernel, and dbias = sum of dy over all pixels."""
    step.choose("weights", WEIGHTS, problem).note(step, problem, x, dy, dkernel, dbias)


__all__ = ["FREE", "PRODUCTS", "WEIGHTS", "Convolution", "Epilogue", "note_product", "note_weight_gradient"]
