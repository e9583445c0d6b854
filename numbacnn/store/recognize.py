"""What a file is, told by its content; endings are not looked at."""

import os
from enum import StrEnum
from pathlib import Path

from ..errors import FileError
from . import safe, safe_zip
from .safe import SafeFile
from .safe_zip import SafeZip

MODEL_CONFIG = "model_config"  # attribute of whole .h5 files by Keras
CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # groups that .weights.h5 files have at their root
WEIGHTS_MEMBER = "model.weights.h5"  # in .keras archives
_STREAM = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # behind two bytes that begin a pickle: torch.save before version 1.6


class Format(StrEnum):
    """Formats of files; the values are what `--to` and `format=` take."""

    NUMBACNN = "numbacnn"
    KERAS = "keras"
    KERAS_H5 = "keras_h5"
    LEGACY_WEIGHTS = "legacy_weights"
    WEIGHTS_H5 = "weights_h5"
    TORCH = "torch"

    @property
    def whole(self) -> bool:
        """Whether such files hold a whole model, not weights alone."""
        return self in (Format.NUMBACNN, Format.KERAS, Format.KERAS_H5)

    @property
    def title(self) -> str:
        """What people call it."""
        return _TITLES[self]


_TITLES = {
    Format.NUMBACNN: "a model of numbacnn",
    Format.KERAS: "a .keras archive",
    Format.KERAS_H5: "a whole model of Keras in HDF5",
    Format.LEGACY_WEIGHTS: "Keras' legacy weights in HDF5",
    Format.WEIGHTS_H5: "a .weights.h5 file of Keras",
    Format.TORCH: "weights of PyTorch",
}


def recognize(path: str | os.PathLike) -> Format:
    """The format of a file. Raises FileError that says what the file seems to be, where it is none of them."""
    path = Path(path)
    safe.check_there(path)
    with path.open("rb") as file:
        begin = file.read(512)
    if begin.startswith(safe.SIGNATURE):
        with SafeFile(path) as file:
            return _of_hdf5(file)
    if begin.startswith(safe_zip.SIGNATURE):
        with SafeZip(path) as archive:
            return _of_zip(archive)
    if begin[2:].startswith(_STREAM):
        return Format.TORCH
    raise FileError(f"{path} {_other(begin)}")


def _of_hdf5(file: SafeFile) -> Format:
    if file.attribute("/", "format") == "numbacnn":
        return Format.NUMBACNN
    if file.attribute("/", MODEL_CONFIG) is not None:
        return Format.KERAS_H5
    if any(file.texts(place, "layer_names") is not None for place in ("/", "model_weights")):
        return Format.LEGACY_WEIGHTS
    if any(file.is_group(name) for name in CONTAINERS):
        return Format.WEIGHTS_H5
    inside = ", ".join(file.names("/")[:5]) or "nothing"
    raise file.fail(f"is an HDF5 file, but neither a model nor weights of numbacnn or Keras: it holds {inside}")


def _of_zip(archive: SafeZip) -> Format:
    if "config.json" in archive and WEIGHTS_MEMBER in archive:
        return Format.KERAS
    if any(name.endswith("/data.pkl") for name in archive.members):
        return Format.TORCH
    if "config.json" in archive:
        for other, why in (("model.weights.npz", "as .npz"), ("model.weights.json", "in shards")):
            if other in archive:
                raise archive.fail(f"is a .keras archive that holds its weights {why}: save it again with model.save(…) as Keras does by default")
        raise archive.fail(f"is a .keras archive without {WEIGHTS_MEMBER}: not all of it was written")
    inside = ", ".join(list(archive.members)[:5]) or "nothing"
    raise archive.fail(f"is a zip archive, but neither a .keras file nor weights of PyTorch: it holds {inside}")


def _other(begin: bytes) -> str:
    text = begin.lstrip()
    if text.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: run `git lfs pull`"
    if text.startswith(b"\x1f\x8b"):
        return "is packed with gzip: unpack it first"
    if text[:9].lower() in (b"<!doctype", b"<html>") or text[:5].lower() == b"<html":
        return "is a web page, not a model: download it again"
    if text.startswith(b"{"):
        return "is JSON, not a model: weights in shards (.weights.json) are not read; save them in one .weights.h5 file"
    if text.startswith(b"\x80"):
        return "is a pickle, which could run any code: only weights of PyTorch (torch.save of a state_dict) are read"
    return "is no model and holds no weights: give a file of numbacnn, Keras (.h5, .weights.h5, .keras) or PyTorch (.pth)"
