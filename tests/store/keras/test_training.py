"""How Keras' files say a model was compiled, as Keras 3.15.1 and tf.keras 2.15.1 wrote it."""

import json
import warnings
import zipfile

import h5py
import numpy as np
import pytest

import numbacnn as nn

RATE = 0.0010000000474974513  # 0.001 in float32, as Keras writes it
COMMON = {"weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None, "use_ema": False, "ema_momentum": 0.99}
KERAS3 = COMMON | {"ema_overwrite_frequency": None, "loss_scale_factor": None, "gradient_accumulation_steps": None}
KERAS2 = COMMON | {"ema_overwrite_frequency": None, "jit_compile": False, "is_legacy_optimizer": False}
ADAM = {"name": "adam", "learning_rate": RATE, **KERAS3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07, "amsgrad": False}
CROSS = {"reduction": "auto", "name": "x", "from_logits": False, "label_smoothing": 0.1, "axis": -1, "fn": "categorical_crossentropy"}
WRAPPED = {"class_name": "MeanMetricWrapper", "config": {"name": "acc", "dtype": "float32", "fn": "categorical_accuracy"}}


def model(activation="softmax", units=3):
    x = nn.Input((4, 4, 3))
    flat = nn.Flatten()(x)
    if activation == "two":
        return nn.Model(x, [nn.Dense(3, activation="softmax", name="a")(flat), nn.Dense(1, name="b")(flat)], "two", seed=0)
    return nn.Model(x, nn.Dense(units, activation=activation, name="d")(flat), "one", seed=0)


def written(path, made, config):
    """A file that Keras could have written, compiled as `config` says."""
    if path.suffix == ".h5":
        made.save(path, "keras_h5")
        with h5py.File(path, "a") as file:
            file.attrs["training_config"] = json.dumps(config)
        return path
    made.save(path)
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts["config.json"] = json.dumps(json.loads(parts["config.json"]) | {"compile_config": config})
    with zipfile.ZipFile(path, "w") as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("ending", "made", "config", "optimizer", "loss", "metrics"),
    [
        (
            ".h5",
            ("softmax",),
            {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "optimizer_config": {"class_name": "Adam", "config": ADAM}},
            nn.Adam(),
            [nn.CrossEntropy()],
            [["accuracy"]],
        ),
        (
            ".h5",
            ("softmax",),
            {
                "loss": {"class_name": "CategoricalCrossentropy", "config": CROSS},
                "metrics": [[WRAPPED, {"class_name": "TopKCategoricalAccuracy", "config": {"name": "top2", "dtype": "float32", "k": 2}}]],
                "optimizer_config": {"class_name": "Custom>SGD", "config": {"name": "SGD", **KERAS2, "learning_rate": 0.1, "momentum": 0.9, "nesterov": True}},
            },
            nn.SGD(0.1, 0.9, True),
            [nn.CrossEntropy(label_smoothing=0.1)],
            [["accuracy", "top_2"]],
        ),
        (
            ".keras",
            ("linear",),
            {
                "optimizer": {"module": "keras.optimizers", "class_name": "RMSprop", "config": {**KERAS3, "learning_rate": RATE, "rho": 0.8, "centered": True}},
                "loss": {"class_name": "SparseCategoricalCrossentropy", "config": {"name": "s", "from_logits": True, "ignore_class": None}},
                "loss_weights": None,
                "metrics": ["acc"],
            },
            nn.RMSprop(rho=0.8, centered=True),
            [nn.CrossEntropy()],
            [["accuracy"]],
        ),
        (
            ".keras",
            ("sigmoid", 4),
            {
                "optimizer": {"class_name": "AdamW", "config": {**ADAM, "weight_decay": 0.01, "clipnorm": 1.0}},
                "loss": {"class_name": "BinaryCrossentropy", "config": {"label_smoothing": 0.0, "from_logits": False, "reduction": "sum_over_batch_size"}},
                "metrics": [
                    {"class_name": "BinaryAccuracy", "config": {"threshold": 0.4}},
                    {"class_name": "Precision", "config": {"thresholds": None, "top_k": None}},
                ],
            },
            nn.AdamW(weight_decay=0.01, clipnorm=1.0),
            [nn.BinaryCrossEntropy()],
            [["accuracy", "precision"]],
        ),
        (
            ".keras",
            ("two",),
            {
                "optimizer": "adam",
                "loss": {"b": "mse", "a": "categorical_crossentropy"},
                "loss_weights": {"a": 1.0, "b": 0.5},
                "metrics": {"a": ["accuracy"]},
            },
            nn.Adam(),
            [nn.CrossEntropy(), nn.MeanSquaredError()],
            [["accuracy"], []],
        ),
        (".keras", ("linear", 1), {"loss": {"class_name": "Huber", "config": {"delta": 2.0}}, "metrics": None}, nn.RMSprop(), [nn.Huber(delta=2.0)], [[]]),
    ],
)
def test_what_is_known_is_compiled(tmp_path, ending, made, config, optimizer, loss, metrics):
    again = nn.load(written(tmp_path / f"x{ending}", model(*made), config))
    session = again.session
    assert session.optimizer == optimizer and session.losses == loss and [[m.name for m in ms] for ms in session.metrics] == metrics
    assert session.loss_weights == ([1.0, 0.5] if made == ("two",) else [1.0])
    x = np.random.default_rng(0).random((4, 4, 4, 3), np.float32)
    y = [np.array([0, 1, 2, 0]), np.ones((4, 1))] if made == ("two",) else np.ones((4, made[1])) if len(made) > 1 else np.array([0, 1, 2, 0])
    again.train_on_batch(x, y)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_our_own_note_counts_in_files_that_we_wrote(tmp_path, ending):
    made = model("linear")
    made.compile(nn.SGD(0.1), nn.CrossEntropy(label_smoothing=0.2), metrics=["top_k"], lr=[0.1, 0.2] if len(made.layer_groups()) > 1 else 0.2)
    path = written(tmp_path / f"x{ending}", made, {"loss": "kl_divergence"})
    session = nn.load(path).session
    assert (session.optimizer.learning_rate, session.losses, session.measured()) == (0.2, [nn.CrossEntropy(label_smoothing=0.2)], ["top_5"])


