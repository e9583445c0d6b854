"""Functions in a graph, such as x + 3 or tf.nn.relu(x), as layers of ours.

Keras 3 keeps them as operations (class Add, Relu, …, which are no layers), tf.keras 2 as TFOpLambda layers that name a function of
TensorFlow. Both are looked up in fixed lists; what is in neither is refused.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ... import registry
from ...errors import ConfigError, ShapeError
from ...graph import Shape
from .checks import Fail, flag, number, per_channel, shown
from .layers import Part
from .parse import Entry

_BINARY = {  # Keras 3's class, or TensorFlow's function -> what it does
    **{"Add": "add", "math.add": "add", "__operators__.add": "add", "__operators__.radd": "add"},
    **{"Subtract": "subtract", "math.subtract": "subtract"},
    **{"Multiply": "multiply", "math.multiply": "multiply"},
    **{"TrueDivide": "divide", "Divide": "divide", "math.truediv": "divide", "math.divide": "divide"},
    **{"Maximum": "maximum", "math.maximum": "maximum", "Minimum": "minimum", "math.minimum": "minimum"},
}
_MERGE = {"add": "Add", "subtract": "Subtract", "multiply": "Multiply", "maximum": "Maximum", "minimum": "Minimum"}
_UNARY = {
    **{"Relu": "ReLU", "nn.relu": "ReLU", "Relu6": "ReLU6", "nn.relu6": "ReLU6"},
    **{"Sigmoid": "Sigmoid", "math.sigmoid": "Sigmoid", "nn.sigmoid": "Sigmoid", "Tanh": "Tanh", "math.tanh": "Tanh", "nn.tanh": "Tanh"},
    **{"Silu": "Swish", "nn.silu": "Swish", "nn.swish": "Swish", "HardSigmoid": "HardSigmoid", "HardSilu": "HardSwish", "HardSwish": "HardSwish"},
    **{"Elu": "ELU", "nn.elu": "ELU", "Selu": "SELU", "nn.selu": "SELU", "Softplus": "Softplus", "math.softplus": "Softplus", "nn.softplus": "Softplus"},
    **{"Softsign": "Softsign", "nn.softsign": "Softsign", "Mish": "Mish", "Exp": "Exponential", "math.exp": "Exponential"},
    **{"Identity": "Identity", "identity": "Identity"},
}
_LAYERS_TOO = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")  # names that a layer has as well, which takes one list


def is_operation(entry: Entry) -> bool:
    """Whether an entry is an operation of Keras 3: no layer, absent from the list of layers.

    Its module says so. Files without modules (.h5) tell it from a layer by its arguments, and by what every layer has: `trainable`.
    """
    if isinstance(entry.module, str) and entry.module.startswith("keras."):
        return entry.module.startswith(("keras.src.ops", "keras.ops", "keras.src.activations", "keras.activations"))
    if entry.listed or entry.module is not None or {"trainable", "dtype"} & set(entry.config) or not entry.calls:
        return False
    if entry.class_name in _LAYERS_TOO:
        args, options = entry.calls[0].args, entry.calls[0].options
        return not (len(args) == 1 and isinstance(args[0], list)) or bool({"x1", "x2", "y"} & set(options))
    return entry.class_name in _BINARY or entry.class_name in _UNARY or entry.class_name in _SHAPED


def operation(entry: Entry, args: list, options: dict, shapes: Sequence[Shape], keras: int, fail: Fail) -> tuple[Part, ...]:
    """The layers of ours that compute a function. `args` and `options` hold Slots (numbers of inputs) where tensors stand."""
    kind = entry.class_name
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        kind = str(entry.config.get("function"))
        fail = _named(fail, f"function tf.{kind}")
    options = {k: v for k, v in options.items() if k not in ("name", "out_type", "training", "mask") and v is not None}
    unsaid = ("name", "trainable", "function", *(("dtype",) if kind != "Cast" else ()))  # of a TFOpLambda, dtype is the layer's
    settings = {k: v for k, v in entry.config.items() if k not in unsaid and v is not None}
    try:
        if kind in _BINARY:
            operands = [*args, *(options[k] for k in ("x1", "x", "x2", "y") if k in options)]
            return _binary(_BINARY[kind], operands, fail)
        if kind in _UNARY and not (kind == "HardSigmoid" and keras < 3):
            return (Part(registry.layers[_UNARY[kind]](), (_only(args, options, fail),)),)
        if kind in _SHAPED:
            return _SHAPED[kind](args, settings | options, shapes, fail)
    except (ConfigError, ShapeError) as error:  # a layer refused its fields
        raise fail(str(error)) from error
    raise fail("numbacnn has no layer for this function; in Keras, put a layer in its place and save again")


class Slot(int):
    """A tensor among the arguments: the number of the call's input."""


