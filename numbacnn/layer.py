"""The contract of a layer, on one screen.

A layer is a frozen dataclass that owns no arrays. Its fields are its configuration, and are what a file stores.
It *describes* its work once: `forward` and `backward` are called a single time for each plan, with promises (Buffers)
instead of arrays, and every `step.run` notes one launch of a kernel.

The one rule: every buffer is written by exactly one launch, completely. Weights are the only memory that outlives a step.
Lifetimes, in-place results, frozen and unneeded launches, folding and gradient sums all follow from the recorded list.

What a step offers
  x, xs, y, dy          input (first of several inputs), output, gradient of the loss by the output
  dx, grad(i)           gradient by the first, the i-th input: backward's results. Integer inputs have none.
  w.<name>, dw.<name>   weights, and the gradients by them
  new(*shape, dtype=…)  a buffer that lives as long as the plan needs it;  like(b): of b's shape and type
  constant(array)       a buffer with fixed values
  workspace(*shape)     scratch memory [threads, *shape] for one launch: index it with numba.get_thread_id()
  shape, batch, dtype   output shape without the batch axis, batch size, the plan's float type
  clock, stream         uint64 [seed, step] and this layer's number: the only randomness (kernels/random.py)
  padding, affine, residual, clamp   what the plan folded into this layer, where the layer said that it takes it
  wants_moments, moments, x_moments  statistics that pass from a convolution to the normalization behind it
  choose(kind, candidates, problem)  first candidate whose supports(problem) gives no reason against it, or the tuned one
  run(kernel, *inputs, out=buffer or tuple)   note a launch: kernel(*inputs, *out). Python floats become the plan's dtype.
  Views, never copies: `step.y = step.x.reshape(…)`, `step.dx = step.dy.reshape(…)`.

Abilities, each optional; the plan asks for them and never for a class
  parts()               simpler layers, one behind another, that this one stands for
  inference()           the layer that takes this one's place at rest (same weights): outside training, where it is frozen, and before a frozen layer
  What stands around a layer is folded into it; all in this order: y = clamp(layer(padded x) * scale + shift + residual),
  or with elementwise layers in the place of the clamp.
  before(other)         a layer that does this one's work and then other's in one pass, where both are elementwise
  pads                  ((top, bottom), (left, right)): the layer puts that many zeros around images
  takes_padding         the layer reads step.padding, zeros to be imagined around step.x
  affine(step)          -> (scale, shift) buffers per channel: the layer is y = x * scale + shift
  takes_affine          forward reads step.affine, (scale, shift) to apply to its own output, or None
  adds                  the layer is the sum of its two inputs
  takes_residual        forward adds step.residual, a buffer like its output, or None
  clamp                 (lo, hi) where the layer is min(max(x, lo), hi), else None
  takes_clamp           forward applies step.clamp = (lo, hi) to its output; backward then must not read step.y
  scalars(step)         -> scalar functions with their numbers (kernels/elementwise.py), where the layer is elementwise, else None
  undone_from_output    such a layer's backward reads step.y and never step.x
  takes_function        forward applies step.function (such functions, or None) in the clamp's place; backward as with takes_clamp. With scalars: only at rest
  takes_folded_gradient backward gets the gradient behind clamp and residual, undoes them itself and writes step.dresidual, if it is there
  takes_dx_residual     backward adds step.dx_residual (or None), what other readers of x give, to step.dx
  takes_moments         forward reads step.x_moments [parts, 3, C]: count, mean, squared deviations by part of the pixels, or None
  gives_moments         forward leaves those of its output in step.moments where step.wants_moments is true
  link                  "softmax" or "sigmoid": losses that know it work from the logits before it
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, ClassVar

from . import registry
from .contract import no_dataclass
from .errors import ConfigError, ShapeError
from .functional import Symbol, call
from .graph import Shape
from .kernels import channelwise, elementwise
from .weight import Initial, Penalty, PerChannel, Weight


def option(default: Any = MISSING, *, low: float | None = None, high: float | None = None, values: Iterable | None = None, draw: bool = True) -> Any:
    """A field with the range that tests may draw it from: low..high (inclusive), or one of `values`; draw=False: never drawn."""
    return field(default=default, metadata={"low": low, "high": high, "values": None if values is None else tuple(values), "draw": draw})


@dataclass(frozen=True)
class Layer:
    """Base of all layers. Shapes are tuples without the batch axis."""

    name: str | None = field(default=None, kw_only=True)
    trainable: bool = field(default=True, kw_only=True)

    link: ClassVar[str | None] = None
    pads: ClassVar[tuple | None] = None
    affine: ClassVar[Callable | None] = None
    adds: ClassVar[bool] = False
    clamp: ClassVar[tuple[float, float] | None] = None
    takes_padding: ClassVar[bool] = False
    takes_affine: ClassVar[bool] = False
    takes_residual: ClassVar[bool] = False
    takes_clamp: ClassVar[bool] = False
    scalars: ClassVar[Callable | None] = None
    undone_from_output: ClassVar[bool] = False
    takes_function: ClassVar[bool] = False
    takes_folded_gradient: ClassVar[bool] = False
    takes_dx_residual: ClassVar[bool] = False
    takes_moments: ClassVar[bool] = False
    gives_moments: ClassVar[bool] = False
    kinks: ClassVar[tuple[float, ...]] = ()  # inputs where the derivative jumps: gradient checks stay away from them

    def __new__(cls, *args, **kwargs):
        if lacks := no_dataclass(cls):
            raise ConfigError(f"{cls.__name__} {lacks} above it")
        return super().__new__(cls)

    def __call__(self, inputs: "Symbol | list[Symbol]") -> Symbol:
        """Use the layer on a symbol (or a list, for layers with several inputs)."""
        return call(self, inputs)

    def output_shape(self, x: Shape) -> Shape:
        """Shape of the output; a bad input shape raises ShapeError with the reason (the plan adds layer and shape)."""
        return x

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        """The weights that inputs of these shapes need, in Keras' order."""
        return {}

    def inference(self) -> "Layer":
        """The layer that takes this one's place when its weights rest, with the same weights."""
        return self

    def parts(self) -> "tuple[tuple[Layer, dict[str, str]], ...]":
        """Layers that this one stands for, each with {its weight's name: this layer's name for it} where they differ; () if itself."""
        activation = getattr(self, "activation", None)
        if activation in (None, "linear"):
            return ()
        return (replace(self, activation=None), {}), (activation_layer(activation), {})

    def before(self, other: "Layer") -> "Layer | None":
        """A layer without weights that does this one's work and then other's, in one pass; None where there is no such."""
        return None

    def forward(self, step: Any) -> tuple | None:
        """Note the launches that make step.y; what it returns, backward receives."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, step: Any, *kept: Any) -> None:
        """Note the launches that make step.dx (or each step.grad(i)) and step.dw.<name>."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def multiply_adds(self, *xs: Shape) -> int:
        """Multiplications for one image: each weight with at least two axes is used once at every position of the output."""
        positions = math.prod(self.output_shape(*xs)[:-1])
        return positions * sum(math.prod(w.shape) for w in self.weights(*xs).values() if len(w.shape) >= 2)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        """(layer, input shape, …) for the tests that run over all layers."""
        if any(f.name not in ("name", "trainable") for f in fields(cls)):
            raise NotImplementedError(f"{cls.__name__} has fields but yields no examples()")
        yield cls(), (4, 5, 3)

    @classmethod
    def from_activation(cls) -> "Layer":
        """The layer that `activation="its_name"` means."""
        return cls()


