import json

import pytest
from numbacnn_cli.main import main


@pytest.fixture
def arguments():
    return ["bench", "small", "--size", "8", "--classes", "3", "--batch-size", "2", "--steps", "1", "--threads", "1"]


def test_times_and_profile(numbacnn, arguments):
    done = numbacnn(*arguments, "--profile")
    assert done.status == 0, done.err
    for word in ("training step", "prediction of one image", "images/s", "GFLOP/s", "gradient by weights", "optimizer"):
        assert word in done.out


def test_json_with_tuned_choices(numbacnn, arguments):
    from numbacnn.plan import choices

    done = numbacnn(*arguments, "--tune", "--profile", "--json")
    assert done.status == 0, done.err
    result = json.loads(done.out)
    assert result["training_step"]["seconds"] > 0
    assert {p["what"] for p in result["profile"]} >= {"forward", "gradient by input", "gradient by weights", "update"}
    assert result["tuned"] and choices.tuned() == {key: min(times, key=times.get) for key, times in result["tuned"].items()}


def test_a_trained_model(numbacnn, trained):
    before = (trained[0] / "model.h5").read_bytes()
    done = numbacnn("bench", trained[0], "--batch-size", "1", "--steps", "1")
    assert done.status == 0, done.err
    assert "training step" in done.out and "one image" not in done.out
    assert (trained[0] / "model.h5").read_bytes() == before


def test_size_goes_with_architectures(trained, capsys):
    assert main(["bench", str(trained[0]), "--size", "32"]) == 2
    assert "a model file has its own" in capsys.readouterr().err
