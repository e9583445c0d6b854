"""Sequential: layers one behind another."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from .data.arrays import are_arrays, as_data
from .errors import ConfigError
from .functional import Handle, Symbol
from .layer import Layer
from .model import Input, Model


class Sequential(Model):
    """Layers one behind another: `Sequential([nn.Input((64, 64, 3)), nn.Conv2D(32, 3), …])`. Models may be among them.

    Without an Input first, the model is built when it first sees data (or by `build(input_shape)`).
    """

    def __init__(self, layers: Sequence[Any] = (), name: str | None = None, seed: int | None = None):
        self._begin(name)
        self._seed, self._stack, self._pending = seed, list(layers), None
        for item in self._stack:
            self._check(item)
        if self._stack and isinstance(self._stack[0], (Symbol, Model)):
            self.build()

    @staticmethod
    def _check(item: Any) -> None:
        if not isinstance(item, (Layer, Symbol, Model)):
            raise ConfigError(f"Sequential takes layers, not {type(item).__name__}: {item!r}")

    def add(self, layer: Any) -> None:
        """Put a layer behind the last one."""
        self._check(layer)
        self._stack.append(layer)
        if "graph" in self.__dict__ or isinstance(self._stack[0], (Symbol, Model)):
            self.build()

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the graph; input_shape with the batch axis first, as Keras: (None, 64, 64, 3)."""
        first, *rest = self._stack or [None]
        if isinstance(first, Model):
            source = x = Input(first._inputs[0].shape)
            rest = self._stack
        elif isinstance(first, Symbol):
            source = x = first
        elif input_shape is None:
            raise ConfigError("the model does not know its input's shape: begin with nn.Input(shape), or call build((None, height, width, channels))")
        else:
            source = x = Input(tuple(input_shape)[1:])
            rest = self._stack
        for item in rest:
            if isinstance(item, Symbol):
                raise ConfigError("nn.Input comes first in Sequential, not behind another layer")
            x = item(x)
        self._build(source, x, self._seed)
        if self._pending:
            args, self._pending = self._pending, None
            self.compile(**args)

    @property
    def layers(self) -> list[Handle]:
        """Handles of all layers but the input, as in Keras."""
        return [h for h in super().layers if h.input_shapes]

    def __getattr__(self, name: str) -> Any:
        if name in ("graph", "handles", "network", "_inputs", "_outputs", "_session", "_compiled"):
            raise ConfigError("the model is not built yet: begin with nn.Input(shape), or call build((None, height, width, channels))")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self):
        return super().__repr__() if "graph" in self.__dict__ else f"<Sequential of {len(self._stack)} layers, not built>"

    def compile(self, *args: Any, **options: Any) -> None:
        if "graph" not in self.__dict__:
            names = ("optimizer", "loss", "metrics", "loss_weights", "device", "threads", "groups")
            self._pending = dict(zip(names, args, strict=False)) | options
            return
        super().compile(*args, **options)

    compile.__doc__ = Model.compile.__doc__

    def _see(self, x: Any) -> Any:
        """Build the model for x where it is not built yet; gives x back, whole."""
        if "graph" in self.__dict__:
            return x
        if are_arrays(x):
            self.build(np.shape(x))
            return x
        first = next(iter(as_data(x).epoch(0)))
        self.build(np.shape(first[0]))
        return chain([first], x) if isinstance(x, Iterator) else x

    def __call__(self, x: Any) -> Any:
        if "graph" not in self.__dict__ and isinstance(x, Symbol):
            self.build((None, *x.shape))
        return super().__call__(x)