def _named(fail: Fail, what: str) -> Fail:
    return lambda reason: fail(f"{what}: {reason}")


def _only(args: list, options: dict, fail: Fail) -> int:
    found = args or [options[k] for k in ("x", "features", "logits", "input") if k in options]
    if not found or not isinstance(found[0], Slot):
        raise fail("it is not called on a tensor")
    return int(found[0])


def _binary(what: str, operands: list, fail: Fail) -> tuple[Part, ...]:
    """Two tensors, or a tensor and a number (or one a channel)."""
    if len(operands) != 2:
        raise fail(f"it has {len(operands)} operands, not 2")
    a, b = operands
    if isinstance(a, Slot) and isinstance(b, Slot):
        if what not in _MERGE:
            raise fail("a tensor divided by a tensor: numbacnn has no layer for that")
        return (Part(registry.layers[_MERGE[what]](), (int(a), int(b))),)
    if not (isinstance(a, Slot) or isinstance(b, Slot)):
        raise fail("neither of its operands is a tensor")
    first = isinstance(a, Slot)
    source, constant = (int(a), b) if first else (int(b), a)
    value = per_channel(constant, fail, "its constant operand")
    each = value if isinstance(value, tuple) else (value,)

    def vector(function: Callable[[float], float]) -> Any:
        made = tuple(map(function, each))
        return made if isinstance(value, tuple) else made[0]

    rescaling = registry.layers["Rescaling"]
    if what == "add":
        return (Part(rescaling(1.0, value), (source,)),)
    if what == "subtract":
        return (Part(rescaling(1.0, vector(lambda v: -v)) if first else rescaling(-1.0, value), (source,)),)
    if what == "multiply":
        return (Part(rescaling(value), (source,)),)
    if what == "divide" and first and all(each):
        return (Part(rescaling(vector(lambda v: 1 / v)), (source,)),)
    if what == "maximum" and value == 0:
        return (Part(registry.layers["ReLU"](), (source,)),)
    raise fail(f"{what} with {shown(constant)} in this place: numbacnn has no layer for that")


# ---- functions with settings: f(args, settings, shapes of the inputs, fail)


def _axis(value: Any, rank: int, fail: Fail) -> int:
    """An axis, counted from the front with the batch as 0."""
    if type(value) is not int or not -rank <= value < rank:
        raise fail(f"axis={shown(value)} is no axis of its input, which has {rank}")
    return value % rank


