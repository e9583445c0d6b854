"""How PyTorch's modules keep what our layers keep: the names of their weights, their shapes, and the way from one to the other.

Conv2D kernel (rows, columns, in, out)                 Conv2d weight (out, in, rows, columns)
DepthwiseConv2D kernel (rows, columns, C, multiplier)  Conv2d(groups=C) weight (C * multiplier, 1, rows, columns)
Conv2DTranspose kernel (rows, columns, out, in)        ConvTranspose2d weight (in, out, rows, columns)
Dense kernel (in, out)                                 Linear weight (out, in); behind Flatten see orders.py
BatchNormalization gamma, beta, moving_…               weight, bias, running_mean, running_var (num_batches_tracked has no counterpart)
GroupNormalization, LayerNormalization gamma, beta     weight, bias
PReLU alpha (…, C)                                     weight (C,)
SeparableConv2D                                        two modules: a depthwise and a 1x1 Conv2d
Any other layer's weights                              the same names and shapes

What a layer *computes* is the graph's: padding="same" with strides is not PyTorch's symmetric padding (put ZeroPadding2D before a
"valid" convolution, as resnet18 does), and BatchNormalization's epsilon is 1e-3 here and 1e-5 there unless the graph says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...graph import Graph, Shape
from ...layers.batch_normalization import BatchNormalization
from ...layers.conv2d import Conv2D
from ...layers.conv2d_transpose import Conv2DTranspose
from ...layers.dense import Dense
from ...layers.depthwise_conv2d import DepthwiseConv2D
from ...layers.group_normalization import GroupNormalization
from ...layers.layer_normalization import LayerNormalization
from ...layers.prelu import PReLU
from ...layers.separable_conv2d import SeparableConv2D
from .orders import Order, orders

Turn = Callable[[np.ndarray], np.ndarray]
Rule = Callable[[Shape, Order, Order], tuple[Shape, Turn]]  # (our shape, order of the input, of the output) -> their shape, and theirs -> ours


@dataclass(frozen=True)
class Place:
    """One weight: our path owner/name and shape, PyTorch's shape, and what turns an array of theirs into ours."""

    path: str
    shape: Shape
    theirs: Shape
    turn: Turn


Module = dict[str, Place]  # PyTorch's name of a weight within a module -> place


def _image(shape: Shape, before: Order, after: Order) -> tuple[Shape, Turn]:
    return (shape[3], shape[2], *shape[:2]), lambda a: a.transpose(2, 3, 1, 0)


def _depthwise(shape: Shape, before: Order, after: Order) -> tuple[Shape, Turn]:
    rows, columns, channels, multiplier = shape
    return (channels * multiplier, 1, rows, columns), lambda a: a.reshape(channels, multiplier, rows, columns).transpose(2, 3, 0, 1)


def _matrix(shape: Shape, before: Order, after: Order) -> tuple[Shape, Turn]:
    return shape[::-1], lambda a: _sorted(_sorted(a, after).T, before)


def _vector(shape: Shape, before: Order, after: Order) -> tuple[Shape, Turn]:
    return shape, lambda a: _sorted(a, after)


def _slopes(shape: Shape, before: Order, after: Order) -> tuple[Shape, Turn]:
    alike = all(n == 1 for n in shape[:-1])  # one slope a channel, or one for all
    return shape[-1:] if alike else shape, lambda a: _sorted(a, after).reshape(shape)


def _same(shape: Shape, before: Order, after: Order) -> tuple[Shape, Turn]:
    return shape, lambda a: a


def _sorted(array: np.ndarray, order: Order) -> np.ndarray:
    return array if order is None else array[order]


Row = tuple[str, str, Rule]
_BIAS = ("bias", "bias", _vector)
_NORM = (("gamma", "weight", _vector), ("beta", "bias", _vector))
_MOVING = (("moving_mean", "running_mean", _vector), ("moving_variance", "running_var", _vector))
# class of layers -> its modules, each with rows of (our name, theirs, rule)
_LAYERS: dict[type, tuple[tuple[Row, ...], ...]] = {
    Conv2D: ((("kernel", "weight", _image), _BIAS),),
    Conv2DTranspose: ((("kernel", "weight", _image), _BIAS),),
    DepthwiseConv2D: ((("kernel", "weight", _depthwise), _BIAS),),
    SeparableConv2D: ((("depthwise_kernel", "weight", _depthwise),), (("pointwise_kernel", "weight", _image), _BIAS)),
    Dense: ((("kernel", "weight", _matrix), _BIAS),),
    BatchNormalization: ((*_NORM, *_MOVING),),
    GroupNormalization: (_NORM,),
    LayerNormalization: (_NORM,),
    PReLU: ((("alpha", "weight", _slopes),),),
}


def modules(graph: Graph) -> dict[str, tuple[Module, ...]]:
    """Owner of weights -> the PyTorch modules that it is (one, but for SeparableConv2D), in the order of the graph's nodes."""
    shapes = graph.shapes()
    made, read = orders(graph)
    found: dict[str, tuple[Module, ...]] = {}
    for node in graph.nodes:
        specs = node.layer.weights(*(shapes[i] for i in node.inputs)) if node.owner not in found else {}
        if specs:
            before, after = read.get(node.name), made[node.name]
            rows = _rows(node.layer, tuple(specs))
            found[node.owner] = tuple(
                {theirs: _place(node.weight_path(ours), tuple(specs[ours].shape), rule, before, after) for ours, theirs, rule in module if ours in specs}
                for module in rows
            )
    return found


def _rows(layer: Any, names: tuple[str, ...]) -> tuple[tuple[Row, ...], ...]:
    """The modules of a layer with weights of these names; weights that no rule is for are in the last one."""
    known = next((rows for cls, rows in _LAYERS.items() if isinstance(layer, cls)), ((),))
    named = {ours for rows in known for ours, _, _ in rows}
    return *known[:-1], (*known[-1], *((name, name, _same) for name in names if name not in named))


def _place(path: str, shape: Shape, rule: Rule, before: Order, after: Order) -> Place:
    theirs, turn = rule(shape, before, after)
    return Place(path, shape, theirs, turn)
