"""An activation as a layer of its own"""

from collections.abc import Iterator
from dataclasses import dataclass

from .. import registry
from ..errors import ConfigError
from ..layer import Layer, activation_layer, option


@dataclass(frozen=True)
class Activation(Layer):
    """The layer that `activation` names, or is.

    activation   a registered name ("relu", "mish", also a plugin's; "linear" changes nothing), or a layer without weights

    Shapes: (N, ...) -> the same.  Raises UnknownNameError, or ConfigError where the layer has weights.
    """

    activation: str | Layer = option(values=("relu", "tanh", "hard_swish", "linear"))

    def __post_init__(self):
        if isinstance(self.activation, str):
            registry.layers.resolve(self.activation)
        elif not isinstance(self.activation, Layer):
            raise ConfigError(f"Activation: activation={self.activation!r} must be a name such as 'relu' or a layer such as nn.LeakyReLU(0.1)")

    def parts(self) -> tuple[tuple[Layer, dict[str, str]], ...]:
        return ((activation_layer(self.activation), {}),)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls("mish"), (4, 5, 3)
        yield cls("linear"), (1, 1, 5)
        yield cls(activation_layer("leaky_relu")), (7,)