Activation = str | Layer | None


def activation_layer(spec: "str | Layer") -> Layer:
    """The layer behind `activation=`: a registered name (any layer's, also a plugin's) or a layer."""
    layer = spec if isinstance(spec, Layer) else registry.layers[spec].from_activation()
    try:
        if layer.weights((1, 1, 1)) == {}:
            return layer
    except Exception:  # it looked closer at the shape than an elementwise layer would
        pass
    raise ConfigError(f"activation={spec!r} has weights or needs a shape of its own: add it as a layer behind this one")


def pair(layer: Layer, *names: str, low: int = 1) -> None:
    """For __post_init__: fields given as one int become (int, int), and values below `low` are refused."""
    for name in names:
        value = getattr(layer, name)
        both = (value, value) if isinstance(value, int) else tuple(value)
        if len(both) != 2 or not all(isinstance(v, int) and v >= low for v in both):
            raise ConfigError(f"{type(layer).__name__}: {name}={value!r} must be an integer or two integers of at least {low}")
        object.__setattr__(layer, name, both)


def positive(layer: Layer, *names: str, low: float = 1) -> None:
    """For __post_init__: numbers below `low` are refused."""
    for name in names:
        if not getattr(layer, name) >= low:
            raise ConfigError(f"{type(layer).__name__}: {name}={getattr(layer, name)!r} must be at least {low}")


def choice(layer: Layer, name: str, *values: Any) -> None:
    """For __post_init__: a field must have one of `values`."""
    if getattr(layer, name) not in values:
        raise ConfigError(f"{type(layer).__name__}: {name}={getattr(layer, name)!r} must be one of {', '.join(map(repr, values))}")


