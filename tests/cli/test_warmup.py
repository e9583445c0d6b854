"""`numbacnn warmup`: what it compiles is what fit, evaluate and predict need."""

import re

import numbacnn as nn
from numbacnn import jit

OPTIONS = ("--size", "8", "--batch-size", "8")


def test_fit_evaluate_and_predict_find_everything_compiled(numbacnn, pictures, tmp_path):
    done = numbacnn("warmup", "small", "--classes", "3", *OPTIONS)
    assert done.status == 0, done.err
    assert re.search(r"\d+ kernels? compiled, \d+ already there, \d+\.\d s; they are kept in ", done.out)
    compiled, ready = jit.statistics.compiled, jit.statistics.ready
    run = tmp_path / "run"
    assert numbacnn("fit", pictures, "--model", "small", "--out", run, "--epochs", "1", *OPTIONS).status == 0
    assert numbacnn("evaluate", run, pictures).status in (0, 1)
    assert numbacnn("predict", run, pictures / "dark" / "00.png").status == 0
    assert (jit.statistics.compiled, jit.statistics.ready) == (compiled, ready)


def test_a_second_time_all_is_there(numbacnn, trained):
    assert numbacnn("warmup", trained[0], "--batch-size", "8").status == 0
    done = numbacnn("warmup", trained[0], "--batch-size", "8")
    assert done.status == 0, done.err
    assert re.search(r"0 kernels compiled, [1-9]\d* already there", done.out)
    assert numbacnn("warmup", trained[0], "--batch-size", "8", "--quiet").out == ""


def test_errors_name_what_is_wrong(numbacnn, trained, tmp_path):
    assert "unknown model 'smal'" in numbacnn("warmup", "smal").err
    assert "a model file has its own" in numbacnn("warmup", trained[0], "--size", "32").err
    a, b = nn.Input((4,)), nn.Input((4,))
    model = nn.Model([a, b], nn.Dense(2)(nn.Add()([a, b])), seed=0)
    model.save(tmp_path / "two.h5")
    done = numbacnn("warmup", tmp_path / "two.h5")
    assert done.status == 2 and "the model has 2 inputs" in done.err
    nn.Model(x := nn.Input((None, None, 3)), nn.GlobalAveragePooling2D()(x), seed=0).save(tmp_path / "any.h5")
    assert "pictures of any size (None, None, 3)" in numbacnn("warmup", tmp_path / "any.h5").err
