import numpy as np
import pytest
from numbacnn_lion import Lion

import numbacnn as nn
from numbacnn.testing import as_installed, check_optimizer
from numbacnn.testing.twins import check_optimizer_twin

as_installed(__file__)


def oracle(optimizer, w, g, state, rate, step):
    """The same with NumPy, for one weight; clipping and decay are done already."""
    m = state.get("m", 0)
    state["m"] = optimizer.beta_2 * m + (1 - optimizer.beta_2) * g
    return w - rate * np.sign(optimizer.beta_1 * m + (1 - optimizer.beta_1) * g)


@pytest.mark.parametrize("optimizer", list(Lion.examples()), ids=str)
def test_updates(optimizer):
    check_optimizer(optimizer, oracle=oracle)


@pytest.mark.parametrize("optimizer", [Lion(0.01), Lion(weight_decay=0.1), Lion(clipvalue=0.3)], ids=str)
def test_on_a_gpu(optimizer):
    check_optimizer_twin(optimizer)


@pytest.mark.parametrize("name", ["beta_1", "beta_2"])
@pytest.mark.parametrize("value", [-0.1, 1, float("nan")])
def test_betas_that_cannot_be(name, value):
    with pytest.raises(nn.ConfigError, match=f"{name}={value}"):
        Lion(**{name: value})


def test_all_weights_step_equally_far():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((8, 4)).astype(np.float32), random.integers(0, 3, 8)
    model = nn.Sequential([nn.Input((4,)), nn.Dense(3)], seed=0)
    model.compile(Lion(0.01), loss="cross_entropy")
    before = model.get_weights()
    model.train_on_batch(x, y)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(np.abs(a - b), 0.01, rtol=1e-4)


def test_it_is_registered_trained_and_goes_on_from_a_checkpoint(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((32, 4)).astype(np.float32), random.integers(0, 3, 32)
    model = nn.Sequential([nn.Input((4,)), nn.Dense(8, activation="relu"), nn.Dense(3)], seed=0)
    model.compile(nn.Lion(0.01), loss="cross_entropy")
    history = model.fit(x, y, epochs=5, batch_size=8)
    assert history["train_loss"][-1] < history["train_loss"][0]
    model.save(tmp_path / "checkpoint.h5", checkpoint=True)
    again = nn.load(tmp_path / "checkpoint.h5")
    assert again.optimizer == model.optimizer
    for one in (model, again):
        one.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
