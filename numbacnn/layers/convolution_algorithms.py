"""Ways to compute a 2-D convolution: for each, when it can, and the launches that it notes.

A candidate has a `name`, `supports(layer, shape of the input) -> reason why not, or None`, `forward(step, layer)` and
`backward(step, layer, kept)`. Conv2D takes the first of ALGORITHMS that can.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Shape
from ..kernels import gemm
from ..kernels.convolution import Taps, convolve, data_taps, forward_taps, pack, packed_shape, pad_columns
from ..kernels.convolution_weights import add_shares, shares, weight_gradient
from ..kernels.padding import borders

FREE = (-np.inf, np.inf)
NARROW = 8  # fewer input channels than this are slow as taps of their own


def note_convolution(step: Any, x: Any, weights: Any, bias: Any, affine: Any, taps: Taps, groups: int, transposed: int, clamp: Sequence[float], y: Any) -> None:
    """Note the launches of y = clamp((x * weights + bias) * scale + shift); bias and affine = (scale, shift) may be None.

    x and y are images (N, H, W, C); taps say where they meet. weights (kh, kw, in / groups, out), or with transposed = 1 those of
    the convolution whose gradient this is: (kh, kw, out / groups, in).
    """
    outputs, count = y.shape[3], weights.shape[0] * weights.shape[1]
    zeros = step.constant(np.zeros(outputs))
    scale, shift = affine or (step.constant(np.ones(outputs)), zeros)
    shape = packed_shape(count, weights.size // (count * outputs), outputs, groups, step.dtype)
    packed, packed_bias = step.new(*shape), step.new(shape[0] * shape[1] * shape[4])
    step.run(pack, weights, zeros if bias is None else bias, scale, shift, transposed, out=(packed, packed_bias))
    step.run(convolve, x, packed, packed_bias, *map(step.constant, taps), *map(float, clamp), out=y)


def note_weight_gradient(step: Any, x: Any, dy: Any, taps: Taps, groups: int, dw: Any, db: Any) -> None:
    """Note the launches of dw and db = sum of dy, for the convolution that makes images like dy from x with forward_taps."""
    n, h, w, outputs = dy.shape
    parts = shares(n * h * w, outputs, groups, step.dtype)
    facts = (x, dy, *map(step.constant, taps), groups, parts)
    if parts == 1:
        step.run(weight_gradient, *facts, out=(dw, db))
        return
    dws, dbs = step.new(parts, *dw.shape), step.new(parts, *db.shape)
    step.run(weight_gradient, *facts, out=(dws, dbs))
    step.run(add_shares, dws, dbs, out=(dw, db))


def bias_of(step: Any, layer: Any) -> Any:
    return step.w.bias if layer.use_bias else None


def bias_gradient(step: Any, layer: Any) -> Any:
    return step.dw.bias if layer.use_bias else step.new(layer.filters)


def low_borders(layer: Any, shape: Shape) -> tuple[int, int]:
    """Rows and columns of zeros before an image of `shape`."""
    places = zip(shape, layer.kernel_size, layer.strides, layer.dilation_rate, strict=False)
    return tuple(borders(n, k, s, d, layer.padding)[0] for n, k, s, d in places)


class DirectTile:
    """Direct convolution on register tiles: always possible."""

    name = "direct tile"

    def supports(self, layer: Any, shape: Shape) -> str | None:
        return None

    def taps(self, step: Any, layer: Any) -> tuple:
        return layer.kernel_size, layer.strides, layer.dilation_rate, low_borders(layer, step.x.shape[1:])

    def forward(self, step: Any, layer: Any) -> Any:
        taps = forward_taps(*self.taps(step, layer))
        note_convolution(step, step.x, step.w.kernel, bias_of(step, layer), step.affine, taps, layer.groups, 0, step.clamp, step.y)

    def backward(self, step: Any, layer: Any, kept: Any) -> None:
        self.data_gradient(step, layer)
        note_weight_gradient(step, step.x, step.dy, forward_taps(*self.taps(step, layer)), layer.groups, step.dw.kernel, bias_gradient(step, layer))

    def data_gradient(self, step: Any, layer: Any) -> None:
        note_convolution(step, step.dy, step.w.kernel, None, None, data_taps(*self.taps(step, layer)), layer.groups, 1, FREE, step.dx)


class JoinedColumns(DirectTile):
    """Direct convolution of few input channels: a row of the kernel is one long tap over an input with padded columns."""

    name = "direct tile, joined columns"

    def supports(self, layer: Any, shape: Shape) -> str | None:
        if shape[2] >= NARROW:
            return f"{shape[2]} input channels are enough for taps of their own"
        if layer.groups > 1:
            return f"groups={layer.groups}"
        if layer.dilation_rate[1] > 1 or layer.kernel_size[1] == 1:
            return "the taps of a kernel's row do not lie side by side"
        return None

    def forward(self, step: Any, layer: Any) -> Any:
        n, h, _, channels = step.x.shape
        low, taps = self.joined(step, layer)
        padded = step.new(n, h, (step.shape[1] - 1) * layer.strides[1] + layer.kernel_size[1], channels)
        step.run(pad_columns, step.x, low, out=padded)
        kernel = step.w.kernel.reshape(layer.kernel_size[0], 1, -1, layer.filters)
        note_convolution(step, padded, kernel, bias_of(step, layer), step.affine, taps, 1, 0, step.clamp, step.y)
        return padded

    def backward(self, step: Any, layer: Any, kept: Any) -> None:
        self.data_gradient(step, layer)
        note_weight_gradient(step, kept, step.dy, self.joined(step, layer)[1], 1, step.dw.kernel, bias_gradient(step, layer))

    def joined(self, step: Any, layer: Any) -> tuple[int, Taps]:
        low = low_borders(layer, step.x.shape[1:])
        return low[1], forward_taps((layer.kernel_size[0], 1), layer.strides, layer.dilation_rate, (low[0], 0))


class Pointwise:
    """A 1x1 convolution is one matrix product over all pixels."""

    name = "pointwise"

    def supports(self, layer: Any, shape: Shape) -> str | None:
        if layer.kernel_size != (1, 1) or layer.strides != (1, 1):
            return f"kernel_size={layer.kernel_size}, strides={layer.strides}"
        return f"groups={layer.groups}" if layer.groups > 1 else None

    def forward(self, step: Any, layer: Any) -> Any:
        bias = step.w.bias if layer.use_bias else step.constant(np.zeros(layer.filters))
        gemm.forward(step, self.matrix(step.x), self.weights(step.w.kernel), bias, self.matrix(step.y))

    def backward(self, step: Any, layer: Any, kept: Any) -> None:
        x, dy = self.matrix(step.x), self.matrix(step.dy)
        gemm.data_gradient(step, dy, self.weights(step.w.kernel), self.matrix(step.dx))
        gemm.weight_gradient(step, x, dy, self.weights(step.dw.kernel), bias_gradient(step, layer))

    @staticmethod
    def matrix(images: Any) -> Any:
        return images.reshape(-1, images.shape[3])

    @staticmethod
    def weights(kernel: Any) -> Any:
        return kernel.reshape(kernel.shape[2], kernel.shape[3])


ALGORITHMS = (Pointwise(), JoinedColumns(), DirectTile())
