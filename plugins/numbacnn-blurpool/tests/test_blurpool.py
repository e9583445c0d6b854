import numpy as np
import pytest
from hypothesis import given, settings
from numbacnn_blurpool import BlurPool2D

import numbacnn as nn
from numbacnn.testing import as_installed, check_layer, layers_of
from numbacnn.testing.twins import check_twin

as_installed(__file__)

EXAMPLES = list(BlurPool2D.examples())


def oracle(layer, weights, x, training):
    """The same with NumPy: pad, blur everywhere, take every n-th pixel."""
    taps = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1], 7: [1, 6, 15, 20, 15, 6, 1]}[layer.filter_size]
    k, (_, height, width, _) = len(taps), x.shape
    low = (k - 1) // 2
    padded = np.pad(x, ((0, 0), (low, k - 1 - low), (low, k - 1 - low), (0, 0)), mode="reflect")
    weights = np.outer(taps, taps) / sum(taps) ** 2
    blurred = sum(weights[i, j] * padded[:, i : i + height, j : j + width] for i in range(k) for j in range(k))
    return blurred[:, :: layer.strides[0], :: layer.strides[1]]


@pytest.mark.parametrize(("layer", "shape"), EXAMPLES)
def test_values_and_gradients(layer, shape):
    check_layer(layer, shape, oracle=oracle)


@pytest.mark.parametrize(("layer", "shape"), EXAMPLES)
def test_on_a_gpu(layer, shape):
    check_twin(layer, shape)


@settings(max_examples=15, deadline=None)
@given(layers_of(BlurPool2D))
def test_drawn_configurations(drawn):
    layer, shapes = drawn
    check_layer(layer, *shapes, oracle=oracle)


def test_a_flat_image_stays_flat():
    x = np.full((1, 9, 6, 2), 3.0, np.float32)
    np.testing.assert_array_equal(nn.Sequential([nn.Input((9, 6, 2)), BlurPool2D(5)]).predict(x), np.full((1, 5, 3, 2), 3.0))


def test_a_shift_changes_little():
    """What the layer is for: a checkerboard moved by one pixel is inverted by plain striding, and not changed by the blur."""
    board = np.indices((8, 8)).sum(0) % 2
    x = np.stack([board, 1 - board]).astype(np.float32)[..., None]
    blurred = nn.Sequential([nn.Input((8, 8, 1)), BlurPool2D(3)]).predict(x)
    assert np.abs(x[0, ::2, ::2] - x[1, ::2, ::2]).min() == 1
    np.testing.assert_array_equal(blurred[0], blurred[1])


def test_what_it_cannot_take():
    for size in (0, 8, 2.5, True):
        with pytest.raises(nn.ConfigError, match=f"filter_size={size}"):
            BlurPool2D(size)
    with pytest.raises(nn.ConfigError, match="strides=0"):
        BlurPool2D(strides=0)
    with pytest.raises(nn.ShapeError, match="height, width, channels"):
        BlurPool2D().output_shape((5,))
    assert BlurPool2D().output_shape((None, 5, 3)) == (None, 3, 3)


def test_it_is_registered_trained_and_saved(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((16, 6, 6, 2)).astype(np.float32), random.integers(0, 2, 16)
    layers = [nn.Input((6, 6, 2)), nn.Conv2D(3, 3), nn.MaxPooling2D(2, strides=1, padding="same"), nn.BlurPool2D(4), nn.Flatten(), nn.Dense(2)]
    model = nn.Sequential(layers, seed=0)
    model.compile("adam", "cross_entropy")
    before = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=8)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(nn.load(tmp_path / "model.h5").predict(x), model.predict(x))