@dataclass(frozen=True)
class Elementwise(Layer):
    """Two scalar functions, `f(x, *fields)` and `df(x and/or y, *fields)`; kernels and gradient follow.

    Fields are passed by name, as the plan's float type; the names x and y say what the derivative needs. Both may use
    `math` (replaced by vectorizable float32 versions, kernels/scalar.py) and plain helper functions.
    A layer whose functions depend on its fields overrides `functions`.

    A weight with one number a channel is a class attribute, `beta = PerChannel("ones")`. f and df take the number of their element's
    channel by that name, and `df_beta(x and/or y, *fields)` is f's derivative by it; its gradient, the sum over all pixels and samples,
    follows. A layer whose weights depend on its fields overrides `weights`, too. Raises ConfigError where a trained weight has no df_….
    """

    takes_function = property(lambda self: type(self).forward is Elementwise.forward)

    @classmethod
    def learned(cls) -> dict[str, PerChannel]:
        """The weights of the class, by name."""
        return {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items() if isinstance(value, PerChannel)}

    def output_shape(self, x: Shape) -> Shape:
        if self.learned() and (not x or x[-1] is None):
            raise ShapeError("the number of channels (the last axis) must be known")
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        channels = self.output_shape(x)[-1:]
        return {name: Weight(channels, w.init, w.trainable, w.decay, w.regularizer) for name, w in self.learned().items()}

    def functions(self) -> tuple[Callable, Callable]:
        """(f, df) for this layer's fields."""
        return type(self).f, type(self).df

    def links(self) -> "tuple[Elementwise, ...]":
        """The layers whose work this one does, in order."""
        return (self,)

    def before(self, other: Layer) -> "Layer | None":
        if not isinstance(other, Elementwise) or self.learned() or other.learned():
            return None  # a chain has no weights
        return Chain((*self.links(), *other.links()))

    @property
    def undone_from_output(self) -> bool:
        return len(self.links()) == 1 and not self.learned() and elementwise.reads(self.functions()[1]) in (("y",), ())

    def scalars(self, step: Any) -> elementwise.Scalars:
        return elementwise.joined([layer._scalars(step, layer.functions()[:1]) for layer in self.links()])

    def forward(self, step: Any) -> None:
        channelwise.note_layer(step, self.scalars(step), self._title)

    def backward(self, step: Any) -> None:
        functions, derivatives = zip(*(layer.functions() for layer in self.links()), strict=True)
        trained = [name for name, weight in self.learned().items() if weight.trainable]
        derivatives = (*derivatives, *(channelwise.derivative_by(type(self), name) for name in trained))
        names = {n for df in derivatives for n in elementwise.reads(df)}
        # Never read what no derivative needs: it may be gone.
        x = step.x if "x" in names or len(functions) > 1 else step.y if "y" in names else step.dy
        y = step.y if "y" in names else x
        if self.learned():
            gradients = tuple(getattr(step.dw, name) for name in trained)
            channelwise.note_backward(step, self._scalars(step, derivatives), self._title, x, y, step.dy, step.dx, gradients)
            return
        kernel = elementwise.backward(functions, derivatives, self._title, step.dtype)
        step.run(kernel, x, y, step.dy, self._values(functions[:-1]), self._values(derivatives), out=step.dx)

    @property
    def _title(self) -> str:
        return "_".join(type(layer).__name__ for layer in self.links())

    def _scalars(self, step: Any, functions: tuple[Callable, ...]) -> elementwise.Scalars:
        learned = {name: getattr(step.w, name) for name in self.learned()}
        return elementwise.scalars([(f, learned, self._number) for f in functions])

    def _number(self, name: str) -> float:
        """A field that a scalar function takes by name."""
        if not hasattr(self, name):
            known = [f.name for f in fields(self) if f.name not in ("name", "trainable")] + list(self.learned())
            told = f"a parameter is x, in a derivative also y, a field or a weight ({', '.join(known) or 'it has none'})"
            raise ConfigError(f"{type(self).__name__}: f or a derivative of it takes {name!r}: {told}{'; write @staticmethod above it' * (name == 'self')}")
        return getattr(self, name)

    def _values(self, functions: tuple[Callable, ...]) -> tuple[float, ...]:
        return tuple(float(layer._number(n)) for layer, f in zip(self.links(), functions, strict=False) for n in elementwise.fields_of(f))


@dataclass(frozen=True)
class Chain(Elementwise):
    """Elementwise layers that follow each other, in one pass. Plans make it (`before`); it stands in no file and no registry."""

    layers: tuple[Elementwise, ...]

    def links(self) -> tuple[Elementwise, ...]:
        return self.layers

    @property
    def kinks(self) -> tuple[float, ...]:
        return self.layers[0].kinks


__all__ = ["Activation", "Elementwise", "Initial", "Layer", "Penalty", "PerChannel", "Weight", "activation_layer", "choice", "option", "pair", "positive"]
