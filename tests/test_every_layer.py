"""Every registered layer, a plugin's too, without a line of test code for it: values, shapes, gradients, files.

What a layer brings along: `examples()`, ranges in its fields' metadata, `kinks`, and for a built-in its oracle in reference.py.
"""

from dataclasses import dataclass, fields

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import numbacnn as nn
from numbacnn import registry, testing
from numbacnn.jit import kernel, prange
from numbacnn.layer import Elementwise, Layer, activation_layer, option

CLASSES = sorted({registry.layers[name] for name in registry.layers} - {registry.layers["Input"]}, key=lambda cls: cls.__name__)
EXAMPLES = [pytest.param(layer, shapes, id=f"{cls.__name__}-{i}") for cls in CLASSES for i, (layer, *shapes) in enumerate(cls.examples())]


def oracle(layer, weights, *xs, training=False):
    """The reference for a layer, its activation included."""
    y = getattr(reference, type(layer).__name__)(layer, weights, *xs, training=training)
    activation = getattr(layer, "activation", None)
    if y is None or activation in (None, "linear") or type(layer).__name__ == "Activation":
        return y
    behind = activation_layer(activation)
    return getattr(reference, type(behind).__name__)(behind, {}, y, training=training)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_has_an_oracle_and_something_to_draw(cls):
    own = [f for f in fields(cls) if f.name not in ("name", "trainable")]
    assert list(cls.examples()), f"{cls.__name__}.examples() yields nothing"
    if cls.__module__.startswith("numbacnn."):
        assert hasattr(reference, cls.__name__), f"tests/reference.py has no oracle for {cls.__name__}"
    numbers = [f.name for f in own if f.type in (int, float, "int", "float") and not f.metadata]
    assert not numbers, f"{cls.__name__}: fields {numbers} have no range: declare them with option(default, low=, high=)"


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES)
def test_example(layer, shapes):
    testing.check_layer(layer, *shapes, oracle=oracle)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=12)
@given(data=st.data())
def test_drawn_configurations(cls, data):
    layer, shapes = data.draw(testing.layers_of(cls))
    testing.check_gradient(layer, *shapes, batch=data.draw(st.integers(1, 3)), seed=data.draw(st.integers(0, 99)), directions=1)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_save_and_load(cls, tmp_path):
    layer, *shapes = next(iter(cls.examples()))
    inputs = [nn.Input(s) for s in shapes]
    model = nn.Model(inputs, layer(inputs[0] if len(inputs) == 1 else inputs), seed=3)
    xs = [np.random.default_rng(0).standard_normal((3, *s)).astype(np.float32) for s in shapes]
    x = xs[0] if len(xs) == 1 else xs
    y = model.predict(x)
    model.save(tmp_path / "model.h5")
    again = nn.load(tmp_path / "model.h5")
    assert [h.layer for h in again.layers] == [h.layer for h in model.layers]
    assert np.array_equal(again.predict(x), y)
    assert np.array_equal(model.predict(xs[0][:1] if len(xs) == 1 else [a[:1] for a in xs]), y[:1]) or np.allclose(
        y[:1], model.predict([a[:1] for a in xs] if len(xs) > 1 else xs[0][:1]), atol=1e-6
    )


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_input_that_is_not_contiguous(cls):
    layer, *shapes = next(iter(cls.examples()))
    inputs = [nn.Input(s) for s in shapes]
    model = nn.Model(inputs, layer(inputs[0] if len(inputs) == 1 else inputs), seed=3)
    wide = [np.random.default_rng(0).standard_normal((4, *s)).astype(np.float32) for s in shapes]
    views = [np.asfortranarray(a)[::2] for a in wide]
    copies = [np.ascontiguousarray(v) for v in views]
    one = len(shapes) == 1
    assert np.array_equal(model.predict(views[0] if one else views), model.predict(copies[0] if one else copies))


# ---- the examination itself finds what is wrong


@kernel(flat=True)
def triple(x, y):
    for i in prange(y.size):
        y[i] = 3 * x[i]


@kernel(flat=True)
def triple_wrong(dy, dx):
    for i in prange(dx.size):
        dx[i] = dy[i] * (3 + 1e-4)


@dataclass(frozen=True)
class Wrong(Layer):
    def forward(self, step):
        step.run(triple, step.x, out=step.y)

    def backward(self, step):
        step.run(triple_wrong, step.dy, out=step.dx)


@dataclass(frozen=True)
class WrongCube(Elementwise):
    @staticmethod
    def f(x):
        return x * x * x

    @staticmethod
    def df(x):
        return 3.0 * x * x + 1e-4


@pytest.mark.parametrize("layer", [Wrong(), WrongCube()], ids=lambda layer: type(layer).__name__)
def test_a_wrong_gradient_is_caught(layer):
    with pytest.raises(AssertionError, match="gradient by input 0"):
        testing.check_gradient(layer, (4, 5, 3))


def test_a_wrong_shape_is_caught():
    @dataclass(frozen=True)
    class Liar(Layer):
        def output_shape(self, x):
            return (x[0],)

        def forward(self, step):
            step.y = step.x

    with pytest.raises(nn.ConfigError, match=r"made \(4, 5, 3\), but its output_shape\(\) says \(4,\)"):
        testing.check_layer(Liar(), (4, 5, 3), gradient=False)


def test_a_layer_with_fields_but_nothing_to_draw_is_caught():
    @dataclass(frozen=True)
    class Silent(Layer):
        amount: float = 1.0

    with pytest.raises(NotImplementedError, match="Silent has fields but yields no examples"):
        list(Silent.examples())


def test_a_buffer_written_twice_is_caught():
    @dataclass(frozen=True)
    class Twice(Layer):
        def forward(self, step):
            step.run(triple, step.x, out=step.y)
            step.run(triple, step.x, out=step.y)

    with pytest.raises(nn.ConfigError, match=r"triple writes .* which triple of 'layer' writes already"):
        testing.check_layer(Twice(), (4, 5, 3), gradient=False)


def test_ranges_are_drawn():
    @dataclass(frozen=True)
    class Ranged(Layer):
        amount: int = option(1, low=1, high=3)

        @classmethod
        def examples(cls):
            yield cls(), (2, 2, 1)

    seen = set()

    @settings(max_examples=60, database=None)
    @given(drawn=testing.layers_of(Ranged))
    def draw(drawn):
        seen.add(drawn[0].amount)

    draw()
    assert seen == {1, 2, 3}
