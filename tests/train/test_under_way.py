"""Steps that are under way when something goes wrong: on the simulated GPU, which sees a loss when it has the next step to do, as on the CPU."""

import numpy as np
import pytest
from little import network, same, samples

import numbacnn as nn
from numbacnn.train.session import Totals

DEVICES = pytest.mark.parametrize("device", ["cpu", "cuda"])


@pytest.fixture(autouse=True)
def simulated(monkeypatch):
    monkeypatch.setenv("NUMBACNN_SIMULATE", "1")


def dense(device, **options):
    made = nn.Sequential([nn.Input((4,)), nn.Dense(3, activation="softmax")], seed=1)
    made.compile(nn.SGD(0.1, momentum=0.9), "cross_entropy", device=device, **options)
    return made


def points(count=7):
    return np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32), np.arange(count) % 3


@DEVICES
@pytest.mark.parametrize("bad", [[5], [6], [5, 6]])
def test_batches_of_all_sizes_lose_and_get_back_the_permission_together(device, bad):
    """The last batch is smaller and has a plan of its own: what is wrong with the one before keeps it, too, from changing anything, and not for good."""
    x, y = points()
    model, other = dense(device), dense(device)
    spoilt, totals = x.copy(), Totals()
    spoilt[bad] = np.nan
    for m in (model, other):
        m.train_on_batch(x[4:6], y[4:6])
        m.train_on_batch(x[6:], y[6:])
    model.session.train((x[:2], y[:2]), totals)
    other.train_on_batch(x[:2], y[:2])
    with pytest.raises(nn.NotFiniteError, match="holds NaN"):
        for rows in (slice(4, 6), slice(6, 7)):
            model.session.train((spoilt[rows], y[rows]), totals)
        model.session.settle(totals)
    if bad == [6]:
        other.train_on_batch(x[4:6], y[4:6])
    assert model.session.counts() == other.session.counts() and same(model.get_weights(), other.get_weights())
    for m in (model, other):
        m.fit(x, y, batch_size=2)
    assert same(model.get_weights(), other.get_weights())
