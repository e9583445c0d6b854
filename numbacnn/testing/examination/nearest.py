"""The built-in layer that does most nearly what another one does, told by what it takes, gives and learns."""

from collections.abc import Callable, Sequence

from ... import registry
from ...layer import Layer

Shapes = Sequence[tuple[int, ...]]


def nearest(layer: Layer, shapes: Shapes) -> Layer | None:
    """A layer for the same input shapes; None where there is none like it."""
    y = layer.output_shape(*shapes)
    kernels = [w.shape for w in layer.weights(*shapes).values() if w.trainable]
    for fits, make in _RULES:
        if fits(shapes, y, kernels):
            return make(shapes, y, kernels)
    return None


def _new(name: str, **fields) -> Layer:
    return registry.layers[name](**fields)


def _is_image(shapes: Shapes) -> bool:
    return len(shapes) == 1 and len(shapes[0]) == 3


def _four_axes(kernels: list) -> tuple | None:
    return next((k for k in kernels if len(k) == 4), None)


def _ratio(large: int, small: int) -> int:
    return max(1, large // max(small, 1))


_RULES: tuple[tuple[Callable, Callable], ...] = (
    # several inputs
    (lambda xs, y, ws: len(xs) > 1 and all(x == y for x in xs), lambda xs, y, ws: _new("Add")),
    (lambda xs, y, ws: len(xs) > 1 and sum(x[-1] for x in xs) == y[-1], lambda xs, y, ws: _new("Concatenate")),
    (lambda xs, y, ws: len(xs) > 1, lambda xs, y, ws: None),
    # weights with four axes: a convolution, of all channels or of each by itself
    (
        lambda xs, y, ws: _is_image(xs) and len(y) == 3 and (k := _four_axes(ws)) is not None and k[2] == xs[0][2] and k[3] == y[2],
        lambda xs, y, ws: _new("Conv2D", filters=y[2], kernel_size=_four_axes(ws)[:2], strides=_ratio(xs[0][0], y[0]), padding="same"),
    ),
    (
        lambda xs, y, ws: _is_image(xs) and len(y) == 3 and _four_axes(ws) is not None,
        lambda xs, y, ws: _new("DepthwiseConv2D", kernel_size=_four_axes(ws)[:2], strides=_ratio(xs[0][0], y[0]), padding="same"),
    ),
    # matrices; vectors for each channel, or as large as the input
    (lambda xs, y, ws: any(len(w) == 2 for w in ws) and y[:-1] == xs[0][:-1], lambda xs, y, ws: _new("Dense", units=y[-1])),
    (lambda xs, y, ws: bool(ws) and y == xs[0] and any(w == y[-1:] for w in ws), lambda xs, y, ws: _new("BatchNormalization")),
    (lambda xs, y, ws: bool(ws) and y == xs[0], lambda xs, y, ws: _new("PReLU")),
    (lambda xs, y, ws: bool(ws), lambda xs, y, ws: None),
    # without weights
    (lambda xs, y, ws: y == xs[0], lambda xs, y, ws: _new("ReLU")),
    (lambda xs, y, ws: _is_image(xs) and y == xs[0][-1:], lambda xs, y, ws: _new("GlobalAveragePooling2D")),
    (
        lambda xs, y, ws: _is_image(xs) and len(y) == 3 and y[2] == xs[0][2] and y[0] <= xs[0][0] and y[1] <= xs[0][1],
        lambda xs, y, ws: _new("AveragePooling2D", pool_size=(_ratio(xs[0][0], y[0]), _ratio(xs[0][1], y[1]))),
    ),
    (
        lambda xs, y, ws: _is_image(xs) and len(y) == 3 and y[2] == xs[0][2],
        lambda xs, y, ws: _new("UpSampling2D", size=(_ratio(y[0], xs[0][0]), _ratio(y[1], xs[0][1]))),
    ),
)
