"""Steps that are under way when something goes wrong: on the simulated GPU, which sees a loss when it has the next step to do, as on the CPU."""

import gc
import threading
import time

import numpy as np
import pytest
from little import network, same, samples

import numbacnn as nn
from numbacnn.metrics.accuracy import Accuracy
from numbacnn.train.goals import Totals
from numbacnn.train.network import PLANS

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
        model.session.settle()
    if bad == [6]:
        other.train_on_batch(x[4:6], y[4:6])
    assert model.session.counts() == other.session.counts() and same(model.get_weights(), other.get_weights())
    for m in (model, other):
        m.fit(x, y, batch_size=2)
    assert same(model.get_weights(), other.get_weights())


@DEVICES
def test_threads_that_train_a_model_get_the_losses_of_their_own_batches(device):
    x, y = points(8)
    model, losses = dense(device), {0: [], 1: []}
    model.session.learning_rates = [0.0]
    parts = [(x[:4], y[:4]), (x[4:], y[4:])]
    expected = [model.train_on_batch(*part)["loss"] for part in parts]
    pause, seen = model.session._start, []

    def slow(*args):
        pause(*args)
        seen.append(threading.get_ident())
        time.sleep(0.001)  # the other thread may go on

    model.session._start = slow

    def work(i):
        losses[i] += [model.train_on_batch(*parts[i])["loss"] for _ in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in losses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 2
    assert losses == {i: [loss] * 20 for i, loss in enumerate(expected)}


class Breaks(Accuracy):
    """A metric that fails from the second batch on."""

    def count(self, *args):
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        if self.calls > 1:
            raise ValueError("the metric broke")
        return super().count(*args)


@DEVICES
def test_a_fit_that_a_metric_ends_leaves_the_session_in_order(device):
    x, y = points()
    model = dense(device)
    model.compile(nn.SGD(0.1), "cross_entropy", ["accuracy"], device=device)
    model.session.metrics[0][0] = Breaks()
    with pytest.raises(ValueError, match="the metric broke") as found:
        model.fit(x, y, batch_size=2, schedule="one_cycle")
    assert found.value.__context__ is None
    assert (model.session.factor, model.session.momentum, len(model.session.under_way)) == (1.0, None, 0)


def test_a_step_whose_wait_was_interrupted_still_loses_what_it_must(monkeypatch):
    """Ctrl-C in a notebook, between the start of a bad step and its result: the next step trains again."""
    x, y = points()
    model = dense("cuda")
    model.train_on_batch(x[:2], y[:2])
    driver = model.network.backend.driver
    plain, waits = driver.wait, []

    def wait(event=None):
        if event is not None and not waits:
            waits.append(event)
            raise KeyboardInterrupt
        plain(event)

    monkeypatch.setattr(driver, "wait", wait)
    before, counts = model.get_weights(), model.session.counts()
    with pytest.raises(KeyboardInterrupt):
        model.train_on_batch(x[:2] * np.float32(np.nan), y[:2])
    assert same(model.get_weights(), before) and model.session.counts() == counts
    assert model.train_on_batch(x[:2], y[:2])["loss"] > 0 and not same(model.get_weights(), before)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value)")
@DEVICES
def test_after_a_bad_loss_behind_kept_features_the_whole_network_goes_on(device):
    x, _ = samples(10)
    y = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    spoilt = y.copy()
    spoilt[5] = 3e38  # its square is infinite
    made, other = network(), network()
    for m in (made, other):
        m.freeze(until="avg_pool")
        m.compile(nn.SGD(0.1), "mse", device=device)
        m.fit(x, y, batch_size=4, keep_features=False)
    with pytest.raises(nn.NotFiniteError, match="check the targets"):
        made.fit(x, spoilt, batch_size=4)
    assert same(made.get_weights(), other.get_weights())
    for m in (made, other):
        m.session.step = m.session.updates = 0
        m.get_layer("predictions").set_weights([w + 1 for w in m.get_layer("predictions").get_weights()])
        m.results = m.evaluate(x, y), m.fit(x, y, batch_size=4, keep_features=False)["train_loss"], m.fit(x, y, batch_size=4)["train_loss"], m.predict(x)
    assert made.results[:3] == other.results[:3] and same(made.results[3:], other.results[3:])
    assert made.results[0]["loss"] != made.evaluate(x, y)["loss"]


def test_results_of_many_shapes_leave_no_pinned_memory_behind():
    x = nn.Input((None, None, 1))
    model = nn.Model(x, nn.Conv2D(2, 1)(x), seed=0)
    model.network.use("cuda")
    driver, kept = model.network.backend.driver, []
    for size in range(3, 3 + 2 * PLANS):
        assert model.predict(np.zeros((3, size, size, 1), np.float32), batch_size=1).shape == (3, size, size, 2)
        gc.collect()
        kept.append(len(driver.blocks))
    assert kept[-1] == kept[PLANS]


def test_a_batch_whose_memory_is_used_again_cannot_be_looked_into():
    x, y = samples(8)
    model, reused = network(), np.empty_like(x[:2])
    model.compile("sgd", "cross_entropy", device="cuda")

    def batches():
        for i in range(0, 8, 2):
            reused[...] = x[i : i + 2] * np.float32(np.nan if i == 2 else 1)
            yield reused, y[i : i + 2]

    with pytest.raises(nn.NotFiniteError, match=r"in epoch 1, batch 2: .* its arrays have been changed since\. To learn more, give"):
        model.fit(batches(), epochs=1, steps_per_epoch=4)
