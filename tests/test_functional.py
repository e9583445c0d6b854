"""What fit, evaluate and models in models must not get wrong: each test was a bug once."""

import gc

import numpy as np
import pytest

import numbacnn as nn


def data(n=24, classes=3, size=6, seed=0):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, size, size, 2)).astype(np.float32), generator.integers(0, classes, n)


def make(optimizer="adam", **options):
    layers = [nn.Input((6, 6, 2)), nn.Conv2D(4, 3, name="conv"), nn.BatchNormalization(name="bn"), nn.ReLU(), nn.Flatten(), nn.Dense(3, name="head")]
    model = nn.Sequential(layers, seed=0)
    model.compile(optimizer, "cross_entropy", metrics=["accuracy"], **options)
    return model


def test_a_prediction_during_an_epoch_sees_the_weights_of_that_step():
    x, y = data()
    model, seen = make(nn.Adam(0.1)), []

    class Look(nn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.predict(x[:4]))

    model.fit(x, y, batch_size=8, callbacks=[Look()])
    assert not np.allclose(seen[0], seen[1])
    assert np.array_equal(seen[-1], model.predict(x[:4]))


def test_a_frozen_base_is_not_derived_again_at_each_step():
    x, y = data()
    model = make()
    model.get_layer("conv").trainable = False
    model.train_on_batch(x, y)
    plan = model.session.plan([x])
    assert plan.prologue and not plan.stale
    model.get_layer("conv").set_weights(model.get_layer("conv").get_weights())
    assert model.session.plan([x]).stale


def test_a_loss_that_is_not_a_number_is_reported_as_such():
    model = make()
    model.get_layer("head").set_weights([np.full((64, 3), np.nan), np.zeros(3)])
    assert np.isnan(model.evaluate(*data())["loss"])


def test_training_goes_on_after_nan_with_the_last_good_optimizer_state():
    x, y = data()
    model = nn.Sequential([nn.Input((6, 6, 2)), nn.Flatten(), nn.Dense(3)], seed=0)
    model.compile(nn.SGD(0.01, momentum=0.9), "cross_entropy")
    model.fit(x, y)
    state, step = model.session.export()[0]["momentum"], model.session.step
    with pytest.raises(nn.NotFiniteError):
        model.fit(x * np.float32(1e20), y, epochs=5, batch_size=8)
    assert np.array_equal(model.session.export()[0]["momentum"], state) and model.session.step == step
    assert model.fit(x, y)["train_loss"][0] < 10


def test_optimizer_state_outlives_a_checkpoint_without_a_step_and_a_freeze(tmp_path):
    x, y = data()
    model = make()
    model.fit(x, y)
    expected, places = model.session.export()
    model.save(tmp_path / "a.h5", checkpoint=True)
    nn.load(tmp_path / "a.h5").save(tmp_path / "b.h5", checkpoint=True)  # Ctrl-C before the first step of a resumed run
    again = nn.load(tmp_path / "b.h5")
    for name in ("conv", "bn"):
        again.get_layer(name).trainable = False
    again.fit(x, y)
    again.trainable = True
    again.session.prepare()
    found, now = again.session.export()
    [(start, stop)] = [(a, b) for path, a, b in places if path == "conv/kernel"]
    [(first, last)] = [(a, b) for path, a, b in now if path == "conv/kernel"]
    assert np.array_equal(found["velocity"][first:last], expected["velocity"][start:stop]) and expected["velocity"][start:stop].any()


def test_two_metrics_of_one_name_are_counted_apart():
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((50, 2)), generator.integers(0, 2, (50, 1))
    model = nn.Sequential([nn.Input((2,)), nn.Dense(1, activation="sigmoid")], seed=0)
    single = []
    for threshold in (0.3, 0.7):
        model.compile("sgd", "binary_cross_entropy", metrics=[nn.Recall(threshold=threshold)])
        single.append(model.evaluate(x, y)["recall"])
    model.compile("sgd", "binary_cross_entropy", metrics=[nn.Recall(threshold=0.3), nn.Recall(threshold=0.7)])
    found = model.evaluate(x, y)
    assert [found["recall"], found["recall_1"]] == single and single[0] != single[1]


def test_a_model_called_on_another_shape_must_fit_its_weights():
    source = nn.Input((4, 4, 1))
    inner = nn.Model(source, nn.Dense(2, name="d")(nn.Flatten()(source)))
    with pytest.raises(nn.ShapeError, match=r"layer 'd' .*other weights"):
        inner(nn.Input((8, 8, 1)))


def test_a_layer_added_after_compile_asks_for_compile():
    model = make()
    model.add(nn.Dense(2))
    with pytest.raises(nn.ConfigError, match="not compiled"):
        model.fit(*data())


