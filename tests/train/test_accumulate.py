"""Gradients of several batches make one update: that of one batch of all their samples."""

import numpy as np
import pytest
from little import network, same, samples

import numbacnn as nn


def trained(batch_size, accumulate, optimizer, epochs=2, count=24, model=None, **options):
    model = model or network(normalized=False)
    if model._session is None:
        model.compile(optimizer, {"predictions": "cross_entropy"}, metrics=["accuracy"])
    x, y = samples(count)
    history = model.fit(x, y, epochs=epochs, batch_size=batch_size, accumulate=accumulate, seed=2, **options)
    return model, history


@pytest.mark.parametrize(
    "optimizer",
    [nn.SGD(0.1, momentum=0.9), nn.Adam(0.01), nn.AdamW(0.01, weight_decay=0.1), nn.SGD(0.5, global_clipnorm=0.05)],
    ids=["momentum", "adam", "decay", "clipped"],
)
@pytest.mark.parametrize(("batch_size", "accumulate", "count"), [(4, 3, 24), (5, 2, 23), (3, 99, 11)])
def test_the_same_as_a_larger_batch(optimizer, batch_size, accumulate, count):
    """With a smaller last batch, and an epoch that ends before the group is complete."""
    weights = np.linspace(0.5, 1.5, count)
    options = {"sample_weight": weights, "class_weight": {1: 2.0}, "count": count}
    expected, whole = trained(min(count, batch_size * accumulate), 1, optimizer, **options)
    found, parts = trained(batch_size, accumulate, optimizer, **options)
    for a, b in zip(expected.get_weights(), found.get_weights(), strict=True):
        assert np.allclose(a, b, rtol=2e-5, atol=2e-6)
    assert found.session.updates == expected.session.updates == 2 * -(-count // (batch_size * accumulate))
    assert parts["train_loss"][0] == pytest.approx(whole["train_loss"][0], rel=0.2)
    assert not np.allclose(network(normalized=False).get_weights()[0], found.get_weights()[0], atol=1e-4)


def test_penalties_count_once():
    def make(kernel_regularizer):
        x = nn.Input((6, 6, 2))
        return nn.Model(x, nn.Dense(3, kernel_regularizer=kernel_regularizer, name="predictions")(nn.Flatten()(x)), seed=0)

    expected, _ = trained(12, 1, nn.SGD(0.1), model=make(nn.L2(0.1)))
    found, _ = trained(4, 3, nn.SGD(0.1), model=make(nn.L2(0.1)))
    assert all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(expected.get_weights(), found.get_weights(), strict=True))
    free, _ = trained(4, 3, nn.SGD(0.1), model=make(None))
    assert not np.allclose(free.get_weights()[0], found.get_weights()[0], atol=1e-3)


def test_batch_normalization_sees_each_batch():
    model, _ = trained(4, 3, nn.SGD(0.0), epochs=1, model=network())
    each, _ = trained(4, 1, nn.SGD(0.0), epochs=1, model=network())
    assert same(model.get_layer("block1_bn").get_weights(), each.get_layer("block1_bn").get_weights())


def test_random_layers_draw_anew_in_each_batch():
    x, y = np.repeat(samples(1)[0], 8, 0), np.zeros(8, int)
    losses = []
    model = network(normalized=False, dropout=0.5)
    model.compile(nn.SGD(0.0), "cross_entropy")

    class Note(nn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(logs["train_loss"] * 2 * (batch + 1))

    model.fit(x, y, batch_size=2, accumulate=4, shuffle=False, callbacks=[Note()])
    assert len({round(float(v), 6) for v in np.diff([0, *losses])}) > 1


def test_an_interrupted_run_goes_on_between_updates(tmp_path):
    """Ctrl-C waits until the gradients that were gathered have been used."""
    import os
    import signal

    class Stop(nn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                os.kill(os.getpid(), signal.SIGINT)

    def make():
        model = network(dropout=0.3)
        model.compile(nn.Adam(0.01), "cross_entropy")
        return model

    whole, _ = trained(2, 3, None, model=make())
    stopped = make()
    with pytest.raises(KeyboardInterrupt):
        trained(2, 3, None, model=stopped, callbacks=[Stop()])
    assert stopped.position["batch"] == 6
    stopped.save(tmp_path / "c.h5", checkpoint=True)
    again, _ = trained(2, 3, None, model=nn.load(tmp_path / "c.h5"), position=stopped.position)
    assert same(again.get_weights(), whole.get_weights())


def test_a_loss_that_is_not_finite_leaves_nothing_behind():
    x, y = samples(12)
    model = network(normalized=False)
    model.compile(nn.SGD(0.1), "cross_entropy")
    model.fit(x, y, batch_size=4, accumulate=3)
    before = model.get_weights()
    bad = x.copy()
    bad[5] = np.nan
    with pytest.raises(nn.NotFiniteError, match="batch 2"):
        model.fit(bad, y, batch_size=4, accumulate=3, shuffle=False)
    assert same(model.get_weights(), before)
    model.fit(x, y, batch_size=4, accumulate=3)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_a_number_that_cannot_be(value):
    with pytest.raises(nn.ConfigError, match=f"accumulate={value}"):
        trained(4, value, nn.SGD())
