import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import numbacnn as nn

TINY = ["--model", "small", "--size", "8", "--epochs", "2", "--batch-size", "8", "--valid", "0.25"]
COLUMNS = ["epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "learning_rate", "seconds", "images_per_second"]
SUMMARY = {"valid_accuracy", "valid_loss", "best_epoch", "classes", "images_train", "images_valid", "seconds", "seconds_to_first_step"}


def history(run: Path) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_and_its_files(numbacnn, pictures, tmp_path):
    done = numbacnn("fit", "pictures", *TINY)
    assert (done.status, done.err.splitlines()[0]) == (0, "skipped 1 file:")
    assert "broken.png" in done.err
    lines = done.out.splitlines()
    assert lines[0] == "pictures: 3 classes, 18 images to train, 6 to validate; 8x8 rgb"
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert "\x1b" not in done.out
    run = tmp_path / "runs" / "pictures-1"
    assert sorted(p.name for p in run.iterdir()) == ["checkpoint.h5", "history.csv", "model.h5", "summary.json"]
    rows = history(run)
    assert list(rows[0]) == COLUMNS
    assert [r["epoch"] for r in rows] == ["1", "2"]
    summary = json.loads((run / "summary.json").read_text())
    assert summary.keys() >= SUMMARY | {"device", "model", "size", "versions"}
    assert summary["classes"] == ["bright", "dark", "middle"]
    assert (summary["images_train"], summary["images_valid"], summary["device"]) == (18, 6, "cpu")
    assert numbacnn("fit", "pictures", *TINY, "--quiet").out == ""
    assert (tmp_path / "runs" / "pictures-2" / "model.h5").exists()


def test_quiet_prints_nothing(numbacnn, pictures):
    done = numbacnn("fit", "pictures", *TINY, "--quiet")
    assert (done.status, done.out, done.err) == (0, "", "")


def test_a_folder_in_use_is_left_alone(numbacnn, pictures, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "thesis.tex").write_text("years of work")
    done = numbacnn("fit", "pictures", "--out", run, *TINY)
    assert (done.status, [p.name for p in run.iterdir()]) == (2, ["thesis.tex"])
    assert "is in use (thesis.tex)" in done.err
    assert numbacnn("fit", "pictures", "--out", run, *TINY, "--force").status == 0
    assert (run / "thesis.tex").read_text() == "years of work"
    assert (run / "model.h5").exists()


def test_force_loses_nothing_before_there_is_something_new(numbacnn, pictures, tmp_path):
    run = tmp_path / "run"
    assert numbacnn("fit", "pictures", "--out", run, *TINY, "--quiet").status == 0
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    done = numbacnn("fit", "pictures", "--out", run, *TINY, "--lr", "1e38", "--epochs", "1", "--batch-size", "1", "--optimizer", "SGD", "--force")
    assert done.status == 3, done.err
    assert {p.name: p.read_bytes() for p in run.iterdir()} == before
    assert "last good model is" not in done.err
    assert numbacnn("fit", "pictures", "--out", run, *TINY, "--seed", "1", "--valid", "0", "--force").status == 0
    assert sorted(p.name for p in run.iterdir()) == sorted(before)
    assert [r["valid_loss"] for r in history(run)] == ["", ""]
    assert (run / "model.h5").read_bytes() != before["model.h5"]


def test_more_epochs_than_at_first(numbacnn, pictures, tmp_path):
    whole = ["fit", "pictures", "--model", "small", "--size", "8", "--batch-size", "8", "--valid", "0.25", "--quiet"]
    assert numbacnn(*whole, "--epochs", "1", "--out", "run").status == 0
    done = numbacnn("fit", "pictures", "--out", "run", "--resume", "--epochs", "3")
    assert done.status == 0, done.err
    assert "epoch 2/3" in done.out
    assert "epoch 1/3" not in done.out
    assert [r["epoch"] for r in history(tmp_path / "run")] == ["1", "2", "3"]


def test_resuming_keeps_the_settings(numbacnn, pictures):
    assert numbacnn("fit", "pictures", "--out", "run", *TINY, "--quiet").status == 0
    done = numbacnn("fit", "pictures", "--out", "run", "--resume", "--size", "16")
    assert done.status == 2
    assert "--resume goes on with --size 8x8, which run was started with, not 16x16: leave out --size" in done.err
    done = numbacnn("fit", "pictures", "--out", "run", "--resume")
    assert (done.status, done.out) == (0, "run has been trained for all of its 2 epochs: --epochs 3 or more goes on\n")
    assert "trained for 2 epochs already" in numbacnn("fit", "pictures", "--out", "run", "--resume", "--epochs", "1").err


def test_going_on_from_a_model_file(numbacnn, trained, tmp_path):
    run, pictures = trained
    done = numbacnn("fit", pictures, "--model", run / "model.h5", "--out", "more", "--epochs", "1")
    assert done.status == 0, done.err
    assert "8x8 rgb" in done.out
    assert numbacnn("predict", "more", pictures / "dark", "--json").status == 0
    assert "takes pictures of 8x8 rgb" in numbacnn("fit", pictures, "--model", run / "model.h5", "--size", "16", "--out", "other").err
    for name in "ab":
        (tmp_path / "letters" / name).mkdir(parents=True)
        for n in range(4):
            (tmp_path / "letters" / name / f"{n}.png").write_bytes((pictures / "dark" / f"{n:02}.png").read_bytes())
    done = numbacnn("fit", pictures, "--model", run / "model.h5", "--freeze-epochs", "1", "--out", "other")
    assert done.status == 2 and "is for models that get a new head, and" in done.err and "which knows these classes" in done.err
    before, said = (
        nn.load(run / "model.h5"),
        "gets a new head for 2 classes, in the place of 3 classes (bright, dark, middle): 1 epoch of the head alone, 0 of all",
    )
    options = ("--batch-size", "4", "--augment", "none", "--valid", "0.5")
    done = numbacnn("fit", "letters", "--model", run / "model.h5", "--out", "head", "--freeze-epochs", "1", "--epochs", "0", *options)
    assert done.status == 0 and said in done.out, done.err + done.out
    after = nn.load("head")
    assert after.classes == ("a", "b") and after.preprocess == before.preprocess and all(h.trainable for h in after.layers)
    kept = [h.name for h in after.layers if h.specs and h.name in before.handles]
    assert len(kept) == sum(bool(h.specs) for h in before.layers) - 1, "all but the last layer"
    for name in kept:
        for old, new in zip(before.get_layer(name).get_weights(), after.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    done = numbacnn("fit", "letters", "--out", "head", "--resume", "--epochs", "1")
    assert done.status == 0 and [r["epoch"] for r in history(Path("head"))] == ["1", "2"], done.err
    assert numbacnn("fit", "letters", "--model", "head", "--out", "again", "--epochs", "1", *options).status == 0


def test_a_file_of_keras_without_names_of_classes(numbacnn, pictures):
    x = nn.Input((8, 8, 3))
    features = nn.GlobalAveragePooling2D()(nn.Conv2D(4, 3, name="conv", trainable=False)(x))
    options = ("--batch-size", "8", "--augment", "none", "--epochs", "1")
    for units, said in ((5, "gets a new head for 3 classes, in the place of 5 outputs without names"), (3, "")):
        nn.Model(x, nn.Dense(units, activation="softmax", name="classes")(features), "plain", seed=0).save("plain.keras")
        done = numbacnn("fit", "pictures", "--model", "plain.keras", "--out", f"run{units}", *options)
        assert done.status == 0 and said in done.out and ("new head" in done.out) == bool(said), done.err
        assert nn.load(f"run{units}").classes == ("bright", "dark", "middle")
        assert [r["epoch"] for r in history(Path(f"run{units}"))] == ["1", "2", "3"][: 3 if said else 1]
    nn.Sequential([nn.Input((8, 8, 3)), nn.Conv2D(4, 3)], "body").save("body.keras")
    assert "body.keras gets a head for 3 classes: 2 epochs of" in numbacnn("fit", "pictures", "--model", "body.keras", "--out", "body", *options).out
    nn.Sequential([nn.Input((8, 8, 3)), nn.Flatten(), nn.Dense(5)]).save("flat.h5")
    done = numbacnn("fit", "pictures", "--model", "flat.h5", "--out", "no")
    assert (done.status, done.err.count("\n")) == (2, 1) and "make the head yourself" in done.err, done.err


def test_going_on_from_a_model_that_says_nothing_of_images(numbacnn, pictures, tmp_path):
    nn.Sequential([nn.Input((8, 12, 1)), nn.Flatten(), nn.Dense(3)]).save(tmp_path / "plain.h5")
    done = numbacnn("fit", "pictures", "--model", "plain.h5", "--out", "run", "--epochs", "1")
    assert done.status == 0, done.err
    assert "8x12 gray" in done.out
    done = numbacnn("fit", "pictures", "--model", "plain.h5", "--out", "other", "--size", "16")
    assert (done.status, done.err) == (2, "numbacnn: --size 16x16: plain.h5 takes pictures of 8x12 gray; leave out --size\n")


def test_a_truncated_model_file(numbacnn, trained, tmp_path):
    run, pictures = trained
    whole = (run / "model.h5").read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    for command in (["fit", pictures, "--model", "half.h5"], ["predict", "half.h5", pictures], ["evaluate", "half.h5", pictures], ["summary", "half.h5"]):
        done = numbacnn(*command)
        assert (done.status, done.out) == (2, "")
        assert "half.h5" in done.err
        assert done.err.count("\n") == 1


@pytest.mark.parametrize("side", ["1", "2"])
def test_sizes_too_small_for_the_network(numbacnn, pictures, tmp_path, side):
    done = numbacnn("fit", "pictures", "--model", "resnet18", "--size", side, "--epochs", "1", "--out", "run")
    if done.status:  # either it works or it is refused before anything is written
        assert done.status == 2
        assert done.err.splitlines()[-1].startswith("numbacnn: ")
        assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_a_number(numbacnn, pictures, tmp_path):
    done = numbacnn(
        "fit", "pictures", "--model", "small", "--out", "run", "--size", "8", "--epochs", "50", "--batch-size", "8", "--optimizer", "SGD", "--lr", "1e30"
    )
    assert done.status == 3
    last = done.err.splitlines()[-1]
    assert last.startswith("numbacnn: training stopped in epoch")
    assert "went bad first" in last
    assert "Traceback" not in done.err


SLEEPY = """
import os, signal, sys, threading, time
import numbacnn_cli.progress as progress
plain = progress.Progress.on_epoch_end
def on_epoch_end(self, epoch, logs=None):
    plain(self, epoch, logs)
    if epoch == 1:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
progress.Progress.on_epoch_end = on_epoch_end
from numbacnn_cli.main import main
sys.argv = ["numbacnn", *sys.argv[1:]]
sys.exit(main())
"""


def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(numbacnn, pictures, tmp_path):
    command = ["fit", "pictures", "--out", "a run", "--model", "small", "--size", "8", "--epochs", "4", "--batch-size", "8"]
    done = subprocess.run([sys.executable, "-c", SLEEPY, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=dict(os.environ))
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert "Traceback" not in done.stderr
    assert "go on with: numbacnn fit pictures --out 'a run' --resume" in done.stderr
    done = numbacnn("fit", "pictures", "--out", "a run", "--resume")
    assert done.status == 0, done.err
    assert numbacnn("fit", "pictures", "--out", "whole", *command[4:]).status == 0
    exact = [c for c in COLUMNS if c not in ("seconds", "images_per_second")]
    parts, whole = history(tmp_path / "a run"), history(tmp_path / "whole")
    assert [r["epoch"] for r in parts] == ["1", "2", "3", "4"]
    assert [[r[c] for c in exact] for r in parts] == [[r[c] for c in exact] for r in whole], "as if it had never been stopped"
    for x, y in zip(*(nn.load(tmp_path / run / "checkpoint.h5").get_weights() for run in ("whole", "a run")), strict=True):
        assert np.array_equal(x, y)


def test_ctrl_c_before_training(numbacnn, pictures, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(nn, "image_folder", stop)
    done = numbacnn("fit", "pictures", *TINY)
    assert (done.status, done.err.split("\n")[0]) == (130, "numbacnn: stopped before training began")
    assert not (tmp_path / "runs").exists()


def test_gray_pictures_and_oblong_sizes(numbacnn, pictures, tmp_path):
    done = numbacnn(
        "fit",
        "pictures",
        "--model",
        "small",
        "--out",
        "run",
        "--size",
        "8x12",
        "--color",
        "gray",
        "--epochs",
        "1",
        "--augment",
        "full",
        "--optimizer",
        "sgd",
        "--lr",
        "0.01",
    )
    assert done.status == 0, done.err
    assert nn.load(tmp_path / "run").input_shape == (None, 8, 12, 1)
