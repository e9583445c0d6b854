"""A file is what its content is, whatever its name says."""

import io
import zipfile

import h5py
import numpy as np
import pytest
from networks import named

from numbacnn.errors import FileError
from numbacnn.store.recognize import Format, recognize

WRITTEN = [
    ("numbacnn", Format.NUMBACNN),
    ("keras", Format.KERAS),
    ("keras_h5", Format.KERAS_H5),
    ("weights_h5", Format.WEIGHTS_H5),
    ("legacy_weights", Format.LEGACY_WEIGHTS),
]


@pytest.fixture(scope="module")
def model():
    return named()


@pytest.mark.parametrize(("form", "kind"), WRITTEN)
@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model.weights.h5", "model"])
def test_what_we_write(tmp_path, model, form, kind, name):
    (model.save if kind.whole else model.save_weights)(tmp_path / name, form)
    assert recognize(tmp_path / name) is kind


def zipped(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return held.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (zipped("archive/data.pkl", "archive/data/0", "archive/version"), Format.TORCH),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", Format.TORCH),
        (zipped("config.json", "metadata.json", "model.weights.h5"), Format.KERAS),
    ],
)
def test_others(tmp_path, data, kind):
    (tmp_path / "x").write_bytes(data)
    assert recognize(tmp_path / "x") is kind


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello" * 100, "is no model and holds no weights"),
        (b"\x89HDF\r\n\x1a\n", "truncated or damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"\x1f\x8b\x08\x00", "packed with gzip"),
        (b'{"weight_map": {}}', r"weights in shards .* are not read"),
        (b"\x80\x04\x95\x10", "is a pickle, which could run any code"),
        (zipped("config.json", "model.weights.json", "model_00000.weights.h5"), "in shards"),
        (zipped("config.json", "model.weights.npz"), r"as \.npz"),
        (zipped("config.json"), r"without model\.weights\.h5"),
        (zipped("a", "b"), "neither a .keras file nor weights of PyTorch: it holds a, b"),
        (zipped("config.json", "model.weights.h5")[:-10], "truncated or damaged"),
    ],
)
def test_none_of_them(tmp_path, data, message):
    (tmp_path / "x.h5").write_bytes(data)
    with pytest.raises(FileError, match=message) as caught:
        recognize(tmp_path / "x.h5")
    assert str(tmp_path / "x.h5") in str(caught.value)


def test_another_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["measurements"] = np.zeros(3)
    with pytest.raises(FileError, match="neither a model nor weights of numbacnn or Keras: it holds measurements"):
        recognize(tmp_path / "x.h5")
    with pytest.raises(FileError, match="there is no file"):
        recognize(tmp_path / "none.h5")
    with pytest.raises(FileError, match="no file but a folder"):
        recognize(tmp_path)
