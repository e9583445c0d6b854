"""Fine-tuning in two phases, with one history, and resumed anywhere to the same bits."""

import os
import signal

import numpy as np
import pytest
from little import network, same, samples

import numbacnn as nn


def base(optimizer=None):
    model = network(5, dropout=0.3).with_head(3, dropout=0.2, seed=1)
    model.compile(optimizer or nn.Adam(0.01), "cross_entropy", metrics=["accuracy"])
    return model


class Watch(nn.Callback):
    def __init__(self):
        self.trained, self.rates, self.weights = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.trained.append([h.name for h in self.model.layers if h.specs and h.trainable])
        self.rates.append(list(self.model.session.learning_rates))
        self.weights.append(self.model.get_layer("block1_conv").get_weights()[0])


def test_the_head_and_then_everything():
    watch, model = Watch(), base()
    x, y = samples()
    history = model.fine_tune([(x, y)] * 3, [(x, y)], freeze_epochs=2, epochs=2, lr=0.1, callbacks=watch)
    assert history["epoch"] == [1, 2, 3, 4] and len(history["valid_accuracy"]) == 4
    everything = ["block1_conv", "block1_bn", "block2_conv", "block2_bn", "head"]
    assert watch.trained == [["head"]] * 2 + [everything] * 2
    assert watch.rates[0] == [0.1] and watch.rates[2] == pytest.approx([0.05, 0.0005, 0.005])
    assert same(watch.weights[:2], watch.weights[1:3]) and not np.array_equal(watch.weights[2], watch.weights[3])
    top = history["learning_rate"]
    assert top[0] > top[1] and top[2] > top[3] and max(top) <= 0.1, "a cycle for each phase"


@pytest.mark.parametrize(
    ("lr", "domain", "head", "later"),
    [
        (None, "near", 0.01, [0.005, 0.00005, 0.0005]),
        ([1e-5, 1e-4, 1e-3], "near", 1e-3, [1e-3, 1e-5, 1e-4]),
        (slice(1e-4, 1e-2), "far", 1e-2, [1e-2, 3e-4, 3e-3]),
    ],
)
def test_rates(lr, domain, head, later):
    watch, model = Watch(), base()
    model.fine_tune(samples(), None, 1, 1, lr, domain=domain, callbacks=[watch])
    assert watch.rates == [[head], pytest.approx(later)]


def test_one_phase_alone():
    x, y = samples()
    watch, model = Watch(), base()
    before = model.get_layer("block2_bn").get_weights()
    history = model.fine_tune([(x, y)] * 2, freeze_epochs=3, epochs=0, callbacks=[watch])
    assert watch.trained == [["head"]] * 3 and same(before, model.get_layer("block2_bn").get_weights())
    assert history["learning_rate"][-1] < 0.3 * max(history["learning_rate"])
    watch = Watch()
    base().fine_tune([(x, y)], freeze_epochs=0, epochs=1, callbacks=[watch])
    assert len(watch.trained[0]) == 5
    for freeze_epochs, epochs in ((0, 0), (-1, 3), (2, -1)):
        with pytest.raises(nn.ConfigError, match=f"freeze_epochs={freeze_epochs}, epochs={epochs}"):
            model.fine_tune([(x, y)], None, freeze_epochs, epochs)
    with pytest.raises(nn.ConfigError, match="3 layer groups"):
        model.fine_tune([(x, y)], lr=[1e-3, 1e-2])


def fine_tuned(model, folder, stop=None, **options):
    keeper = nn.RunFolder.resume(folder)[0] if folder.exists() else nn.RunFolder(folder, {})
    options = {"initial_epoch": keeper.epoch, "position": keeper.position} | options

    class Stop(nn.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == stop:
                os.kill(os.getpid(), signal.SIGINT)

    x, y = samples()
    return model.fine_tune([(x[:8], y[:8]), (x[8:], y[8:])], [(x, y)], 2, 2, 0.05, callbacks=[keeper, Stop()], seed=4, **options)


@pytest.mark.parametrize("stop", [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1)])
def test_a_resumed_run_makes_the_same_bits(tmp_path, stop):
    whole = base()
    fine_tuned(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fine_tuned(base(), tmp_path / "run", stop)
    again = nn.load(tmp_path / "run" / "checkpoint.h5")
    fine_tuned(again, tmp_path / "run")
    assert same(again.get_weights(), whole.get_weights())
    rows = [
        [row[c] for row in nn.RunFolder.resume(tmp_path / name)[0].rows] for name in ("whole", "run") for c in ("train_loss", "valid_loss", "learning_rate")
    ]
    assert rows[:3] == rows[3:] and len(rows[0]) == 4


@pytest.mark.parametrize(("freeze_epochs", "epochs"), [(1, 1), (2, 0)])
def test_what_the_head_phase_saves_goes_on_with_all_layers(tmp_path, freeze_epochs, epochs):
    class Keep(nn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / f"{epoch}.h5")
            self.model.save(tmp_path / f"{epoch}-checkpoint.h5", checkpoint=True)

    x, y = samples()
    model = base()
    model.fine_tune([(x, y)], [(x, y)], freeze_epochs, epochs, 0.05, callbacks=[Keep()])
    later = [0.025, 0.00025, 0.0025]
    for again in (model, nn.load(tmp_path / "0.h5"), nn.load(tmp_path / "1.h5")):
        assert all(h.trainable for h in again.layers) and again.session.learning_rates == pytest.approx(later)
    frozen = nn.load(tmp_path / "0-checkpoint.h5")
    assert [h.name for h in frozen.layers if h.specs and h.trainable] == ["head"] and frozen.session.learning_rates == [0.05]
    again = nn.load(tmp_path / "0.h5")
    before = again.get_layer("block1_conv").get_weights()
    again.fit(x, y, epochs=1)
    assert not same(before, again.get_layer("block1_conv").get_weights())
    model.freeze()
    model.save(tmp_path / "asked.h5")
    assert not any(h.trainable for h in nn.load(tmp_path / "asked.h5").layers), "what a user freezes stays frozen"


def test_a_bad_list_of_rates_changes_nothing():
    model = base()
    with pytest.raises(nn.ConfigError, match="3 layer groups"):
        model.fine_tune([samples()], lr=[1e-3] * 4)
    assert all(h.trainable for h in model.layers) and model.session.learning_rates == [0.01]
