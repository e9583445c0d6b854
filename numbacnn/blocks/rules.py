"""Keras' rules for widths and borders, which registered models and the networks of keras.applications share."""

from ..functional import Symbol


def divisible(value: float, by: int = 8) -> int:
    """The multiple of `by` nearest to value, but not below 90 % of it."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded


def correct_pad(x: Symbol, kernel: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros in front of a strided convolution without padding of its own: one less on top and left for even sizes, and for unknown ones."""
    border = kernel // 2
    return tuple((border - (1 if n is None else 1 - n % 2), border) for n in x.shape[:2])
