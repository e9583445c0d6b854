"""Activations by name, both ways: a fixed list of Keras' names, and the registered elementwise layers of ours and of plugins."""

from dataclasses import replace
from typing import Any

from ... import registry
from ...errors import NumbacnnError
from ...layer import Elementwise, Layer, activation_layer
from .checks import Fail, shown

_OURS = {  # Keras' name -> ours
    **{n: n for n in ("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softmax", "gelu", "softplus", "softsign", "mish")},
    **{"swish": "swish", "silu": "swish", "hard_swish": "hard_swish", "hard_silu": "hard_swish", "exponential": "exponential"},
    "hard_sigmoid": "hard_sigmoid",
}
_WRITTEN = {  # our class -> (Keras 3's name, the name that Keras 3 and tf.keras 2.15 both know)
    "Identity": ("linear", "linear"),
    "ReLU": ("relu", "relu"),
    "ReLU6": ("relu6", None),
    "LeakyReLU": ("leaky_relu", None),
    "ELU": ("elu", "elu"),
    "SELU": ("selu", "selu"),
    "Sigmoid": ("sigmoid", "sigmoid"),
    "Tanh": ("tanh", "tanh"),
    "Softmax": ("softmax", "softmax"),
    "Swish": ("silu", "swish"),
    "GELU": ("gelu", "gelu"),
    "Softplus": ("softplus", "softplus"),
    "Softsign": ("softsign", "softsign"),
    "Exponential": ("exponential", "exponential"),
    "Mish": ("mish", "mish"),
    "HardSwish": ("hard_silu", None),
    "HardSigmoid": ("hard_sigmoid", None),  # the same name means another slope in tf.keras 2
}


def old_hard_sigmoid() -> Layer:
    """What "hard_sigmoid" meant before Keras 3: clip(0.2 x + 0.5, 0, 1)."""
    return registry.layers["HardSigmoid"](slope=0.2)


def by_name(name: Any, keras: int, fail: Fail) -> str | Layer:
    """Our activation for a name in a file of this major version of Keras; a name of ours, or a layer where no name says it."""
    if not isinstance(name, str):
        raise fail(f"activation={shown(name)} is no name")
    if name == "hard_sigmoid" and keras < 3:
        return old_hard_sigmoid()
    if name in _OURS:
        return _OURS[name]
    own = name.rpartition(">")[2]  # "package>name" is how Keras names what a user registered
    try:
        if own in registry.layers and issubclass(registry.layers[own], Elementwise):
            return registry.layers.resolve(own)
    except NumbacnnError as error:
        raise fail(f"activation={shown(name)}: {error}") from error
    raise fail(
        f"activation {shown(name)} is none that numbacnn knows ({', '.join(sorted(_OURS))}); if it is code of yours, write it as an Elementwise layer "
        f'and register that: [project.entry-points."{registry.layers.group}"] {own if own.isidentifier() else "name"} = "your_module:YourLayer"'
    )


def written_name(spec: str | Layer | None, keras3: bool) -> str | None:
    """Keras' name for an activation of ours; None where no name means the same (in both libraries, unless only Keras 3 will read it)."""
    layer = spec if isinstance(spec, Layer) else activation_layer(spec or "linear")
    cls, name = type(layer), type(layer).__name__
    if name not in _WRITTEN or cls is not registry.layers[name] or replace(layer, name=None, trainable=True) != cls.from_activation():
        return None
    return _WRITTEN[name][0 if keras3 else 1]
