"""Matrix products: Dense, and 1x1 convolutions seen as matrices of pixels [N * H * W, channels].

A layer notes all launches of a product with three functions; x, y, dx, dy are matrices (buffers.reshape(rows, -1)):

    forward(step, x, kernel, epilogue, y)        y = finish((x @ kernel + bias) * scale + shift + residual): convolutions/problem.py's Epilogue
    data_gradient(step, dy, kernel, dx)          dx = dy @ kernel.T (+ residual)
    weight_gradient(step, x, dy, dkernel, dbias) dkernel = x.T @ dy, dbias = sum of dy's rows

kernel is [K, N], dbias [N]: `step.w.kernel.reshape(K, N)`; without a bias pass a step.new(N) for dbias.
Underneath, the call order is pack -> multiply, transpose -> multiply (gemm_multiply.py), weight_parts (-> add_parts; gemm_weights.py).
Packing reads weights only, so that a plan hoists it out of inference. Up to SMALL (SMALL_BACK) rows, `stream` (`stream_back`,
gemm_stream.py) read the weights in place.

Every output is computed by one job in a fixed order; sums over rows are cut into parts by shape alone, so results are the same bits
for any number of threads.
"""

from typing import Any

import numpy as np

from .gemm_multiply import bands, multiply, multiplying, pack, packed_columns, transpose
from .gemm_stream import stream_back, streaming
from .gemm_weights import add_parts, split, turned, weight_parts
from .tile import V, lanes

SMALL, SMALL_BACK = 2, 16  # rows up to which weights are read in place


def forward(step: Any, x: Any, kernel: Any, epilogue: Any, y: Any) -> Any:
    """Note the launches of y = finish((x @ kernel + bias) * scale + shift + residual); returns the moments where they are wanted."""
    (rows, k), n = x.shape, y.shape[1]
    vectors, limits, function = epilogue.vectors(step, n), epilogue.limits(step), epilogue.made_for(step.dtype)
    if rows <= SMALL and n >= V * lanes(step.dtype) and epilogue.residual is None and not epilogue.moments:
        step.run(streaming(function), x, kernel, *vectors, *limits, out=y)
        return None
    columns = packed_columns(n, step.dtype)
    packed, packed_bias = step.new(k * columns), step.new(columns)
    step.run(pack, kernel, *vectors, out=(packed, packed_bias))
    moments = step.new(bands(rows) if epilogue.moments else 0, 3, n)
    step.run(multiplying(function), x, packed, packed_bias, epilogue.addend(step, 2), *limits, out=(y, moments))
    return moments if epilogue.moments else None


def data_gradient(step: Any, dy: Any, kernel: Any, dx: Any, residual: Any = None) -> None:
    """Note the launches of dx = dy @ kernel.T + residual."""
    (rows, n), k = dy.shape, dx.shape[1]
    if rows <= SMALL_BACK and n >= 4 * V * lanes(step.dtype) and residual is None:
        step.run(stream_back, dy, kernel, out=dx)
        return
    columns = packed_columns(k, step.dtype)
    packed = step.new(n * columns)
    step.run(transpose, kernel, out=packed)
    nothing = step.constant(np.zeros(columns))
    residual = step.constant(np.zeros((0, 0))) if residual is None else residual
    step.run(multiply, dy, packed, nothing, residual, -np.inf, np.inf, out=(dx, step.new(0, 3, k)))


def weight_gradient(step: Any, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
    """Note the launches of dkernel = x.T @ dy and dbias = sum of dy's rows."""
    (rows, k), n = x.shape, dy.shape[1]
    parts, turn = split(rows, k, n), int(turned(k, n, step.dtype))
    if parts == 1 and not turn:
        step.run(weight_parts, x, dy, turn, out=(dkernel.reshape(1, k, n), dbias.reshape(1, n)))
        return
    part, part_bias = step.new(parts, *((n, k) if turn else (k, n))), step.new(parts, n)
    step.run(weight_parts, x, dy, turn, out=(part, part_bias))
    step.run(add_parts, part, part_bias, turn, out=(dkernel, dbias))
