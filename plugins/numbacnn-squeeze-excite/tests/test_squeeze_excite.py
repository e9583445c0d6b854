import numpy as np
import pytest
from hypothesis import given, settings
from numbacnn_squeeze_excite import SqueezeExcite

import numbacnn as nn
from numbacnn.testing import as_installed, check_layer, check_oracle, layers_of
from numbacnn.testing.twins import check_twin

as_installed(__file__)


def oracle(layer, weights, x, training):
    """The same with NumPy."""
    hidden = np.maximum(x.mean((1, 2)) @ weights["reduce_kernel"] + weights["reduce_bias"], 0)
    gates = 1 / (1 + np.exp(-(hidden @ weights["expand_kernel"] + weights["expand_bias"])))
    return x * gates[:, None, None, :]


@pytest.mark.parametrize(("layer", "shape"), list(SqueezeExcite.examples()))
def test_values_and_gradients(layer, shape):
    check_layer(layer, shape, oracle=oracle)


@pytest.mark.parametrize(("layer", "shape"), list(SqueezeExcite.examples()))
def test_on_a_gpu(layer, shape):
    check_twin(layer, shape)


@settings(max_examples=10, deadline=None)
@given(layers_of(SqueezeExcite))
def test_drawn_configurations(drawn):
    layer, shapes = drawn
    check_oracle(layer, *shapes, oracle=oracle, training=True)


def test_gates_that_are_open_or_closed():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 6)).astype(np.float32)
    model = nn.Sequential([nn.Input((3, 4, 6)), SqueezeExcite(ratio=2)], seed=0)
    weights = model.get_weights()
    weights[3][:] = [50, -200] * 3
    weights[2][:] = 0
    model.set_weights(weights)
    y = model.predict(x)
    np.testing.assert_array_equal(y[..., ::2], x[..., ::2])
    np.testing.assert_array_equal(y[..., 1::2], 0)


def test_what_it_cannot_take():
    with pytest.raises(nn.ConfigError, match="ratio=0"):
        SqueezeExcite(ratio=0)
    for shape in ((5,), (4, 4, None)):
        with pytest.raises(nn.ShapeError, match="height, width, channels"):
            SqueezeExcite().output_shape(shape)


def test_weights_and_costs():
    layer = SqueezeExcite(ratio=4)
    assert {n: w.shape for n, w in layer.weights((7, 5, 9)).items()} == {
        "reduce_kernel": (9, 2),
        "reduce_bias": (2,),
        "expand_kernel": (2, 9),
        "expand_bias": (9,),
    }
    assert layer.multiply_adds((7, 5, 9)) == 2 * 9 * 2 + 7 * 5 * 9
    assert layer.weights((7, 5, 3))["reduce_kernel"].shape == (3, 1)


def test_it_is_registered_trained_and_saved(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((16, 6, 6, 2)).astype(np.float32), random.integers(0, 2, 16)
    model = nn.Sequential([nn.Input((6, 6, 2)), nn.Conv2D(8, 3), nn.SqueezeExcite(ratio=2), nn.Flatten(), nn.Dense(2)], seed=0)
    model.compile("adam", "cross_entropy")
    before = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=8)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(nn.load(tmp_path / "model.h5").predict(x), model.predict(x))
