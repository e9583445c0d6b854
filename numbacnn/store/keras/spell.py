"""Layers of ours -> Keras' classes and options; and what a layer must be taken apart into first, where no class says it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ... import registry
from ...errors import ConfigError
from ...graph import Shape
from ...layer import Layer, activation_layer
from .activations import written_name
from .counterparts import our_name
from .for_training import write_initializer, write_regularizer
from .rules import WRITTEN

_FORMATTED = (  # classes that ask how images lie, and would else take it from the reader's settings
    *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D"),
    *("GlobalMaxPooling2D", "ZeroPadding2D", "Cropping2D", "UpSampling2D", "Flatten"),
)


@dataclass(frozen=True)
class Spelled:
    """A class of Keras with its options."""

    class_name: str
    config: dict
    module: str = "keras.layers"


def spelled(layer: Layer, shapes: Sequence[Shape], keras3: bool) -> Spelled | None:
    """How Keras 3 spells a layer, or else how Keras 3 and tf.keras 2.15 both do; None where no one class does."""
    name = our_name(layer)
    if name == "Input":
        key = "batch_shape" if keras3 else "batch_input_shape"
        return Spelled("InputLayer", {key: [None, *layer.shape], "sparse": False})
    if name not in WRITTEN and (found := written_name(layer, keras3)) is not None:
        return Spelled("Activation", {"activation": found})
    if name not in WRITTEN or type(layer) is not registry.layers[name]:
        return None
    rule, config = WRITTEN[name], {}
    for key in (*rule.fields, *rule.vectors):
        value = getattr(layer, key)
        if key == "activation":
            if (value := written_name(value, keras3)) is None:
                return None
        elif key.endswith("_initializer"):
            value = write_initializer(value) if keras3 else None
        elif key.endswith("_regularizer"):
            value = write_regularizer(value, keras3)
        if value is not None:
            config["alpha" if name == "LeakyReLU" and not keras3 else key] = _listed(value)
    if rule.channels:
        config["axis"] = -1
    if rule.keras in _FORMATTED:
        config["data_format"] = "channels_last"
    if name == "LayerScale":
        config["projection_dim"] = shapes[0][-1]
    if name == "Normalization" and "mean" in config:  # Keras 3 wants both of one length
        longest = max(len(v) if isinstance(v, list) else 1 for v in (config["mean"], config["variance"]))
        for key in ("mean", "variance"):
            config[key] = config[key] if longest == 1 or isinstance(config[key], list) else [config[key]] * longest
    return Spelled(rule.keras, config, rule.module)


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


# ---- taking apart: f(layer, keras3) -> [(layer, sources)]; sources are numbers of inputs, or of parts before it, ~0 the first

Parts = list[tuple[Layer, tuple[int, ...]]]


def taken_apart(layer: Layer, inputs: int, keras3: bool) -> Parts | None:
    """Layers that compute the same, the first of them with the weights; None where there are none."""
    everything = tuple(range(inputs))
    activation = getattr(layer, "activation", None)
    if our_name(layer) == "Activation":
        return [(activation_layer(activation), everything)]
    if activation not in (None, "linear") and written_name(activation, keras3) is None:
        return [(replace(layer, activation=None), everything), (activation_layer(activation), (~0,))]
    apart = _APART.get(our_name(layer))
    return apart(layer) if apart else None


def _relu6(layer: Layer) -> Parts:
    return [(registry.layers["ReLU"](max_value=6.0), (0,))]


def _hard_sigmoid(layer: Layer) -> Parts:
    return [(registry.layers["Rescaling"](layer.slope, 0.5), (0,)), (registry.layers["ReLU"](max_value=1.0), (~0,))]


def _hard_swish(layer: Layer) -> Parts:
    return [*_hard_sigmoid(registry.layers["HardSigmoid"]()), (registry.layers["Multiply"](), (0, ~1))]


def _gelu(layer: Layer) -> Parts | None:
    """By tanh: x * sigmoid(k (x + 0.044715 x³)), k = 2 sqrt(2 / π)."""
    if not layer.approximate:
        return None
    k, multiply = 1.5957691216057308, registry.layers["Multiply"]
    cubic = [(multiply(), (0, 0)), (registry.layers["Rescaling"](0.044715 * k, k), (~0,)), (multiply(), (0, ~1))]
    return [*cubic, (registry.layers["Activation"]("sigmoid"), (~2,)), (multiply(), (0, ~3))]


_APART: dict[str, Callable[[Layer], Parts | None]] = {"ReLU6": _relu6, "HardSigmoid": _hard_sigmoid, "HardSwish": _hard_swish, "GELU": _gelu}


def refusal(node: str, layer: Layer) -> ConfigError:
    """The error for a layer that Keras has nothing for."""
    return ConfigError(
        f"layer {node!r} ({type(layer).__name__}) cannot be written to a Keras file: Keras has no layer that computes the same. "
        "Save the model as numbacnn's own file, or put layers of Keras' kind in its place"
    )
