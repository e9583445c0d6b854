"""A frozen base computes its features once, and nothing but the time it takes tells the difference."""

import numpy as np
import pytest
from little import network, same, samples
from PIL import Image

import numbacnn as nn
from numbacnn.train import features
from numbacnn.train.features import Source
from numbacnn.train.frozen import Frozen

EXACT = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")


@pytest.fixture
def computed(monkeypatch):
    """How many pictures the base has computed."""
    counts = [0]
    plain = Frozen.features

    def counted(self, xs):
        counts[0] += len(xs[0])
        return plain(self, xs)

    monkeypatch.setattr(Frozen, "features", counted)
    return counts


def trained(keep, make=network, epochs=3, until="avg_pool", data=None, valid=None, **options):
    model = make(dropout=0.3)
    model.freeze(until=until)
    model.compile(nn.SGD(learning_rate=0.1, momentum=0.9), "cross_entropy", metrics=["accuracy"])
    x, y = samples()
    history = model.fit(*(data or (x, y)), validation_data=valid or samples(9, seed=1), epochs=epochs, batch_size=4, seed=3, keep_features=keep, **options)
    return model, history


@pytest.mark.parametrize("until", ["avg_pool", "block1_relu", "block1_conv", "block2_conv"])
def test_the_same_bits(until, computed):
    whole, expected = trained(False, until=until)
    assert not computed[0]
    kept, history = trained(True, until=until)
    assert same(kept.get_weights(), whole.get_weights())
    assert all(history[name] == expected[name] for name in EXACT)
    # 22 pictures in batches of 4, 9 to validate with: each once, and those of a smaller batch as in a whole one, too; in later
    # epochs only the smaller batch of training
    assert computed[0] == (0 if until == "block1_conv" else 22 + 4 + 9 + 4 + 2 * 2)


def test_gathered_gradients_and_weights_of_samples(computed):
    weights = np.linspace(0.5, 2, 22)
    results = [trained(keep, accumulate=3, sample_weight=weights, class_weight={0: 2.0}) for keep in (False, True)]
    assert same(results[0][0].get_weights(), results[1][0].get_weights()) and computed[0] == 43


def test_residuals_over_the_boundary_and_several_inputs(computed):
    def make(dropout):
        a, b = nn.Input((4, 4, 2), name="a"), nn.Input((4, 4, 2), name="b")
        left = nn.Conv2D(3, 3, padding="same", activation="relu", name="left")(a)
        right = nn.Conv2D(3, 3, padding="same", name="right")(nn.ZeroPadding2D(1, name="pad")(b))
        right = nn.Cropping2D(1, name="crop")(right)
        y = nn.Add(name="add")([nn.Conv2D(3, 3, padding="same", name="third")(left), left])
        y = nn.Concatenate(name="cat")([y, right, b])
        return nn.Model([b, a], nn.Dense(2, name="head")(nn.Dropout(dropout)(nn.Flatten()(y))), seed=0)

    x = [np.random.default_rng(i).standard_normal((10, 4, 4, 2)).astype(np.float32) for i in range(2)]
    y = np.arange(10) % 2
    results = [trained(keep, make, until="right", data=(x, y), valid=(x, y)) for keep in (False, True)]
    assert same(results[0][0].get_weights(), results[1][0].get_weights()) and computed[0] == 32
    assert all(results[0][1][name] == results[1][1][name] for name in EXACT)


def test_a_smaller_last_batch_gets_another_algorithm():
    def make(dropout):
        x = nn.Input((10, 10, 32))
        y = nn.GlobalAveragePooling2D()(nn.Conv2D(32, 3, padding="same", name="conv")(x))
        return nn.Model(x, nn.Dense(2, name="head")(nn.Dropout(dropout)(y)), seed=0)

    x = np.random.default_rng(0).standard_normal((9, 10, 10, 32)).astype(np.float32)
    data = x, np.arange(9) % 2
    results = [trained(keep, make, until="conv", data=data, valid=data, epochs=4) for keep in (False, True)]
    assert same(results[0][0].get_weights(), results[1][0].get_weights())
    assert all(results[0][1][name] == results[1][1][name] for name in EXACT)
    alone, whole = (results[1][0].cut("conv").predict(x[:n], batch_size=n) for n in (1, 4))
    assert not np.array_equal(alone[0], whole[0]), "else this tests nothing"


