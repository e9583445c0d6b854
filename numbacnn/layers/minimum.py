"""y = min(a, b, …)"""

from dataclasses import dataclass

from ..jit import compiled
from .maximum import Extreme


@compiled
def smaller(a, b):
    return b if b < a or b != b else a  # NaN in either is NaN


@compiled
def first_is_least(a, b):
    return not (b < a or b != b)


@dataclass(frozen=True)
class Minimum(Extreme):
    """Smallest of two or more inputs, place by place; of equal ones the first gets the gradient.

    Shapes: (N, ...) each, axes equal or 1 -> (N, ...).
    """

    pick = staticmethod(smaller)
    first_wins = staticmethod(first_is_least)
