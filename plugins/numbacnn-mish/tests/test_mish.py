import numpy as np
import pytest
from numbacnn_mish import ChannelMish

import numbacnn as nn
from numbacnn.testing import as_installed, check_layer
from numbacnn.testing.twins import check_twin

as_installed(__file__)


def oracle(layer, weights, x, training):
    """The same with NumPy, by the definition."""
    return x * np.tanh(np.logaddexp(0, weights["beta"] * x))


@pytest.mark.parametrize(("layer", "shape"), list(ChannelMish.examples()))
def test_values_and_gradients(layer, shape):
    check_layer(layer, shape, oracle=oracle)


@pytest.mark.parametrize(("layer", "shape"), list(ChannelMish.examples()))
def test_on_a_gpu(layer, shape):
    check_twin(layer, shape)


def test_it_begins_as_mish():
    x = np.linspace(-20, 20, 81, dtype=np.float32).reshape(27, 3)
    mine, known = (nn.Sequential([nn.Input((3,)), layer]).predict(x) for layer in (ChannelMish(), nn.Mish()))
    np.testing.assert_allclose(mine, known, rtol=1e-6, atol=1e-7)


def test_large_values_stay_exact():
    x = np.array([[-1e6, -1e3, 1e3, 1e6]], np.float32)
    np.testing.assert_array_equal(nn.Sequential([nn.Input((4,)), ChannelMish()]).predict(x), [[0, 0, 1e3, 1e6]])


def test_channels_must_be_known():
    with pytest.raises(nn.ShapeError, match="number of channels"):
        ChannelMish().output_shape((4, 4, None))


def test_it_does_not_take_the_place_of_the_built_in():
    assert nn.ChannelMish is ChannelMish and nn.Mish is not ChannelMish


def test_it_is_registered_trained_and_saved(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((16, 6, 6, 2)).astype(np.float32), random.integers(0, 2, 16)
    model = nn.Sequential([nn.Input((6, 6, 2)), nn.Conv2D(3, 3), nn.ChannelMish(), nn.Flatten(), nn.Dense(2)], seed=0)
    model.compile("adam", "cross_entropy")
    before = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=8)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(nn.load(tmp_path / "model.h5").predict(x), model.predict(x))
