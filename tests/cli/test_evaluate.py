import json

import numpy as np
import pytest
from numbacnn_cli.evaluate import Report
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

import numbacnn as nn
from numbacnn.data.batches import evaluation_folder


def test_the_report_follows_from_the_confusion_matrix():
    random = np.random.default_rng(0)
    truth, guess = random.integers(0, 4, (2, 200))
    truth[truth == 3] = 0  # a class that is not there
    guess[guess == 2] = 1  # a class that is never predicted
    report = Report.of(("a", "b", "c", "d"), confusion_matrix(truth, guess, labels=range(4)), 1.5)
    expected = precision_recall_fscore_support(truth, guess, labels=range(4), zero_division=0)
    assert report.accuracy == accuracy_score(truth, guess)
    assert np.allclose([(c.precision, c.recall, c.f1, c.count) for c in report.classes], np.transpose(expected))


def test_it_agrees_with_the_model(numbacnn, trained):
    run, pictures = trained
    done = numbacnn("evaluate", run, pictures, "--json")
    assert (done.status, done.err) == (0, "")
    report, model = json.loads(done.out), nn.load(run)
    expected = model.evaluate(evaluation_folder(pictures, model.classes, model.preprocess))
    assert report["accuracy"] == pytest.approx(expected["accuracy"])
    assert report["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert report["images"] == 24
    assert [c["label"] for c in report["classes"]] == ["bright", "dark", "middle"]
    assert [sum(row) for row in report["confusion"]] == [c["count"] for c in report["classes"]] == [8, 8, 8]
    guesses = [p.label for p in model.classify(sorted(pictures.glob("dark/*.png")))]
    assert report["confusion"][1] == [guesses.count(c) for c in model.classes]


def test_tables(numbacnn, trained, tmp_path):
    run, pictures = trained
    (tmp_path / "test" / "dark").mkdir(parents=True)
    (tmp_path / "test" / "dark" / "a.png").write_bytes((pictures / "dark" / "00.png").read_bytes())
    (tmp_path / "test" / "dark" / "b.png").write_bytes(b"no picture")
    done = numbacnn("evaluate", run, tmp_path)
    assert done.status == 0
    assert done.out.startswith("1 picture: accuracy ")
    assert "precision" in done.out
    assert "is \\ taken for" in done.out
    assert "skipped" in done.err
    assert "b.png" in done.err


def test_classes_that_the_model_does_not_know(numbacnn, trained, tmp_path):
    (tmp_path / "letters" / "drak").mkdir(parents=True)
    (tmp_path / "letters" / "drak" / "a.png").write_bytes((trained[1] / "dark" / "00.png").read_bytes())
    done = numbacnn("evaluate", trained[0], "letters")
    assert done.status == 2
    assert "did you mean 'dark'?" in done.err
    assert "rename the folder" in done.err


def test_a_model_that_answers_nan(numbacnn, spoilt, trained):
    done = numbacnn("evaluate", spoilt, trained[1], "--json")
    assert (done.status, done.out) == (3, "")
    assert "the model answers NaN" in done.err
