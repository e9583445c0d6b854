"""ChannelMish: Mish whose sharpness is learned, one number for each channel.

An elementwise layer is scalar functions: f, its derivative df by x, and one df_<weight> for each weight with one number a channel. numbacnn makes
CPU and GPU kernels of them. Reference for the function: Misra, Mish: a self regularized non-monotonic activation function, 2019; for a learned
sharpness: Ramachandran, Zoph, Le, Searching for activation functions, 2017 (their Swish has one).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from numbacnn import Elementwise, PerChannel


def gate(z):
    """tanh(softplus(z)) = a / (a + b), with one exponential, without overflow or cancellation."""
    e = math.exp(-abs(z))
    a = 1.0 + 2.0 * e if z >= 0.0 else e * (e + 2.0)
    b = 2.0 * e * e if z >= 0.0 else 2.0
    return a / (a + b)


def gate_slope(z):
    """The derivative of gate: (1 - gate²) * sigmoid(z)."""
    e = math.exp(-abs(z))
    a = 1.0 + 2.0 * e if z >= 0.0 else e * (e + 2.0)
    b = 2.0 * e * e if z >= 0.0 else 2.0
    w = 1.0 / (a + b)
    return 4.0 * e * (1.0 + e) * (e if z >= 0.0 else 1.0) * w * w


@dataclass(frozen=True)
class ChannelMish(Elementwise):
    """y = x * tanh(softplus(beta * x)); with beta = 1, where it starts, this is Mish; towards infinity ReLU, at 0 the line 0.6 x.

    Shapes: (N, ..., C) -> the same.  Weight beta (C,), which does not decay: decay would only make the layer a line.
    Raises ShapeError where C is not known.
    """

    contract: ClassVar[int] = 1  # the version of numbacnn's contract that this was written for

    beta = PerChannel("ones", decay=False)

    @staticmethod
    def f(x, beta):
        return x * gate(beta * x)

    @staticmethod
    def df(x, beta):
        z = beta * x
        return gate(z) + z * gate_slope(z)

    @staticmethod
    def df_beta(x, beta):
        return x * x * gate_slope(beta * x)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        """(layer, input shape) for tests."""
        yield cls(), (4, 5, 3)
        yield cls(), (7,)
        yield cls(), (1, 2, 35)