def test_what_is_not_worth_keeping_or_cannot_be(computed, monkeypatch):
    x, y = samples()
    trained(True, data=([(x[:8], y[:8]), (x[8:], y[8:])],), valid=[(x, y)])
    assert not computed[0], "batches of one's own may change"
    model = network()
    model.compile("sgd", "cross_entropy")
    model.fit(x, y, epochs=1)
    assert not computed[0], "nothing is frozen"
    monkeypatch.setattr(features, "MEMORY", 0)
    monkeypatch.setattr(features, "DISK", 0)
    whole, _ = trained(True)
    assert not computed[0], "there is no room"
    monkeypatch.setattr(features, "DISK", 1 << 20)
    kept, _ = trained(True)
    assert computed[0] == 43 and same(kept.get_weights(), whole.get_weights()), "in a file"
    trained(True, until="block1_relu")
    assert computed[0] == 43, "a file is not for values larger than the pictures"


def test_a_network_that_is_trained_whole_keeps_no_normalized_pictures(computed):
    x = nn.Input((6, 6, 2))
    model = nn.Model(x, nn.Dense(3)(nn.Flatten()(nn.Normalization(name="norm")(x))), seed=0)
    model.compile("sgd", "cross_entropy")
    model.fit(*samples(), epochs=2)
    assert not computed[0]


def test_a_base_that_changes_in_between(computed):
    class Meddle(nn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 1 and batch == 2:
                kernel, *rest = self.model.get_layer("block2_conv").get_weights()
                self.model.get_layer("block2_conv").set_weights([kernel * 1.5, *rest])
            if self.epoch == 3 and batch == 1:
                self.model.unfreeze(from_="block2")

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    results = [trained(keep, epochs=5, callbacks=[Meddle()]) for keep in (False, True)]
    assert same(results[0][0].get_weights(), results[1][0].get_weights())
    assert all(results[0][1][name] == results[1][1][name] for name in EXACT)
    assert computed[0] > 2 * 43


def test_a_model_can_be_used_in_between():
    x, y = samples()

    class Look(nn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.seen = self.model.predict(x[:2]), self.model.evaluate(x[:4], y[:4])

    look = Look()
    model, _ = trained(True, callbacks=[look])
    assert np.array_equal(look.seen[0], model.predict(x[:2])) and look.seen[1] == model.evaluate(x[:4], y[:4])


def test_nan_in_a_picture_is_found_in_the_picture():
    x, y = samples()
    x[5] = np.nan
    with pytest.raises(nn.NotFiniteError, match="input 'image' holds NaN"):
        trained(True, data=(x, y))


def test_pictures_are_decoded_and_computed_once(tmp_path, computed, monkeypatch):
    random = np.random.default_rng(0)
    for k in range(3):
        (tmp_path / str(k)).mkdir()
        for i in range(5):
            Image.fromarray((60 * k + random.integers(0, 50, (6, 6, 3))).astype(np.uint8)).save(tmp_path / str(k) / f"{i}.png")
    (tmp_path / "1" / "3.png").write_bytes((tmp_path / "1" / "3.png").read_bytes()[:-30])

    def make(dropout):
        x = nn.Input((6, 6, 3))
        y = nn.GlobalAveragePooling2D(name="avg_pool")(nn.Conv2D(4, 3, activation="relu", name="conv")(x))
        return nn.Model(x, nn.Dense(3, name="head")(nn.Dropout(dropout)(y)), seed=0)

    results = []
    for keep in (False, True):
        before = computed[0]
        train, valid = nn.image_folder(tmp_path, size=6, valid=0.3, batch_size=4, augment="none", memory=0)
        taken = []
        monkeypatch.setattr(Source, "train", lambda self, item, *a, plain=Source.train, taken=taken: (taken.append(item), plain(self, item, *a)))
        results.append(trained(keep, make, data=(train,), valid=valid))
        monkeypatch.undo()
        monkeypatch.setattr(Frozen, "features", Frozen.features)
        assert train.images + valid.images == 14
    assert same(results[0][0].get_weights(), results[1][0].get_weights())
    assert all(results[0][1][name] == results[1][1][name] for name in EXACT)
    assert before == 0 and all(item.batch is None for item in taken[-len(train) :]), "nothing is read in later epochs"
