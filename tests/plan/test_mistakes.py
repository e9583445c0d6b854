"""What somebody who writes a layer gets wrong first, and what the message must name. All of it met by a newcomer who had the guide alone."""

import math
from dataclasses import dataclass

import pytest

import numbacnn as nn
from numbacnn.jit import compiled, cuda, kernel, prange
from numbacnn.testing import check_layer
from numbacnn.testing.twins import check_twin


def square(v):
    return v * v


@compiled
def squared(v):
    return v * v


@kernel
def scaled(x, factor, y):
    for i in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[i, c] = x[i, c] * factor


@kernel
def squares(x, y):
    for i in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[i, c] = square(x[i, c])


@kernel
def squares_in_peace(x, y):
    for i in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[i, c] = squared(x[i, c])


@squares_in_peace.cuda(threads=32)
def squares_on_gpu(x, y):
    for i in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
        for c in range(x.shape[1]):
            y[i, c] = squared(x[i, c])


@kernel
def all_into_one(x, y):
    for i in range(y.shape[0]):
        y[i, 0] = 0
    for i in prange(x.shape[1]):
        for n in range(x.shape[0]):
            y[n, 0] += x[n, i]


class Describes(nn.Layer):
    def forward(self, step):
        self.work(step)

    @classmethod
    def of(cls, work, **more):
        return type("Mine", (cls,), {"work": staticmethod(work), **more})()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda s: s.run(scaled, s.x, out=s.y), r"kernel scaled\(x, factor, y\) takes 3 arguments, inputs first: step\.run gives it 1 and out= 1"),
        (lambda s: s.run(scaled, s.x, 2.0, s.new(1), out=s.y), r"takes 3 arguments, inputs first: step\.run gives it 3 and out= 1"),
        (lambda s: s.run(scaled, s.x[0], 2.0, out=s.y), r"promise of an array, not one.*: index it in a kernel; reshape and part give views"),
        (lambda s: s.run(scaled, s.x + 1, 2.0, out=s.y), r"promise of an array, not one.*: compute with it in a kernel"),
        (lambda s: s.run(scaled, 2.0 * s.x, 2.0, out=s.y), r"promise of an array, not one.*: compute with it in a kernel"),
        (lambda s: s.run(scaled, -s.x, 2.0, out=s.y), r"promise of an array, not one.*: compute with it in a kernel"),
        (lambda s: list(s.x), r"promise of an array, not one.*: index it in a kernel"),
        (lambda s: s.run(squares, s.x, out=s.y), r"kernel squares calls square, a plain function: decorate it with numbacnn\.jit\.compiled$"),
    ],
)
def test_descriptions(work, said):
    with pytest.raises((nn.ConfigError, TypeError), match=said):
        check_layer(Describes.of(work), (4,))


def test_a_decorated_function_serves_both_devices():
    layer = Describes.of(lambda s: s.run(squares_in_peace, s.x, out=s.y), backward=lambda self, step: step.run(scaled, step.dy, 2.0, out=step.dx))
    check_twin(layer, (4,))


def test_jobs_that_write_the_same():
    layer = Describes.of(lambda s: s.run(all_into_one, s.x, out=s.y), output_shape=lambda self, x: (1,))
    with pytest.raises(AssertionError, match="a barrier is missing, or jobs of a loop over prange write the same elements"):
        check_twin(layer, (40,))


@pytest.mark.parametrize("made", [nn.Weight, lambda shape: nn.Weight(shape=shape)])
@pytest.mark.parametrize("shape", [5, None, ("C",), 3.0, (2, -1)])
def test_a_shape_that_is_none(made, shape):
    with pytest.raises(nn.ConfigError, match=r"Weight: shape=.* must be a tuple of lengths, such as \(5,\)"):
        made(shape)


@pytest.mark.parametrize(("init", "error", "said"), [("zeroes", nn.UnknownNameError, "'zeroes'.*'zeros'"), (1.0, nn.ConfigError, "1.0 must be a name")])
def test_an_initializer_that_is_none(init, error, said):
    for make in (lambda: nn.Weight((3,), init), lambda: nn.PerChannel(init)):
        with pytest.raises(error, match=said):
            make()


def test_the_decorator_forgotten():
    class Forgot(nn.Layer):
        epsilon: float = nn.option(1e-3, low=1e-3, high=1.0)

    for make in (Forgot, lambda: Forgot(epsilon=1.0), lambda: Forgot(name="it")):
        with pytest.raises(nn.ConfigError, match=r"Forgot has fields \(epsilon\) but lacks @dataclass\(frozen=True\) above it"):
            make()


def test_a_subclass_without_fields_needs_no_decorator():
    class Plain(nn.ReLU):
        kinks: "nn.layer.ClassVar[tuple]" = (0.0,)

    assert Plain(name="it").name == "it"


class Wave(nn.Elementwise):
    gain = nn.PerChannel("ones")

    @staticmethod
    def f(x, gain):
        return gain * math.sin(x)

    @staticmethod
    def df(x, gain):
        return gain * math.cos(x)

    @staticmethod
    def df_gain(x):
        return math.sin(x)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"f": staticmethod(lambda x, gians: x)}, r"takes 'gians'.*: a parameter is x, in a derivative also y, a field or a weight \(gain\)$"),
        ({"df": staticmethod(lambda v: 1.0)}, r"takes 'v'.*: a parameter is x"),
        ({"df_gain": staticmethod(lambda x, k: x)}, r"takes 'k'.*: a parameter is x"),
        ({"f": lambda self, x: x}, r"takes 'self'.*: .*; write @staticmethod above it"),
    ],
)
def test_parameters_that_mean_nothing(more, said):
    with pytest.raises(nn.ConfigError, match=said):
        check_layer(type("Odd", (Wave,), more)(), (4,))


def test_fields_are_named_with_the_weights():
    @dataclass(frozen=True)
    class Odd(Wave):
        slope: float = 1.0

        @staticmethod
        def f(x, sloep):
            return x

    with pytest.raises(nn.ConfigError, match=r"Odd: .*takes 'sloep'.* \(slope, gain\)"):
        check_layer(Odd(), (4,))
