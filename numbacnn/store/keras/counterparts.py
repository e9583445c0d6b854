"""Which class of Keras a layer of ours is."""

from typing import Any

from ... import registry
from ...errors import UnknownNameError
from .rules import WRITTEN

_AS = {"ReLU6": "ReLU", **dict.fromkeys(("Sigmoid", "Tanh", "Swish", "HardSigmoid", "HardSwish", "GELU", "Softplus", "Softsign"), "Activation")}
_AS |= {**dict.fromkeys(("SELU", "Mish", "Exponential"), "Activation"), "Input": "InputLayer"}


def our_name(layer: Any) -> str:
    """The registered name of a layer's class; the class' own where it is not registered."""
    try:
        return registry.layers.name_of(type(layer))
    except UnknownNameError:
        return type(layer).__name__


def keras_class(layer: Any) -> str:
    """The class that Keras' files call a layer; its own name where Keras has none."""
    name = our_name(layer)
    return WRITTEN[name].keras if name in WRITTEN else _AS.get(name, name)