def test_a_damaged_note_is_no_more_than_a_warning(tmp_path):
    made = model()
    made.compile("sgd", "cross_entropy")
    path = written(tmp_path / "x.keras", made, None)
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name).replace(b'"optimizer": {"name"', b'"optimizer": {"nome"') for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in parts.items():
            new.writestr(name, content)
    with pytest.warns(UserWarning, match="not compiled"):
        nn.load(path)


def test_what_keras_does_with_binary_decisions(tmp_path):
    config = {"loss": "binary_crossentropy", "metrics": [{"class_name": "Recall", "config": {"thresholds": 0.3}}]}
    (metric,) = nn.load(written(tmp_path / "x.h5", model("sigmoid"), config)).session.metrics[0]
    assert (metric.average, metric.threshold) == ("micro", 0.3)


@pytest.mark.parametrize(
    ("config", "unknown"),
    [
        (
            {"loss": "kl_divergence", "metrics": ["accuracy", {"class_name": "AUC", "config": {}}], "optimizer": "nadam"},
            "optimizer 'nadam', loss 'kl_divergence', metric 'AUC'",
        ),
        (
            {"loss": "mse", "optimizer": {"class_name": "SGD", "config": {"learning_rate": {"class_name": "CosineDecay", "config": {}}}}},
            "optimizer SGD with learning_rate='CosineDecay'",
        ),
        ({"loss": "mse", "optimizer": {"class_name": "Adam", "config": ADAM | {"use_ema": True}}}, "optimizer Adam with use_ema=True"),
        ({"loss": {"class_name": "MeanSquaredError", "config": {"reduction": "sum"}}}, "loss MeanSquaredError with reduction='sum'"),
        ({"loss": {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}}, "with from_logits=True on an output that ends in softmax"),
        ({"loss": "binary_crossentropy"}, "loss binary_crossentropy with from_logits=False on an output that ends in softmax"),
        ({"loss": {"q": "mse"}}, "losses for outputs ['q'], which are called ['d']"),
        ({"loss": ["mse", "mse"]}, "for 2"),
        ({"loss": "mse", "weighted_metrics": ["acc"]}, "weighted_metrics ['acc']"),
        ({"loss": "mse", "metrics": [{"class_name": "F1Score", "config": {"average": None}}]}, "metric F1Score with average=None"),
        ({"loss": {"class_name": 3}, "metrics": [7], "optimizer": [], "optimizer_config": {"class_name": "Adam", "config": {"beta_1": "x"}}}, "optimizer"),
        ({"loss": "os.system", "metrics": ["Lambda"]}, "loss 'os.system', metric 'Lambda'"),
    ],
)
def test_what_is_unknown_is_named_once(tmp_path, config, unknown):
    path = written(tmp_path / "x.keras", model(), config)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        again = nn.load(path)
    if unknown == "for 2":
        unknown = "for 1 outputs"
    assert len(caught) == 1 and unknown in str(caught[0].message) and "Call model.compile" in str(caught[0].message), [str(c.message) for c in caught]
    assert caught[0].filename == __file__, "the warning points at who loads"
    with pytest.raises(nn.ConfigError, match="not compiled"):
        again.session  # noqa: B018
    assert again.predict(np.zeros((1, 4, 4, 3), np.float32)).shape == (1, 3)


@pytest.mark.parametrize("config", [None, {}, {"loss": None, "optimizer": "adam"}, []])
def test_what_was_not_compiled_is_not(tmp_path, config):
    with pytest.raises(nn.ConfigError, match="not compiled"):
        nn.load(written(tmp_path / "x.keras", model(), config)).session  # noqa: B018