def test_building_from_an_iterator_loses_no_batch():
    x, y = data()
    model = nn.Sequential([nn.Flatten(), nn.Dense(3)])
    model.compile("sgd", "cross_entropy")
    model.fit(iter([(x[:8], y[:8]), (x[8:], y[8:])]), steps_per_epoch=2)
    assert nn.Sequential([nn.Flatten(), nn.Dense(3)]).predict(x.tolist()).shape == (24, 3)


def test_a_dataset_s_classes_are_learned_whatever_the_steps():
    x, y = data()

    class Data:
        classes, images = ("a", "b", "c"), 24

        def __len__(self):
            return 3

        def __iter__(self):
            return self.epoch(0)

        def epoch(self, number):
            return ((x[i : i + 8], y[i : i + 8]) for i in range(0, 24, 8))

    model = make()
    model.fit(Data(), steps_per_epoch=2)
    assert model.classes == ("a", "b", "c")


def test_freezing_takes_a_regularizer_out_of_the_evaluated_loss():
    model = nn.Sequential([nn.Input((2,)), nn.Dense(2, kernel_regularizer="l2", name="d"), nn.Dense(1)])
    model.compile("sgd", "mse")
    assert model.evaluate(np.zeros((4, 2)), np.zeros(4))["loss"] > 0
    model.get_layer("d").trainable = False
    assert model.evaluate(np.zeros((4, 2)), np.zeros(4))["loss"] == 0


def test_adapt_in_a_nested_model_and_behind_a_second_input():
    source = nn.Input((4, 4, 2))
    inner = nn.Model(source, nn.Normalization(name="norm")(nn.Rescaling(2.0)(source)))
    outer_source = nn.Input((4, 4, 2))
    outer = nn.Model(outer_source, inner(outer_source))
    x = np.random.default_rng(0).normal(3, 2, (40, 4, 4, 2))
    outer.adapt(x)
    assert outer.predict(x).mean() == pytest.approx(0, abs=1e-3) and outer.predict(x).std() == pytest.approx(1, abs=1e-3)
    a, b = nn.Input((1,)), nn.Input((1,))
    model = nn.Model([a, b], nn.Add()([a, nn.Normalization(name="n")(b)]))
    model.adapt([([np.zeros((9, 1)), np.arange(9.0)[:, None]], np.zeros(9))])
    assert model.get_layer("n").weights["mean"] == 4


def test_an_input_given_twice_is_refused():
    x = nn.Input((2,), name="x")
    with pytest.raises(nn.ConfigError, match="input 'x' is given twice"):
        nn.Model([x, x], nn.Dense(1)(x))


def test_lists_and_tuples_as_x():
    x, y = data()
    model = make()
    assert np.array_equal(model.predict([x]), model.predict(x))
    model.fit([x], y)
    model.fit(x.tolist(), y.tolist(), validation_data=(x.tolist(), y.tolist()))
    a, b = nn.Input((6, 6, 2)), nn.Input((6, 6, 2))
    both = nn.Model([a, b], nn.Dense(3)(nn.Flatten()(nn.Add()([a, b]))))
    both.compile("sgd", "cross_entropy")
    assert len(both.fit((x, x), y, validation_data=((x, x), y))["valid_loss"]) == 1


def test_a_number_of_threads_below_one_is_refused():
    with pytest.raises(nn.ConfigError, match="threads=-2"):
        make(threads=-2)


def test_weights_come_in_keras_order_also_where_branches_meet():
    x = nn.Input((4, 4, 2))
    short = nn.Conv2D(3, 1, name="short")(x)
    long = nn.Conv2D(3, 1, name="second")(nn.Conv2D(5, 1, name="first")(x))
    model = nn.Model(x, nn.Dense(2, name="end")(nn.Add(name="add")([short, long])))
    assert [h.name for h in model.layers] == ["input_1", "first", "short", "second", "add", "end"]  # as Keras 3 sorts them: by depth
    assert [w.shape[-2:] for w in model.get_weights()[::2]] == [(2, 5), (2, 3), (5, 3), (3, 2)]
    values = [np.full_like(w, i) for i, w in enumerate(model.get_weights())]
    model.set_weights(values)
    assert model.get_layer("short").get_weights()[0][0, 0, 0, 0] == 2


def test_a_layer_keeps_its_weights_when_its_first_model_is_gone():
    layer = nn.Dense(2)

    def weights(seed):
        x = nn.Input((3,))
        return nn.Model(x, layer(x), seed=seed).get_weights()

    first = weights(1)
    gc.collect()
    assert np.array_equal(weights(2)[0], first[0])
