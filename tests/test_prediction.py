"""Several labels an image: thresholds, what classify says, what files keep."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

import numbacnn as nn
from numbacnn.prediction import prediction


@pytest.fixture
def model():
    """Three labels; each one's probability is the sigmoid of one channel's mean."""
    model = nn.Sequential([nn.Input((4, 4, 3)), nn.GlobalAveragePooling2D(), nn.Dense(3)], seed=0)
    model.set_weights([4 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    model.compile("sgd", "binary_cross_entropy", metrics=["average_precision", "f1"])
    model.classes, model.preprocess = ("red", "green", "blue"), nn.Preprocess(4)
    return model


def picture(path, *color):
    Image.new("RGB", (5, 5), color).save(path)
    return path


def test_a_prediction_from_scores():
    scores = np.array([0.2, 0.9, 0.5, 0.6], np.float32)
    found = prediction("a.png", scores, "abcd", 2, (0.1, 0.95, 0.5, 0.5))
    assert (found.path, found.label, found.top) == ("a.png", "b", (("b", float(scores[1])), ("d", float(scores[3]))))
    assert found.labels == (("d", float(scores[3])), ("a", float(scores[0]))), "above, not at the threshold; the most probable first"
    assert prediction("a.png", scores, "abcd", 2, None).labels is None
    assert prediction("a.png", scores, "abcd", 1, (0.99,) * 4).labels == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.25, (0.25,) * 3), ([0.1, 0.2, 1], (0.1, 0.2, 1.0)), (np.array([0, 0.5, 0.75]), (0.0, 0.5, 0.75)), ({"green": 0.125}, (0.5, 0.125, 0.5))],
)
def test_thresholds_that_can_be_set(model, value, expected):
    assert model.thresholds == (0.5, 0.5, 0.5)
    model.thresholds = value
    assert model.thresholds == expected
    model.thresholds = None
    assert model.thresholds == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), [0.5, 0.5], "half", [[0.1], [0.2], [0.3]], [0.1, None, 0.3], {"red": 2}])
def test_thresholds_that_cannot_be_set(model, value):
    model.thresholds = 0.3
    with pytest.raises(nn.ConfigError, match=r"thresholds=.*give one number from 0 to 1, one for each of the 3 labels \(red, green, blue\)"):
        model.thresholds = value
    with pytest.raises(nn.UnknownNameError, match="unknown label in thresholds 'gren'; did you mean 'green'"):
        model.thresholds = {"gren": 0.2}
    assert model.thresholds == (0.3, 0.3, 0.3)


def test_classify_gives_all_labels_above_their_thresholds(model, tmp_path):
    paths = [picture(tmp_path / "yellow.png", 255, 255, 0), picture(tmp_path / "black.png", 0, 0, 0), picture(tmp_path / "gray.png", 140, 140, 140)]
    yellow, black, gray = model.classify(paths, top=1)
    assert ([label for label, _ in yellow.labels], yellow.label, len(yellow.top)) == (["red", "green"], "red", 1)
    assert yellow.labels[0][1] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-6)
    assert black.labels == ()
    assert {label for label, _ in gray.labels} == {"red", "green", "blue"}
    model.thresholds = {"red": 0.7, "green": 0.7}
    assert [label for label, _ in model.classify(paths[2])[0].labels] == ["blue"]
    assert [label for label, _ in model.classify(paths[2], threshold={"blue": 0.7})[0].labels] == ["red", "green"]
    assert model.classify(paths[2], threshold=0.99)[0].labels == ()


def test_one_label_an_image_has_no_thresholds(model, tmp_path):
    model.compile("sgd", "cross_entropy")
    path = picture(tmp_path / "red.png", 255, 0, 0)
    assert (model.task, model.classify(path)[0].labels, model.classify(path)[0].label) == ("single_label", None, "red")
    with pytest.raises(nn.ConfigError, match=r"threshold=0\.5 goes with several labels"):
        model.classify(path, threshold=0.5)
    with pytest.raises(nn.ConfigError, match="thresholds go with several labels"):
        model.choose_thresholds(np.zeros((2, 4, 4, 3)), np.zeros(2, int))


def test_one_value_for_two_classes_is_one_label(tmp_path):
    model = nn.Sequential([nn.Input((4, 4, 3)), nn.GlobalAveragePooling2D(), nn.Dense(1)], seed=0)
    model.compile("sgd", "binary_cross_entropy")
    assert model.task == "multi_label"  # one yes-or-no label
    model.classes, model.preprocess = ("no", "yes"), nn.Preprocess(4)
    found = model.classify(picture(tmp_path / "red.png", 255, 0, 0))[0]
    assert (model.task, found.labels, len(found.top)) == ("single_label", None, 2)


def test_the_callback_needs_the_metric_that_keeps_probabilities(model):
    model.compile("sgd", "binary_cross_entropy", metrics=["f1"])
    with pytest.raises(nn.ConfigError, match=r"compile the model with metrics=\['average_precision'"):
        model.fit(np.zeros((2, 4, 4, 3)), np.zeros((2, 3)), callbacks=[nn.ChooseThresholds()])


def test_thresholds_are_chosen_and_kept_in_the_file(model, tmp_path):
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (60, 4, 4, 3)).astype(np.float32) + random.uniform(-0.5, 0.5, (60, 1, 1, 3)).astype(np.float32)
    y = (x.mean((1, 2)) > [0.2, -0.2, 0.0]).astype(np.float32)
    before = model.evaluate(x, y)
    assert set(before) == {"loss", "average_precision", "f1"}
    assert before["average_precision"] == 1
    assert before["f1"] < 0.95
    chosen = model.choose_thresholds(x, y, batch_size=16)
    assert chosen == model.thresholds
    assert ((model.probabilities(model.predict(x)) > np.array(chosen)) == y).all(), "these labels can be told apart without error"
    model.save(tmp_path / "m.h5")
    loaded = nn.load(tmp_path / "m.h5")
    assert (loaded.thresholds, loaded.task, loaded.labels) == (chosen, "multi_label", ("red", "green", "blue"))
    for damage in ([0.5, 0.5], {"a": 1}, "x", [0.5, 2, 0.5]):
        with h5py.File(tmp_path / "m.h5", "r+") as file:
            extra = json.loads(file["extra"][()])
            del file["extra"]
            file["extra"] = np.bytes_(json.dumps(extra | {"thresholds": damage}))
        with pytest.raises(nn.FileError, match="thresholds are damaged"):
            nn.load(tmp_path / "m.h5")