def _softmax(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    rank = len(shapes[0]) + 1
    axis = _axis(settings.get("axis", -1), rank, fail)
    return (Part(registry.layers["Softmax"](-1 if axis == rank - 1 else axis), (_only(args, settings, fail),)),)


def _leaky(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    slope = number(settings.get("negative_slope", settings.get("alpha", 0.2)), fail, "negative_slope")
    return (Part(registry.layers["LeakyReLU"](slope), (_only(args, settings, fail),)),)


def _relu(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    given = {k: number(settings[k], fail, k) for k in ("max_value", "negative_slope", "threshold") if k in settings}
    return (Part(registry.layers["ReLU"](**given), (_only(args, settings, fail),)),)


def _gelu(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    exact = settings.get("approximate", False)
    return (Part(registry.layers["GELU"](flag(exact, fail, "approximate")), (_only(args, settings, fail),)),)


def _clip(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    low = number(settings.get("x_min", settings.get("clip_value_min")), fail, "the lower bound")
    high = number(settings.get("x_max", settings.get("clip_value_max")), fail, "the upper bound")
    if low != 0 or high < 0:
        raise fail(f"values are kept between {low} and {high}: numbacnn has a layer for 0 and a number above it")
    return (Part(registry.layers["ReLU"](max_value=high), (_only(args, settings, fail),)),)


def _mean(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    rank, given = len(shapes[0]) + 1, settings.get("axis")
    axes = sorted(_axis(a, rank, fail) for a in (given if isinstance(given, list) else [given]))
    if rank != 4 or axes != [1, 2]:
        raise fail(f"the mean along axis={shown(given)}: numbacnn has a layer for that of images along [1, 2]")
    layer = registry.layers["GlobalAveragePooling2D"](flag(settings.get("keepdims", False), fail, "keepdims"))
    return (Part(layer, (_only(args, settings, fail),)),)


def _concatenate(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    if not args or not isinstance(args[0], list) or not all(isinstance(a, Slot) for a in args[0]):
        raise fail("it joins something other than tensors")
    rank = len(shapes[0]) + 1
    axis = _axis(settings.get("axis", -1), rank, fail)
    return (Part(registry.layers["Concatenate"](-1 if axis == rank - 1 else axis), tuple(map(int, args[0]))),)


def _reshape(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    target = settings.get("newshape", settings.get("shape"))
    if not isinstance(target, list) or not target or target[0] not in (None, -1) or not all(n is None or type(n) is int for n in target):
        raise fail(f"shape={shown(target)}: numbacnn reshapes what is behind the batch axis, which must be -1 or null")
    return (Part(registry.layers["Reshape"](tuple(-1 if n is None else n for n in target[1:])), (_only(args, settings, fail),)),)


def _transpose(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    order = settings.get("axes", settings.get("perm"))
    if not isinstance(order, list) or not all(type(n) is int for n in order) or order[:1] != [0]:
        raise fail(f"axes={shown(order)}: numbacnn transposes what is behind the batch axis, which must stay the first")
    return (Part(registry.layers["Permute"](tuple(order[1:])), (_only(args, settings, fail),)),)


def _square(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    source = _only(args, settings, fail)
    return (Part(registry.layers["Multiply"](), (source, source)),)


def _cast(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    if not str(settings.get("dtype")).startswith(("float", "bfloat")):
        raise fail(f"dtype={shown(settings.get('dtype'))}: numbacnn computes in float32 throughout")
    return (Part(registry.layers["Identity"](), (_only(args, settings, fail),)),)


def _negative(args: list, settings: dict, shapes: Sequence[Shape], fail: Fail) -> tuple[Part, ...]:
    return (Part(registry.layers["Rescaling"](-1.0), (_only(args, settings, fail),)),)


_SHAPED: dict[str, Callable] = {
    **{"Softmax": _softmax, "nn.softmax": _softmax, "LeakyRelu": _leaky, "nn.leaky_relu": _leaky, "ReLU": _relu, "Gelu": _gelu, "nn.gelu": _gelu},
    **{"Clip": _clip, "clip_by_value": _clip, "Mean": _mean, "math.reduce_mean": _mean, "Concatenate": _concatenate, "concat": _concatenate},
    **{"Reshape": _reshape, "reshape": _reshape, "Transpose": _transpose, "transpose": _transpose, "compat.v1.transpose": _transpose},
    **{"Square": _square, "math.square": _square, "Negative": _negative, "math.negative": _negative},
    **{"Cast": _cast, "cast": _cast},
}
