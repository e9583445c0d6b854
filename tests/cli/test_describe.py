import json

import numbacnn as nn


def small(classes=5):
    x = nn.Input((6, 6, 3), name="image")
    return nn.Model(x, nn.Dense(classes, name="predictions")(nn.GlobalAveragePooling2D(name="pool")(nn.Conv2D(4, 3, name="stem")(x))), seed=0)


def test_a_table(numbacnn, tmp_path):
    small().save(tmp_path / "x.h5")
    done = numbacnn("describe", tmp_path / "x.h5")
    assert done.status == 0, done.err
    (line,) = [line for line in done.out.splitlines() if "stem" in line]
    assert line.split() == ["stem", "Conv2D", "kernel", "3x3x3x4,", "bias", "4", "112"]
    assert "a model of numbacnn, written by numbacnn" in done.out
    assert "137 parameters" in done.out


def test_json(numbacnn, tmp_path):
    small().save_weights(tmp_path / "x.weights.h5")
    done = numbacnn("describe", tmp_path / "x.weights.h5", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert (found["format"], found["whole"], found["parameters"]) == ("weights_h5", False, 137)
    assert found["layers"][0]["weights"][0] == {"name": "0", "shape": [3, 3, 3, 4], "dtype": "float32"}


def test_no_model(numbacnn, tmp_path):
    (tmp_path / "x").write_text("hello")
    done = numbacnn("describe", tmp_path / "x")
    assert done.status == 2 and "is no model and holds no weights" in done.err
    assert "does not exist" in numbacnn("describe", tmp_path / "none").err
