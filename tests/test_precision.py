"""compile(precision=…): what is rounded, what is not, and that training still learns."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.kernels.rounding import round_bf16, round_tf32


def model(precision, seed=0):
    layers = [nn.Conv2D(6, 3, padding="same", activation="relu"), nn.GlobalAveragePooling2D(), nn.Dense(3)]
    made = nn.Sequential([nn.Input((6, 6, 2)), *layers], seed=seed)
    made.compile("adam", "cross_entropy", precision=precision, device="cpu")
    return made


def nearest(x, bits):
    """The nearest number with that many bits behind the point, ties to even, in exact arithmetic."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.rint(np.ldexp(mantissa, bits + 1)), exponent - bits - 1)


@pytest.mark.parametrize(("kernel", "bits"), [(round_bf16, 7), (round_tf32, 10)])
def test_rounding_is_to_the_nearest(kernel, bits):
    generator = np.random.default_rng(0)
    x = (generator.standard_normal(10_000) * 10.0 ** generator.integers(-30, 30, 10_000)).astype(np.float32)
    y = np.empty_like(x)
    kernel(x, y)
    assert np.array_equal(y, nearest(x, bits).astype(np.float32))
    assert (y != x).mean() > 0.9


@pytest.mark.parametrize("kernel", [round_bf16, round_tf32])
def test_rounding_keeps_what_is_no_number(kernel):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -2.0], np.float32)
    y = np.empty_like(x)
    kernel(x, y)
    assert np.array_equal(x, y, equal_nan=True)
    assert np.signbit(y[1])


def test_ties():
    """bfloat16 goes to even, TensorFloat-32 away from zero (PTX ISA, cvt)."""
    x = np.array([1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 1 + 2**-11, 1 + 3 * 2**-11, -(1 + 2**-11)], np.float32)
    y = np.empty_like(x)
    round_bf16(x, y)
    assert y[:3].tolist() == [1, 1 + 2**-6, -1]
    round_tf32(x, y)
    assert y[3:].tolist() == [1 + 2**-10, 1 + 2**-9, -(1 + 2**-10)]


def test_outputs_are_as_exact_as_the_precision():
    x = np.random.default_rng(1).standard_normal((4, 6, 6, 2))
    exact = model("float64").predict(x)
    assert exact.dtype == np.float64
    errors = {p: float(np.abs(model(p).predict(x) - exact).max() / np.abs(exact).max()) for p in ("float32", "tf32", "bf16")}
    assert errors["float32"] < 1e-6 < errors["tf32"] < 2e-3
    assert errors["tf32"] < errors["bf16"] < 2e-2


@pytest.mark.parametrize("precision", ["float64", "tf32", "bf16"])
def test_it_learns(precision, tmp_path):
    generator = np.random.default_rng(2)
    y = generator.integers(0, 3, 96)
    x = (generator.standard_normal((96, 6, 6, 2)) * 0.3 + np.eye(3)[y][:, None, None, :2]).astype(np.float32)
    m = model(precision)
    history = m.fit(x, y, epochs=30, batch_size=32)
    assert history["train_loss"][-1] < 0.8 * history["train_loss"][0]
    m.save(tmp_path / "m.h5")
    again = nn.load(tmp_path / "m.h5")
    assert again.network.how.precision == precision
    assert np.allclose(again.predict(x), m.predict(x), atol=1e-5)


def test_back_to_float32():
    m = model("float64")
    m.compile("adam", "cross_entropy", device="cpu")
    assert {w.dtype for w in m.get_weights()} == {np.dtype(np.float32)}


def test_an_unknown_precision_is_refused():
    with pytest.raises(nn.ConfigError, match=r"precision='fp8' must be one of 'float64', 'float32', 'tf32', 'bf16'"):
        model("fp8")
