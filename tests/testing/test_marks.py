"""Marks in one line whatever happens, the nearest built-in layer, and float64 as it is found in LLVM's text."""

import math
from math import atan

import pytest

import numbacnn as nn
from numbacnn import registry
from numbacnn.machine_code import computes_wide
from numbacnn.testing.examination.mark import Check, Skip, Slow
from numbacnn.testing.examination.nearest import nearest
from numbacnn.testing.examination.one_by_one import one_by_one


def raising(error):
    def run(thing):
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "mark", "detail"),
    [
        (lambda thing: f"{thing} examples", "ok", "3 examples"),
        (lambda thing: None, "ok", ""),
        (raising(Skip("nothing to see")), "skipped", "nothing to see"),
        (raising(Slow("1 GB/s")), "slow", "1 GB/s"),
        (raising(AssertionError("one\n  two")), "failed", "one two"),
        (raising(AssertionError()), "failed", "AssertionError"),
        (raising(KeyError("x")), "failed", "KeyError: 'x'"),
        (raising(ValueError("long " * 500)), "failed", f"ValueError: {('long ' * 500)[:600]}…"),
    ],
)
def test_a_mark(run, mark, detail):
    got = Check("of all", run).mark(3)
    assert (got.check, got.mark, got.detail) == ("of all", mark, detail)
    assert got.trace.startswith("Traceback") == (mark == "failed")


def layer(name, **fields):
    return registry.layers[name](**fields)


@pytest.mark.parametrize(
    ("of", "shapes", "name"),
    [
        (layer("Mish"), [(4, 5, 3)], "ReLU"),
        (layer("Softmax"), [(7,)], "ReLU"),
        (layer("PReLU"), [(4, 5, 3)], "PReLU"),
        (layer("LayerScale"), [(4, 5, 3)], "BatchNormalization"),
        (layer("Multiply"), [(4, 5, 3)] * 2, "Add"),
        (layer("Concatenate"), [(4, 5, 3), (4, 5, 2)], "Concatenate"),
        (layer("Dense", units=4), [(7,)], "Dense"),
        (layer("Conv2D", filters=4, kernel_size=3, strides=2), [(9, 9, 3)], "Conv2D"),
        (layer("DepthwiseConv2D", kernel_size=3), [(9, 9, 3)], "DepthwiseConv2D"),
        (layer("MaxPooling2D"), [(8, 8, 3)], "AveragePooling2D"),
        (layer("GlobalMaxPooling2D"), [(8, 8, 3)], "GlobalAveragePooling2D"),
        (layer("Resizing", height=16, width=16), [(8, 8, 3)], "UpSampling2D"),
        (layer("Flatten"), [(8, 8, 3)], None),
    ],
)
def test_the_nearest_built_in_layer_takes_the_same_inputs(of, shapes, name):
    found = nearest(of, shapes)
    assert (type(found).__name__ if found else None) == name
    if found:
        found.weights(*shapes)
        assert len(found.output_shape(*shapes)) == len(of.output_shape(*shapes))


@pytest.mark.parametrize(
    ("code", "wide"),
    [
        ("  %3 = fadd float %1, %2", False),
        ("declare double @llvm.floor.f64(double)", False),
        ("  %3 = fadd double %1, %2", True),
        ("  %3 = fpext float %1 to double", True),
        ("  %v = fmul <4 x double> %a, %b", True),
        ("  %1 = uitofp i64 %n to double\n  %2 = uitofp i64 %m to double\n  %3 = fcmp une double %1, %2", False),
        ("  %1 = sitofp i64 %n to double\n  %2 = fmul double %1, 5.0e-01", True),
        (
            "  %1 = uitofp i64 %n to double\n  %2 = call double @llvm.log10.f64(double %1)\n"
            "  %3 = call double @llvm.floor.f64(double %2)\n  %4 = fptosi double %3 to i64",
            False,
        ),
        ("  %1 = fpext float %x to double\n  %2 = call double @llvm.log10.f64(double %1)\n  %3 = fptrunc double %2 to float", True),
    ],
)
def test_float64_in_code(code, wide):
    assert computes_wide(f"define void @f() {{\n{code}\n}}\n") is wide


def helped(x):
    return atan(x) + (helped(x) if x > 9 else 0.0)


class Waves(nn.Elementwise):
    gain = nn.PerChannel("ones")

    @staticmethod
    def f(x, gain):
        return math.sqrt(math.fabs(gain)) * math.sin(math.tanh(x)) + helped(x)

    @staticmethod
    def df(x, gain):
        return math.exp(x)

    @staticmethod
    def df_gain(x):
        return math.cos(x)


def test_why_an_elementwise_layer_is_slow():
    assert one_by_one(Waves()) == "math.atan, math.cos, math.sin: one number at a time (erf, exp, expm1, log, log1p, tanh, sqrt: several)"
    assert one_by_one(layer("Tanh")) == one_by_one(layer("Mish")) == one_by_one(layer("Sigmoid")) == ""
