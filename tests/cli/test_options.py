from pathlib import Path

import click
import pytest
from numbacnn_cli.options import FileOrModel, ModelOrFile, Number, OneOf, Registered, Size, known_models, plain, show_size

from numbacnn import registry
from numbacnn.errors import UnknownNameError


@pytest.mark.parametrize(("text", "size"), [("64", (64, 64)), ("48x64", (48, 64)), ("48X64", (48, 64)), ((3, 4), (3, 4))])
def test_sizes(text, size):
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["0", "-3", "64x", "x64", "3x0", "1.5", "", "64x64x3", "1000000"])
def test_no_sizes(text):
    with pytest.raises(click.BadParameter, match="is no size"):
        Size().convert(text, None, None)


def test_a_size_is_shown_as_it_is_written():
    assert show_size(Size().convert("48x64", None, None)) == "48x64"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0", "-1", "ten", "1"])
def test_no_numbers(text):
    with pytest.raises(click.BadParameter, match="above 0 and below 1"):
        Number(0, 1).convert(text, None, None)


def test_numbers():
    assert Number(0).convert("1e-3", None, None) == 0.001
    assert Number(0, 1, inclusive=True).convert("0", None, None) == 0


def test_names_get_their_registered_spelling():
    assert Registered(registry.optimizers).convert("sgd", None, None) == "SGD"
    assert OneOf("color", "rgb", "gray").convert("gray", None, None) == "gray"


def test_a_model_is_a_name_or_a_file(tmp_path):
    kind = ModelOrFile()
    assert kind.convert("resnet18", None, None) == "resnet18"
    assert kind.convert(str(tmp_path), None, None) == tmp_path
    with pytest.raises(click.BadParameter, match="there is no model file"):
        kind.convert("gone.h5", None, None)
    with pytest.raises(UnknownNameError):
        kind.convert("gone", None, None)


def test_a_file_or_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kind = FileOrModel()
    assert kind.convert("ResNet18", None, None) == "resnet18"
    (tmp_path / "ResNet18").mkdir()
    assert kind.convert("ResNet18", None, None) == Path("ResNet18")
    with pytest.raises(click.BadParameter, match="there is no model file"):
        kind.convert("runs/gone", None, None)
    with pytest.raises(UnknownNameError):
        kind.convert("gone", None, None)


def test_models_are_named_where_one_is_chosen(numbacnn):
    assert "densenet121, efficientnet_lite0, mobilenet_v2, resnet18, resnet34, resnet50, small, vgg16" in known_models()
    for command in ("fit", "summary", "bench", "warmup"):
        assert "densenet121" in numbacnn(command, "--help").out


def test_any_path_can_be_printed():
    assert plain("caf\udce9.png").encode() == b"caf?.png"
