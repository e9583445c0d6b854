import numpy as np
import pytest
from test_describe import small

import numbacnn as nn

X = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("target", "options", "format"),
    [
        ("y.keras", (), "keras"),
        ("y.h5", (), "numbacnn"),
        ("y.h5", ("--to", "keras_h5"), "keras_h5"),
        ("y.weights.h5", (), "weights_h5"),
        ("y.h5", ("--to", "legacy_weights"), "legacy_weights"),
    ],
)
@pytest.mark.parametrize("source", ["numbacnn", "keras", "keras_h5"])
def test_whole_models(numbacnn, tmp_path, source, target, options, format):
    model = small()
    model.save(tmp_path / "x", source)
    done = numbacnn("convert", tmp_path / "x", tmp_path / target, *options)
    assert done.status == 0, done.err
    assert "137 parameters" in done.out
    assert nn.describe(tmp_path / target).format == format
    back = small(5)
    back.load_weights(tmp_path / target)
    assert all(np.array_equal(a, b) for a, b in zip(back.get_weights(), model.get_weights(), strict=True))
    if nn.describe(tmp_path / target).whole:
        np.testing.assert_allclose(nn.load(tmp_path / target).predict(X), model.predict(X), rtol=1e-5, atol=1e-6)


def test_weights_alone_need_their_model(numbacnn, tmp_path):
    model = small()
    model.save_weights(tmp_path / "x.weights.h5")
    small().save(tmp_path / "other.h5")
    small(7).save(tmp_path / "seven.h5")
    done = numbacnn("convert", tmp_path / "x.weights.h5", tmp_path / "y.keras")
    assert done.status == 2 and "say with --model which model they belong to" in done.err
    done = numbacnn("convert", tmp_path / "x.weights.h5", tmp_path / "y.keras", "--model", tmp_path / "other.h5")
    assert done.status == 0, done.err
    assert all(np.array_equal(a, b) for a, b in zip(nn.load(tmp_path / "y.keras").get_weights(), model.get_weights(), strict=True))
    wrong = ("convert", tmp_path / "x.weights.h5", tmp_path / "z.h5", "--model", tmp_path / "seven.h5")
    done = numbacnn(*wrong)
    assert done.status == 2 and "predictions/kernel is (4, 7) in the model, (4, 5) in the file" in done.err
    assert not (tmp_path / "z.h5").exists()
    done = numbacnn(*wrong, "--skip-mismatch")
    assert done.status == 0 and "left out" in done.err
    assert np.array_equal(nn.load(tmp_path / "z.h5").get_weights()[0], model.get_weights()[0])


def test_a_registered_architecture(numbacnn, tmp_path):
    model = nn.build("small", (16, 16, 1), 3, seed=1)
    model.save_weights(tmp_path / "x.h5", "legacy_weights")
    done = numbacnn("convert", tmp_path / "x.h5", tmp_path / "y.h5", "--model", "small", "--size", 16, "--color", "gray", "--classes", 3)
    assert done.status == 0, done.err
    assert all(np.array_equal(a, b) for a, b in zip(nn.load(tmp_path / "y.h5").get_weights(), model.get_weights(), strict=True))


def test_nothing_is_overwritten_unasked(numbacnn, tmp_path):
    small().save(tmp_path / "x.h5")
    (tmp_path / "y.keras").write_text("mine")
    done = numbacnn("convert", tmp_path / "x.h5", tmp_path / "y.keras")
    assert done.status == 2 and "y.keras exists" in done.err and "--force" in done.err
    assert (tmp_path / "y.keras").read_text() == "mine"
    assert numbacnn("convert", tmp_path / "x.h5", tmp_path / "y.keras", "--force").status == 0
    assert "exists" in numbacnn("convert", tmp_path / "x.h5", tmp_path, "--force").err


def test_options_that_do_not_go_together(numbacnn, tmp_path):
    small().save(tmp_path / "x.h5")
    for options in (("--model", "small"), ("--by-name",), ("--classes", "3")):
        done = numbacnn("convert", tmp_path / "x.h5", tmp_path / "y.h5", *options)
        assert done.status == 2 and f"{options[0]} is for files of weights alone" in done.err
    assert "unknown format 'onnx'" in numbacnn("convert", tmp_path / "x.h5", tmp_path / "y.h5", "--to", "onnx").err
