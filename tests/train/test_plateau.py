"""ReduceLROnPlateau and EarlyStopping: what they do with a history, and that a resumed run does the same."""

import numpy as np
import pytest
from little import network, same, samples

import numbacnn as nn


class Play(nn.Callback):
    """Puts losses of our own into the history, before the callbacks behind it see them."""

    def __init__(self, losses, column="valid_loss"):
        self.losses, self.column = losses, column

    def on_epoch_end(self, epoch, logs=None):
        logs[self.column] = self.losses[epoch]
        self.model.get_layer("predictions").set_weights([np.full((4, 3), float(epoch)), np.zeros(3)])


def play(losses, callback, column="valid_loss", model=None, initial_epoch=0, epochs=None, **options):
    model = model or network(normalized=False)
    if model._session is None:
        model.compile("sgd", "cross_entropy", lr=1.0)
    x, y = samples(4)
    callbacks = [Play(losses, column), callback]
    return model, model.fit(x, y, validation_data=(x, y), epochs=epochs or len(losses), initial_epoch=initial_epoch, callbacks=callbacks, **options)


@pytest.mark.parametrize(
    ("callback", "losses", "rates"),
    [
        (nn.ReduceLROnPlateau(factor=0.5, patience=1), [3, 2, 2, 1, 1, 1, 0.5], [1, 1, 1, 0.5, 0.5, 0.25, 0.125]),
        (nn.ReduceLROnPlateau(factor=0.5, patience=2), [3, 3, 3, 3, 3, 3], [1, 1, 1, 0.5, 0.5, 0.25]),
        (nn.ReduceLROnPlateau(factor=0.1, patience=1, min_lr=0.02), [3, 3, 3, 3], [1, 1, 0.1, 0.02]),
        (nn.ReduceLROnPlateau(factor=0.5, patience=1, cooldown=2), [3, 3, 3, 3, 3, 3], [1, 1, 0.5, 0.5, 0.5, 0.25]),
        (nn.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=0.5), [3, 2.6, 2.2, 2.0], [1, 1, 0.5, 0.5]),
        (nn.ReduceLROnPlateau("val_loss", 0.5, 1, mode="max"), [1, 2, 3, 2, 2], [1, 1, 1, 1, 0.5]),
    ],
)
def test_rates_fall_where_it_gets_no_better(callback, losses, rates):
    _, history = play(losses, callback)
    assert history["learning_rate"] == pytest.approx(rates)


def test_by_name_and_with_a_schedule():
    model = network(normalized=False)
    model.compile("sgd", "cross_entropy", lr=1e-30)
    x, y = samples(4)
    history = model.fit(x, y, validation_data=(x, y), epochs=13, schedule="reduce_on_plateau")
    assert history["learning_rate"] == pytest.approx([1e-30] * 11 + [1e-31] * 2)
    _, history = play([1, 1, 1, 1], nn.ReduceLROnPlateau(factor=0.5, patience=1), schedule=nn.Step(0.1, (0.5,)))
    assert history["learning_rate"] == pytest.approx([1, 1, 0.05, 0.025])
    _, again = play([1, 1], nn.ReduceLROnPlateau(factor=0.5, patience=5), model=_)
    assert again["learning_rate"] == pytest.approx([1, 1]), "a new fit begins with the whole rate"


@pytest.mark.parametrize(
    ("callback", "values", "column", "stopped", "best"),
    [
        (nn.EarlyStopping(), [3, 2, 2.5, 1], "valid_loss", 2, 1),
        (nn.EarlyStopping(patience=2), [3, 2, 2, 1, 1, 1, 0], "valid_loss", 5, 3),
        (nn.EarlyStopping("val_accuracy", patience=1), [0.1, 0.5, 0.4, 0.9], "valid_accuracy", 2, 1),
        (nn.EarlyStopping(patience=9), [3, 1, 2], "valid_loss", None, 1),
        (nn.EarlyStopping(start_from_epoch=2), [1, 0, 3, 4, 0], "valid_loss", 3, 2),
        (nn.EarlyStopping("loss", patience=1, mode="min"), [3, 2, 2, 1], "train_loss", 2, 1),
    ],
)
def test_training_ends_with_the_best_weights(callback, values, column, stopped, best):
    model, history = play(values, callback, column)
    assert (callback.stopped_epoch, callback.best_epoch) == (stopped, best)
    assert len(history["epoch"]) == (len(values) if stopped is None else stopped + 1)
    assert np.array_equal(model.get_layer("predictions").get_weights()[0], np.full((4, 3), float(best)))


def test_the_last_weights_on_request():
    model, _ = play([3, 2, 4], nn.EarlyStopping(restore_best_weights=False))
    assert model.get_layer("predictions").get_weights()[0][0, 0] == 2.0


def test_what_they_watch_must_be_there():
    x, y = samples(4)
    model = network(normalized=False)
    model.compile("sgd", "cross_entropy")
    with pytest.raises(nn.ConfigError, match=r"EarlyStopping watches 'valid_loss', which the history does not have \(it has train_loss\): give fit validation"):
        model.fit(x, y, callbacks=[nn.EarlyStopping()])
    with pytest.raises(nn.ConfigError, match="mode='least' must be"):
        nn.EarlyStopping(mode="least")
    with pytest.raises(nn.ConfigError, match="factor=1"):
        nn.ReduceLROnPlateau(factor=1)
    with pytest.raises(nn.ConfigError, match=r"patience=-1 must be"):
        nn.ReduceLROnPlateau(patience=-1)


def test_a_resumed_run_goes_on_as_the_whole(tmp_path):
    losses = [3, 2, 2, 2, 2, 2, 2, 1]

    def callbacks():
        return [nn.ReduceLROnPlateau(factor=0.5, patience=2), nn.EarlyStopping(patience=5)]

    def go(model, first, last, folder):
        if folder.exists():
            keeper, _ = nn.RunFolder.resume(folder)
        else:
            keeper = nn.RunFolder(folder, {})
        x, y = samples(4)
        watched = callbacks()
        history = model.fit(
            x, y, validation_data=(x, y), epochs=last, initial_epoch=first, callbacks=[keeper, Play(losses), *watched], schedule=nn.Step(0.9, (0.1,))
        )
        return watched[1], history

    def new():
        model = network(normalized=False)
        model.compile(nn.SGD(momentum=0.5), "cross_entropy", lr=1.0)
        return model

    whole = new()
    stop, expected = go(whole, 0, 8, tmp_path / "whole")
    assert stop.stopped_epoch == 6 and stop.best_epoch == 1
    assert expected["learning_rate"] == pytest.approx([1, 0.9, 0.9, 0.9, 0.45, 0.45, 0.225])
    parted = new()
    go(parted, 0, 4, tmp_path / "parted")
    parted = nn.load(tmp_path / "parted" / "checkpoint.h5")
    assert parted.callback_states["EarlyStopping 0"]["best_epoch"] == 1, "the checkpoint is written behind what the others do, wherever they stand"
    stop, history = go(parted, 4, 8, tmp_path / "parted")
    assert stop.stopped_epoch == 6
    assert history["learning_rate"] == pytest.approx(expected["learning_rate"][4:])
    assert same(parted.get_weights(), whole.get_weights()), "those of epoch 1"
