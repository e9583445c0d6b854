"""Graphs, handles, compile / fit / predict as users write them."""

import threading

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.data.arrays import as_data


def data(n=24, classes=3, size=6, seed=0):
    generator = np.random.default_rng(seed)
    y = generator.integers(0, classes, n)
    x = generator.standard_normal((n, size, size, 2)).astype(np.float32) * 0.3
    for i, k in enumerate(y):
        x[i, :, :, 0] += k - 1
    return x, y


def make(seed=0, **options):
    layers = [
        nn.Input((6, 6, 2)),
        nn.Conv2D(4, 3, name="conv"),
        nn.BatchNormalization(name="bn"),
        nn.ReLU(),
        nn.GlobalAveragePooling2D(),
        nn.Dense(3, name="head"),
    ]
    model = nn.Sequential(layers, seed=seed)
    model.compile(options.pop("optimizer", "adam"), "cross_entropy", metrics=["accuracy"], **options)
    return model


def test_names_shapes_and_handles():
    model = nn.Sequential([nn.Input((8, 8, 3)), nn.Conv2D(4, 3), nn.Conv2D(5, 3, name="mine"), nn.Flatten(), nn.Dense(2)])
    assert [h.name for h in model.layers] == ["conv2d_1", "mine", "flatten_1", "dense_1"]
    assert model.get_layer("mine").output.shape == (4, 4, 5)
    assert model.input_shape == (None, 8, 8, 3) and model.output_shape == (None, 2)
    assert [w.shape for w in model.get_layer(index=0).get_weights()] == [(3, 3, 3, 4), (4,)]
    with pytest.raises(nn.UnknownNameError, match="did you mean 'mine'"):
        model.get_layer("mien")


def test_a_wrong_shape_names_layer_shape_and_reason():
    with pytest.raises(nn.ShapeError, match=r"'deep' \(Conv2D\) cannot take input shape \(2, 2, 3\)"):
        nn.Conv2D(4, 5, name="deep")(nn.Input((2, 2, 3)))
    model = make()
    with pytest.raises(nn.ShapeError, match=r"takes \(None, 6, 6, 2\), given \(1, 5, 5, 2\)"):
        model.predict(np.zeros((1, 5, 5, 2)))


def test_functional_with_several_inputs_shared_layers_and_outputs():
    a, b = nn.Input((4, 4, 1), name="a"), nn.Input((4, 4, 1), name="b")
    tower = nn.Conv2D(3, 3, name="tower")
    joined = nn.Add()([tower(a), tower(b)])
    flat = nn.Flatten()(joined)
    model = nn.Model([a, b], [nn.Dense(2, name="kind")(flat), nn.Dense(1, name="size")(flat)], seed=1)
    assert sum(h.name == "tower" for h in model.layers) == 1
    x = [np.random.default_rng(i).standard_normal((6, 4, 4, 1)).astype(np.float32) for i in (0, 1)]
    kind, size = model.predict(x)
    assert kind.shape == (6, 2) and size.shape == (6, 1)
    assert np.array_equal(model.predict({"a": x[0], "b": x[1]})[0], kind)
    model.compile("sgd", {"kind": "cross_entropy", "size": "mse"}, loss_weights={"size": 0.5}, metrics={"kind": ["accuracy"]})
    y = {"kind": np.array([0, 1, 0, 1, 0, 1]), "size": np.arange(6.0)[:, None]}
    history = model.fit(x, y, epochs=2, batch_size=4)
    assert set(history) >= {"train_loss", "train_kind_loss", "train_size_loss", "train_kind_accuracy"}
    result = model.evaluate(x, y)
    assert result["loss"] == pytest.approx(result["kind_loss"] + result["size_loss"], rel=1e-5)
    with pytest.raises(nn.UnknownNameError, match="unknown output in loss 'knd'; did you mean 'kind'"):
        model.compile("sgd", {"knd": "mse"})


def test_input_of_any_size():
    x = nn.Input((None, None, 3))
    model = nn.Model(x, nn.GlobalAveragePooling2D()(nn.Conv2D(4, 3, padding="same")(x)), seed=0)
    assert model.predict(np.zeros((2, 5, 7, 3))).shape == (2, 4)
    assert model.predict(np.zeros((9, 4, 3))).shape == (1, 4)


def test_sequential_builds_itself_from_data():
    model = nn.Sequential([nn.Flatten(), nn.Dense(3)], seed=0)
    with pytest.raises(nn.ConfigError, match="not built"):
        model.layers  # noqa: B018
    model.compile("sgd", "cross_entropy")
    x, y = data()
    model.fit(x, y, epochs=1)
    assert model.predict(x).shape == (24, 3)


