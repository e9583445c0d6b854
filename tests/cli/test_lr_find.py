"""`numbacnn lr-find`: a suggestion, a curve, and nothing else left behind."""

import csv

import pytest


def test_a_suggestion_and_the_curve(numbacnn, pictures, tmp_path):
    done = numbacnn("lr-find", "pictures", "--size", "8", "--batch-size", "8", "--steps", "12", "--out", "curve.csv", "--start", "1e-5")
    assert done.status == 0, done.err
    assert "learning rates tried, from 1e-05 to" in done.out and "suggestion: " in done.out
    with open(tmp_path / "curve.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["learning_rate", "loss"] and 5 <= len(rows) - 1 <= 12
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.csv", "pictures"]


def test_a_model_file_and_a_number_alone(numbacnn, trained, tmp_path):
    run, pictures = trained
    before = (run / "model.h5").read_bytes()
    done = numbacnn("lr-find", pictures, "--model", run / "model.h5", "--steps", "8", "--start", "1e-4", "--end", "1", "--quiet")
    assert done.status == 0, done.err
    assert 1e-4 <= float(done.out) <= 1 and not list(tmp_path.iterdir()) and (run / "model.h5").read_bytes() == before


def test_where_the_curve_lies_by_itself(numbacnn, pictures, tmp_path):
    done = numbacnn("lr-find", "pictures", "--size", "8", "--steps", "6", "--start", "1e-5", "--end", "1e-2")
    assert done.status == 0, done.err
    assert [p.stem for p in (tmp_path / "runs").iterdir()] == ["pictures-lr"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--steps", "3"], "--steps"),
        (["--start", "1", "--end", "0.5"], "start=1.0, end=0.5: the first rate must be above 0 and below the last"),
        (["--model", "smal"], "did you mean 'small'?"),
    ],
)
def test_bad_options(numbacnn, pictures, options, says):
    done = numbacnn("lr-find", "pictures", "--size", "8", *options)
    assert done.status == 2 and says in done.err
