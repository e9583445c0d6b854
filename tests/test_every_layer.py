"""Every registered layer, a plugin's too, without a line of test code for it: values, and the examination of `numbacnn plugins check`.

What a layer brings along: `examples()`, ranges in its fields' metadata, `kinks`, and for a built-in its oracle in reference.py.
"""

from dataclasses import dataclass, fields

import numpy as np
import pytest
import reference
from hypothesis import given, settings

import numbacnn as nn
from numbacnn import registry, testing
from numbacnn.jit import kernel, prange
from numbacnn.layer import Layer, activation_layer, option
from numbacnn.testing.examination import FAILED, LAYER, OK, examine

CLASSES = sorted({registry.layers[name] for name in registry.layers} - {registry.layers["Input"]}, key=lambda cls: cls.__name__)
OURS = [cls for cls in CLASSES if cls.__module__.startswith("numbacnn.")]  # a plugin's tests have an oracle of their own
EXAMPLES = [pytest.param(layer, shapes, id=f"{cls.__name__}-{i}") for cls in OURS for i, (layer, *shapes) in enumerate(cls.examples())]


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
    if cls in OURS:
        assert hasattr(reference, cls.__name__), f"tests/reference.py has no oracle for {cls.__name__}"
    numbers = [f.name for f in own if f.type in (int, float, "int", "float") and not f.metadata]
    assert not numbers, f"{cls.__name__}: fields {numbers} have no range: declare them with option(default, low=, high=)"


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES)
def test_values(layer, shapes):
    for training, batch in ((False, 2), (True, 2), (False, 1)):
        testing.check_oracle(layer, *shapes, oracle=oracle, batch=batch, seed=batch, training=training)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_examination(cls):
    """What `numbacnn plugins check` looks at: configuration, shapes, gradients, precision, batches, memory, threads, float64, files."""
    marks = [check.mark(cls) for check in LAYER if not check.costly]
    failed = [(mark.check, mark.trace) for mark in marks if mark.mark != OK]
    assert not failed, "\n".join(f"{check}: {trace}" for check, trace in failed)


COSTLY = {check.name for check in LAYER if check.costly}
FEW = {"ReLU", "MaxPooling2D"}


def test_costly_part_of_the_examination():
    """Bounds, speed, and files that another process loads: of two layers here, of the others in the nightly tests."""
    reports = examine("numbacnn", checks=COSTLY, names=FEW)
    assert {r.subject.name for r in reports} == FEW
    _assert_passed(reports)


@pytest.mark.slow
def test_costly_part_of_the_examination_of_all():
    reports = examine("numbacnn", checks=COSTLY, names={cls.__name__ for cls in OURS} - FEW)
    assert len(reports) == len(OURS) - len(FEW)
    _assert_passed(reports)


def _assert_passed(reports):
    marks = [(r.subject.name, mark) for r in reports for mark in r.marks]
    assert [(name, mark.check, mark.detail) for name, mark in marks if mark.mark == FAILED] == []
    assert {mark.check for _, mark in marks} == COSTLY


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


# ---- what is drawn, and what a plan refuses (tests/testing/ has the faults that the examination finds)


@kernel(flat=True)
def triple(x, y):
    for i in prange(y.size):
        y[i] = 3 * x[i]


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
