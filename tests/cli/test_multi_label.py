"""Pictures with several labels, from the table to predictions, through the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numbacnn_cli.main import main
from PIL import Image
from sklearn import metrics as judge

import numbacnn as nn
from numbacnn.data.batches import evaluation_folder

LABELS = ("red", "blue")
FIT = ["--model", "small", "--size", "8", "--batch-size", "8", "--valid", "0.25", "--augment", "none", "--lr", "0.01"]
HELD = (30, 10)  # images to train and to validate: a quarter of each label's 20 and of the 10 without one
COLUMNS = ["epoch", "train_loss", "train_f1", "valid_loss", "valid_average_precision", "valid_f1", "learning_rate", "seconds", "images_per_second"]


def write_pictures(folder: Path, count: int = 40) -> Path:
    """Each label says that a channel is bright; a quarter of the pictures has none, a quarter both."""
    folder.mkdir(parents=True)
    lines = ["file,labels"]
    for i in range(count):
        own = [label for bit, label in enumerate(LABELS) if i >> bit & 1]
        pixels = np.random.default_rng(i).integers(0, 90, (8, 8, 3), dtype=np.uint8)
        pixels[..., [2 * LABELS.index(label) for label in own]] += 120
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
        lines.append(f"{i:02}.png,{';'.join(own)}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> tuple[Path, Path]:
    """(RUN, pictures): one run that tests only read."""
    root = tmp_path_factory.mktemp("several")
    folder = write_pictures(root / "pictures")
    assert main(["fit", str(folder), "--labels", "labels.csv", "--out", str(root / "run"), *FIT, "--epochs", "4", "--quiet"]) == 0
    return root / "run", folder


def history(run: Path) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_and_its_files(several):
    run, _ = several
    rows, summary, model = history(run), json.loads((run / "summary.json").read_text()), nn.load(run)
    assert list(rows[0]) == COLUMNS
    assert summary["classes"] == ["blue", "red"] == list(model.classes)
    assert (model.task, summary["best_by"], summary["labels_file"]) == ("multi_label", "valid_average_precision", "labels.csv")
    assert (summary["images_train"], summary["images_valid"]) == (HELD[0], HELD[1])
    assert [label["count"] for label in summary["labels"]] == [5, 5]
    best = max(rows, key=lambda row: (float(row["valid_average_precision"]), -float(row["valid_loss"])))
    assert summary["best_epoch"] == int(best["epoch"])
    for name in ("valid_average_precision", "valid_f1", "valid_loss"):
        assert summary[name] == pytest.approx(float(best[name]), rel=1e-12)
    assert summary["last_valid_average_precision"] == float(rows[-1]["valid_average_precision"])
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert not any("accuracy" in key for key in summary)
    assert [label["label"] for label in summary["labels"]] == ["blue", "red"]
    assert [label["threshold"] for label in summary["labels"]] == list(model.thresholds)
    assert np.mean([label["average_precision"] for label in summary["labels"]]) == pytest.approx(summary["valid_average_precision"])
    assert summary["valid_average_precision"] > 0.9, "a bright channel is easy to see"


def test_the_summary_is_what_the_kept_model_does_on_the_held_out_pictures(several):
    run, folder = several
    model, summary = nn.load(run), json.loads((run / "summary.json").read_text())
    _, valid = nn.image_folder(folder, labels="labels.csv", valid=0.25, preprocess=model.preprocess, seed=0)
    scores = np.array([[dict(p.top)[c] for c in model.classes] for p in model.classify(valid.paths)], np.float32)
    said = scores > np.array(model.thresholds)
    expected = zip(
        *judge.precision_recall_fscore_support(valid.labels, said, zero_division=0),
        judge.average_precision_score(valid.labels, scores, average=None),
        strict=True,
    )
    for label, (precision, recall, f1, count, area) in zip(summary["labels"], expected, strict=True):
        found = [label[name] for name in ("precision", "recall", "f1", "count", "average_precision")]
        assert found == pytest.approx([precision, recall, f1, count, area], abs=1e-6)
    at_half = judge.f1_score(valid.labels, scores > 0.5, average=None, zero_division=0)
    assert all(label["f1"] >= half - 1e-9 for label, half in zip(summary["labels"], at_half, strict=True)), "chosen to be the best"


def test_resuming_makes_the_same_bits(numbacnn, several, tmp_path, monkeypatch):
    folder = str(several[1])
    start = ["fit", folder, "--labels", "labels.csv", "--quiet", *FIT]
    assert numbacnn(*start, "--epochs", "3", "--out", "whole").status == 0
    with monkeypatch.context() as patch:
        patch.setattr(nn.ChooseThresholds, "on_epoch_begin", interrupt)
        done = numbacnn(*start, "--epochs", "3", "--out", "parts")
    assert done.status == 130, done.err
    assert [r["epoch"] for r in history(tmp_path / "parts")] == ["1"]
    done = numbacnn("fit", folder, "--out", "parts", "--resume")
    assert done.status == 0, done.err
    assert "valid average_precision" in done.out
    exact = [c for c in COLUMNS if c not in ("seconds", "images_per_second")]
    assert [[r[c] for c in exact] for r in history(tmp_path / "parts")] == [[r[c] for c in exact] for r in history(tmp_path / "whole")]
    whole, parts = (nn.load(tmp_path / run / "model.h5") for run in ("whole", "parts"))
    assert whole.thresholds == parts.thresholds
    for x, y in zip(whole.get_weights(), parts.get_weights(), strict=True):
        assert np.array_equal(x, y)
    summaries = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("whole", "parts")]
    assert summaries[0]["labels"] == summaries[1]["labels"]


def interrupt(self: nn.Callback, epoch: int, logs: dict | None = None) -> None:
    if epoch == 1:
        raise KeyboardInterrupt


def test_what_fit_says(numbacnn, several):
    done = numbacnn("fit", several[1], "--labels", several[1] / "labels.csv", "--out", "run", *FIT, "--epochs", "1")
    assert done.status == 0, done.err
    said = done.out.splitlines()
    assert said[0].endswith("pictures: 2 labels, {} images to train, {} to validate; 8x8 rgb".format(*HELD))
    assert any(line.startswith("best epoch: 1, valid average precision 0.") or line.startswith("best epoch: 1, valid average precision 1.") for line in said)


def test_without_validation_thresholds_stay(numbacnn, several, tmp_path):
    done = numbacnn("fit", several[1], "--labels", "labels.csv", "--out", "run", *FIT, "--epochs", "1", "--valid", "0", "--quiet")
    assert done.status == 0, done.err
    assert list(history(tmp_path / "run")[0]) == COLUMNS
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (nn.load(tmp_path / "run").thresholds, summary["best_by"], summary["valid_average_precision"]) == ((0.5, 0.5), "train_loss", None)


def test_predict_gives_all_labels_above_their_thresholds(numbacnn, several):
    run, folder = several
    model, paths = nn.load(run), sorted(folder.glob("*.png"))
    done = numbacnn("predict", run, folder, "--json")
    found = lines(done.out)
    assert (done.status, done.err) == (0, "")
    assert [item["path"] for item in found] == [str(p) for p in paths]
    for item, expected in zip(found, model.classify(paths), strict=True):
        assert list(item) == ["path", "labels"]
        assert [pair["label"] for pair in item["labels"]] == [label for label, _ in expected.labels]
        for pair, (_, probability) in zip(item["labels"], expected.labels, strict=True):
            assert pair == {"label": pair["label"], "probability": pytest.approx(probability, abs=1e-6)}
    counts = {len(item["labels"]) for item in found}
    assert {0, 2} <= counts
    everything = lines(numbacnn("predict", run, folder, "--json", "--threshold", "0").out)
    assert {len(item["labels"]) for item in everything} == {2}
    assert all(item["labels"][0]["probability"] >= item["labels"][1]["probability"] for item in everything)
    assert {len(item["labels"]) for item in lines(numbacnn("predict", run, folder, "--json", "--threshold", "0", "--top", "1").out)} == {1}
    table = numbacnn("predict", run, folder)
    first = model.classify(paths[3])[0].labels
    assert ", ".join(f"{label} {probability:.3f}" for label, probability in first) in table.out
    assert "none" in table.out


def test_evaluate(numbacnn, several):
    run, folder = several
    done = numbacnn("evaluate", run, folder, "--labels", "labels.csv", "--json")
    assert (done.status, done.err) == (0, "")
    report, model = json.loads(done.out), nn.load(run)
    data = evaluation_folder(folder, model.classes, model.preprocess, labels="labels.csv")
    expected = model.evaluate(data)
    assert list(report) == ["images", "f1", "average_precision", "loss", "labels", "skipped"]
    assert report["images"] == 40
    assert report["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert report["average_precision"] == pytest.approx(expected["average_precision"], abs=1e-9)
    assert report["f1"] == pytest.approx(np.mean([label["f1"] for label in report["labels"]]))
    assert [(label["label"], label["count"]) for label in report["labels"]] == [("blue", 20), ("red", 20)]
    table = numbacnn("evaluate", run, folder, "--labels", "labels.csv")
    assert table.out.startswith(f"40 pictures: F1 {report['f1']:.4f}, average precision ")
    assert all(word in table.out for word in ("threshold", "precision", "recall", "blue", "red"))


def test_a_model_for_other_labels_gets_a_new_head(numbacnn, several, tmp_path):
    (tmp_path / "other.csv").write_text("file,labels\n" + "".join(f"{i:02}.png,{'green' if i & 1 else 'red'}\n" for i in range(1, 17)))
    done = numbacnn("fit", several[1], "--model", several[0], "--labels", "other.csv", "--out", "run", "--freeze-epochs", "1", "--epochs", "1")
    assert done.status == 0 and "gets a new head for 2 classes, in the place of 2 classes (blue, red): 1 epoch of the head alone" in done.out, done.err
    assert nn.load("run").classes == ("green", "red") and nn.load("run").task == "multi_label"


def test_evaluate_takes_what_the_table_holds_out(numbacnn, several, tmp_path):
    run, folder = several
    (tmp_path / "held.csv").write_text("file,labels,is_valid\n00.png,,no\n03.png,red;blue,yes\n01.png,red,yes\n")
    report = json.loads(numbacnn("evaluate", run, folder, "--labels", "held.csv", "--json").out)
    assert report["images"] == 2
    assert [(label["label"], label["count"]) for label in report["labels"]] == [("blue", 1), ("red", 2)]


def test_one_label_alone(numbacnn, several, tmp_path):
    (tmp_path / "one.csv").write_text("path,tags\n" + "\n".join(f"{i:02}.png,{'red' * (i & 1)}" for i in range(16)))
    done = numbacnn("fit", several[1], "--labels", "one.csv", "--out", "run", *FIT, "--epochs", "1", "--quiet")
    assert done.status == 0, done.err
    for item in lines(numbacnn("predict", "run", several[1] / "01.png", "--json", "--threshold", "0").out):
        assert [pair["label"] for pair in item["labels"]] == ["red"]
    assert json.loads(numbacnn("evaluate", "run", several[1], "--labels", "one.csv", "--json").out)["images"] == 16


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["fit", "{folder}", "--labels", "gone.csv"], "there is no file gone.csv, neither here nor in"),
        (["fit", "{folder}", "--labels", "labels.csv", "--loss", "cross_entropy"], "--loss cross_entropy goes with one label a picture"),
        (["fit", "{folder}", "--labels", "bad.csv"], "bad.csv, line 2: there is no file 'x.png' in"),
        (["fit", "{folder}", "--out", "{one}", "--resume", "--labels", "labels.csv"], "was started on folders of classes: leave out --labels"),
        (["evaluate", "{run}", "{folder}"], "gives pictures several labels: say with --labels TABLE.csv"),
        (["evaluate", "{one}", "{folder}", "--labels", "labels.csv"], "gives each picture one label; evaluate it on folders of classes"),
        (["evaluate", "{run}", "{folder}", "--labels", "other.csv"], "other.csv, line 2: unknown label 'green'"),
        (["predict", "{one}", "{folder}", "--threshold", "0.2"], "--threshold 0.2: {one} gives each picture one label"),
        (["predict", "{run}", "{folder}", "--threshold", "1.2"], "must be a number at least 0 and below 1"),
    ],
)
def test_errors(numbacnn, several, trained, tmp_path, command, message):
    (tmp_path / "bad.csv").write_text("file,labels\nx.png,red\n")
    (tmp_path / "other.csv").write_text("file,labels\n01.png,green\n02.png,red\n03.png,green\n04.png,red\n")
    before = sorted(p.name for p in tmp_path.iterdir())
    places = {"run": several[0], "folder": several[1], "one": trained[0]}
    done = numbacnn(*(part.format(**places) for part in command))
    assert done.status == 2, done.out
    assert message.format(**places) in done.err
    assert done.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before, "nothing was written"


def test_a_loss_for_one_label_is_refused_from_python_too(several):
    train, valid = nn.image_folder(several[1], size=8, labels="labels.csv")
    model = nn.build("small", (8, 8, 3), classes=2, seed=0)
    model.compile("adam", "cross_entropy")
    with pytest.raises(nn.ConfigError, match=r"blue, red have several labels or none, .*loss='binary_cross_entropy'"):
        model.fit(train, valid)
    assert model.classes is None


def test_a_model_whose_answer_to_one_label_is_nan(numbacnn, several, tmp_path):
    model = nn.load(several[0])
    *weights, bias = model.get_weights()
    bias[0] = np.nan
    model.set_weights([*weights, bias])
    model.save(tmp_path / "spoilt.h5")
    done = numbacnn("predict", "spoilt.h5", several[1] / "01.png", "--json", "--top", "1")
    assert (done.status, "the model answers NaN" in lines(done.out)[0]["error"]) == (1, True)
    done = numbacnn("evaluate", "spoilt.h5", several[1], "--labels", "labels.csv", "--json")
    assert (done.status, done.out) == (3, "")