def test_fit_learns_and_history_is_history_csv():
    x, y = data()
    model = make(optimizer=nn.Adam(learning_rate=0.05))
    seen = []

    class Log(nn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, dict(logs)))

    history = model.fit(x, y, validation_data=(x, y), epochs=12, batch_size=10, callbacks=[Log()])
    assert list(history) == ["epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "learning_rate", "seconds", "images_per_second"]
    assert history["train_loss"][-1] < 0.6 * history["train_loss"][0]
    assert history["train_accuracy"][-1] > 0.9
    assert [e for e, _ in seen] == list(range(12)) and seen[-1][1]["train_loss"] == history["train_loss"][-1]
    assert model.evaluate(x, y)["loss"] == pytest.approx(history["valid_loss"][-1], rel=1e-6)


def test_the_same_seed_makes_the_same_bits():
    x, y = data()
    models = [make(seed=4) for _ in range(2)]
    for model in models:
        model.fit(x, y, epochs=3, batch_size=7, seed=5)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        assert np.array_equal(a, b)
    other = make(seed=4)
    other.fit(x, y, epochs=3, batch_size=7, seed=6)
    assert any(not np.array_equal(a, b) for a, b in zip(models[0].get_weights(), other.get_weights(), strict=True))


def test_resuming_makes_the_same_bits(tmp_path):
    x, y = data()
    whole, half = make(), make()
    whole.fit(x, y, epochs=4, batch_size=8)
    half.fit(x, y, epochs=2, batch_size=8)
    half.save(tmp_path / "checkpoint.h5", checkpoint=True)
    again = nn.load(tmp_path / "checkpoint.h5")
    again.fit(x, y, epochs=4, initial_epoch=2, batch_size=8)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_freezing():
    x, y = data()
    model = make()
    model.get_layer("conv").trainable = False
    model.get_layer("bn").trainable = False
    before = model.get_weights()
    model.fit(x, y, epochs=2)
    after = model.get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [False] * 6 + [True, True], "a frozen BatchNormalization keeps its moving statistics"
    model.trainable = True
    model.fit(x, y, epochs=1)
    assert all(not np.array_equal(a, b) for a, b in zip(after, model.get_weights(), strict=True))
    model.trainable = False
    with pytest.raises(nn.ConfigError, match="no weight can be trained"):
        model.fit(x, y)


def test_learning_rate_per_group():
    x, y = data()
    model = make(optimizer=nn.SGD(learning_rate=0.1), groups=[(["conv", "bn"], 0.0)])
    before = {h.name: h.get_weights() for h in model.layers}
    model.fit(x, y, epochs=1)
    assert np.array_equal(model.get_layer("conv").get_weights()[0], before["conv"][0])
    assert not np.array_equal(model.get_layer("head").get_weights()[0], before["head"][0])


def test_a_new_head_on_a_base_shares_its_weights():
    base = make()
    features = nn.Model(base.input, base.get_layer("bn").output)
    assert features.get_layer("conv") is base.get_layer("conv")
    base.trainable = False
    x = nn.Input((6, 6, 2))
    model = nn.Model(x, nn.Dense(2, name="new")(nn.GlobalAveragePooling2D()(features(x))), seed=0)
    kernel = base.get_layer("conv").get_weights()[0]
    model.compile("sgd", "cross_entropy")
    model.fit(*[a[:8] for a in data(classes=2)], epochs=1)
    assert np.array_equal(base.get_layer("conv").get_weights()[0], kernel)
    base.get_layer("conv").set_weights([kernel * 2, np.ones(4)])
    assert np.array_equal(model.layers[1].get_weights()[0], kernel * 2)


def test_set_weights_changes_nothing_where_anything_is_wrong():
    model = make()
    values = model.get_weights()
    wrong = [np.zeros_like(v) for v in values]
    wrong[-1] = np.zeros(7)
    with pytest.raises(nn.ShapeError, match=r"head/bias: \(3,\), given \(7,\)"):
        model.set_weights(wrong)
    assert all(np.array_equal(a, b) for a, b in zip(values, model.get_weights(), strict=True))
    with pytest.raises(nn.ConfigError, match="has 8 weights, 2 were given"):
        model.set_weights(values[:2])


def test_weights_set_after_a_prediction_count():
    model = make()
    x, _ = data(2)
    before = model.predict(x)
    model.set_weights([w + 0.1 for w in model.get_weights()])
    assert not np.allclose(model.predict(x), before)


def test_softmax_and_sigmoid_are_fused_with_their_loss():
    x = np.full((2, 1), 1e4, np.float32)
    for units, activation, loss, y in ((2, "softmax", "cross_entropy", np.array([1, 1])), (1, "sigmoid", "binary_cross_entropy", np.zeros((2, 1)))):
        model = nn.Sequential([nn.Input((1,)), nn.Dense(units, activation=activation, name="d")], seed=0)
        model.get_layer("d").set_weights([np.ones((1, units)) * ([1.0, -1.0] if units == 2 else [1.0]), np.zeros(units)])
        model.compile(nn.SGD(learning_rate=1e-4), loss)
        before = model.get_layer("d").get_weights()[0]
        result = model.train_on_batch(x, y)
        assert np.isfinite(result["loss"]) and result["loss"] > 1e3, "not clipped"
        assert np.abs(model.get_layer("d").get_weights()[0] - before).max() > 0.1, "a saturated unit still learns"
    with pytest.raises(nn.ConfigError, match="ends in sigmoid, but loss CrossEntropy goes with softmax"):
        nn.Sequential([nn.Input((1,)), nn.Dense(2, activation="sigmoid")]).compile("sgd", "cross_entropy")


def test_logits_become_probabilities_for_metrics():
    model = nn.Sequential([nn.Input((2,)), nn.Dense(1)], seed=0)
    model.get_layer(index=0).set_weights([np.array([[1.0], [0.0]]), np.zeros(1)])
    model.compile("sgd", "binary_cross_entropy", metrics=["accuracy"])
    assert model.evaluate(np.array([[0.3, 0], [-0.3, 0]]), np.array([[1], [0]]))["accuracy"] == 1.0


def test_class_and_sample_weights():
    x, y = data()
    model = make()
    plain = model.evaluate(x, y)["loss"]
    doubled = model.evaluate(x, y, sample_weight=np.arange(24) % 2 * 4.0)
    assert model.evaluate(x, y, sample_weight=np.full(24, 2.0))["loss"] == pytest.approx(2 * plain, rel=1e-5)
    assert doubled["accuracy"] == model.evaluate(x, y)["accuracy"], "metrics are not weighted"
    a, b = make(), make()
    a.fit(x, y, epochs=1, class_weight={0: 2.0, 1: 0.5, 2: 1.0})
    b.fit(x, y, epochs=1, sample_weight=np.array([2.0, 0.5, 1.0])[y])
    assert all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


def test_weights_of_samples_must_be_finite():
    """A weighted loss that is not finite comes from finite ones, so that the weights would be lost before anybody looks."""
    x, y = data()
    model = make()
    before = model.get_weights()
    with pytest.raises(nn.DataError, match="sample 2 of the batch has weight nan: sample_weight and class_weight must be finite numbers"):
        model.train_on_batch(x[:4], y[:4], sample_weight=[1, 1, np.nan, 1])
    with pytest.raises(nn.DataError, match="has weight inf"):
        model.fit(x, y, epochs=1, class_weight={0: 2.0, 1: np.inf})
    assert all(np.array_equal(p, q) for p, q in zip(model.get_weights(), before, strict=True))


def test_iterables_of_batches():
    x, y = data()
    batches = [(x[:8], y[:8]), (x[8:], y[8:])]
    model = make()
    history = model.fit(batches, batches, epochs=2)
    assert len(history["valid_loss"]) == 2
    with pytest.raises(nn.DataError, match="ended in epoch 2 after 0 batches"):
        model.fit(iter(batches), epochs=2)
    with pytest.raises(nn.DataError, match="ended in epoch 1 after 2 batches of 5"):
        model.fit(iter(batches), epochs=1, steps_per_epoch=5)
    model.fit(iter(batches * 2), epochs=2, steps_per_epoch=2)


def test_validation_split_and_verbose(capsys):
    x, y = data()
    model = make()
    history = model.fit(x, y, epochs=1, validation_split=0.25, verbose=1)
    assert history["valid_loss"][0] == pytest.approx(model.evaluate(x[18:], y[18:])["loss"], rel=1e-6)
    assert capsys.readouterr().out.startswith("epoch 1/1  train_loss")
    with pytest.raises(nn.ConfigError, match=r"validation_split=1\.0 of 24 samples leaves none to train on"):
        model.fit(x, y, validation_split=1.0)
    with pytest.raises(nn.ConfigError, match="predict takes arrays, not a dataset"):
        model.predict(as_data(x, y))


def test_weights_that_explode_in_the_last_step_of_an_epoch_are_not_kept():
    x, y = data()
    model = nn.Sequential([nn.Input((6, 6, 2)), nn.Flatten(), nn.Dense(3), nn.Dense(3)], seed=0)
    model.compile(nn.SGD(learning_rate=1e30), "cross_entropy")
    before = model.get_weights()
    with pytest.raises(nn.NotFiniteError, match="the validation loss is"):
        model.fit(x, y, (x, y), batch_size=24)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_labels_also_train_a_squared_error():
    x, y = data()
    model = make()
    model.compile("adam", "mse")
    assert np.isfinite(model.fit(x, y)["train_loss"][0])


def test_the_name_of_a_model_is_kept(tmp_path):
    nn.build("small", (8, 8, 1), 2).save(tmp_path / "m.h5")
    assert nn.load(tmp_path / "m.h5").name == "small"


def test_nan_stops_says_where_and_keeps_the_last_good_weights():
    x, y = data()
    model = make()
    model.fit(x, y, epochs=1)
    before = model.get_weights()
    bad = x.copy()
    bad[20] = np.nan
    with pytest.raises(nn.NotFiniteError, match=r"in epoch 1, batch \d: .*input 'input_1' holds NaN"):
        model.fit(bad, y, epochs=2, batch_size=8, shuffle=False)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    wild = nn.Sequential([nn.Input((6, 6, 2)), nn.Flatten(), nn.Dense(3, name="first"), nn.Dense(3, name="second")], seed=0)
    wild.compile(nn.SGD(learning_rate=1e30), "cross_entropy")
    with pytest.raises(nn.NotFiniteError, match=r"'(first|second)' went bad first"):
        wild.fit(x, y, epochs=5)
    assert all(np.isfinite(w).all() for w in wild.get_weights())


def test_bad_targets_and_options():
    x, y = data()
    model = make()
    with pytest.raises(nn.DataError, match="5"):
        model.fit(x, np.full(24, 5))
    with pytest.raises(nn.DataError, match="different lengths"):
        model.fit(x, y[:5])
    with pytest.raises(nn.UnknownNameError, match="unknown loss 'cross_entropi'; did you mean 'cross_entropy'"):
        model.compile("adam", "cross_entropi")
    with pytest.raises(nn.UnknownNameError, match="did you mean 'Adam'"):
        model.compile("adan", "cross_entropy")
    with pytest.raises(nn.DeviceError, match="cuda"):
        model.compile("adam", "cross_entropy", device="cuda")
    with pytest.raises(nn.ConfigError, match="not compiled"):
        nn.Sequential([nn.Input((2,)), nn.Dense(1)]).fit(x, y)


def test_predict_gives_the_caller_its_own_array_also_from_threads():
    model = make()
    x, _ = data(40)
    expected = model.predict(x)
    first = model.predict(x[:1])
    kept = first.copy()
    model.predict(x[1:2])
    assert np.array_equal(first, kept)
    results = {}

    def work(i):
        results[i] = [model.predict(x[i : i + 4], batch_size=3) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(0, 24, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, found in results.items():
        for y in found:
            assert np.allclose(y, expected[i : i + 4], atol=1e-6)


def test_adapt():
    x = np.random.default_rng(0).normal(3.0, 2.0, (50, 4, 4, 2)).astype(np.float32)
    model = nn.Sequential([nn.Input((4, 4, 2)), nn.Normalization(name="norm")])
    model.adapt(x)
    y = model.predict(x)
    assert np.allclose(y.mean((0, 1, 2)), 0, atol=1e-4) and np.allclose(y.std((0, 1, 2)), 1, atol=1e-4)


def test_regularizers_count_in_the_loss():
    x = np.zeros((4, 2), np.float32)
    model = nn.Sequential([nn.Input((2,)), nn.Dense(1, kernel_regularizer=nn.L2(0.5), name="d")])
    model.get_layer("d").set_weights([np.array([[1.0], [2.0]]), np.zeros(1)])
    model.compile(nn.SGD(learning_rate=0.1), "mse")
    assert model.evaluate(x, np.zeros((4, 1)))["loss"] == pytest.approx(0.5 * 5)
    model.train_on_batch(x, np.zeros((4, 1)))
    assert np.allclose(model.get_layer("d").get_weights()[0], [[0.9], [1.8]])


def test_summary_says_what_is_there(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    make().summary()
    out = capsys.readouterr().out
    assert "conv" in out and "BatchNormalization" in out and "multiply-adds" in out
    make().summary(plan=True)
    assert "Plan for one image on cpu" in capsys.readouterr().out


def test_inputs_keep_their_order_whichever_is_read_first():
    a, b = nn.Input((2, 2, 1), name="a"), nn.Input((3,), name="b")
    model = nn.Model([a, b], nn.Concatenate()([b, nn.Flatten()(a)]))
    assert model.predict([np.ones((1, 2, 2, 1)), np.zeros((1, 3))]).tolist() == [[0, 0, 0, 1, 1, 1, 1]]
    c, d = nn.Input((2,), name="c"), nn.Input((2,), name="d")
    assert nn.Model([c, d], nn.Subtract()([d, c])).predict([np.full((1, 2), 5), np.full((1, 2), 7)]).tolist() == [[2, 2]]
