import numpy as np
import pytest
from hypothesis import given, settings
from numbacnn_sobel import EDGES, Sobel

import numbacnn as nn
from numbacnn.testing import as_installed, check_layer, layers_of
from numbacnn.testing.twins import check_twin

as_installed(__file__)

EXAMPLES = list(Sobel.examples())
FILTERS = {
    "top": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "left": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
}


def oracle(layer, weights, x, training):
    """The same with NumPy, filter by filter."""
    n, height, width, channels = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    found = [sum(FILTERS[e][i][j] * padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)) for e in layer.edges]
    return np.stack(found, axis=-1).reshape(n, height, width, channels * len(layer.edges))


@pytest.mark.parametrize(("layer", "shape"), EXAMPLES)
def test_values_and_gradients(layer, shape):
    check_layer(layer, shape, oracle=oracle)


@pytest.mark.parametrize(("layer", "shape"), EXAMPLES)
def test_on_a_gpu(layer, shape):
    check_twin(layer, shape)


@settings(max_examples=10, deadline=None)
@given(layers_of(Sobel))
def test_drawn_configurations(drawn):
    layer, shapes = drawn
    check_layer(layer, *shapes, oracle=oracle)


def test_a_bright_square():
    """Each side of it is found by its own filter; flat ground and the image's border give nothing."""
    x = np.zeros((1, 9, 9, 1), np.float32)
    x[:, 3:6, 3:6] = 1
    y = nn.Sequential([nn.Input((9, 9, 1)), Sobel(), nn.ReLU()]).predict(x)[0]
    found = {name: set(zip(*np.nonzero(y[..., k] == 4), strict=True)) for k, name in enumerate(EDGES)}
    assert found == {"top": {(5, 4), (6, 4)}, "bottom": {(2, 4), (3, 4)}, "left": {(4, 5), (4, 6)}, "right": {(4, 2), (4, 3)}}
    assert not y[[0, 1, -2, -1]].any() and not y[:, [0, 1, -2, -1]].any() and not y[4, 4].any()
    flat = np.full((1, 9, 9, 1), 7.0, np.float32)
    assert not nn.Sequential([nn.Input((9, 9, 1)), Sobel()]).predict(flat).any()


@pytest.mark.parametrize("edges", [(), ("top", "top"), ("up",), "topp"])
def test_edges_that_there_are_not(edges):
    with pytest.raises(nn.ConfigError, match="must be some of 'top', 'bottom', 'left', 'right'"):
        Sobel(edges)


def test_no_image():
    with pytest.raises(nn.ShapeError, match="height, width, channels"):
        Sobel().output_shape((5,))
    assert Sobel("top").output_shape((None, None, 3)) == (None, None, 3)


def test_it_is_registered_trained_and_saved(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((16, 6, 6, 2)).astype(np.float32), random.integers(0, 2, 16)
    model = nn.Sequential([nn.Input((6, 6, 2)), nn.Conv2D(2, 1), nn.Sobel(), nn.ReLU(), nn.Flatten(), nn.Dense(2)], seed=0)
    model.compile("adam", "cross_entropy")
    before = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=8)
    assert (before[0] != model.get_weights()[0]).any()  # the gradient came through
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(nn.load(tmp_path / "model.h5").predict(x), model.predict(x))
