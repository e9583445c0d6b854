"""Reading HDF5 files that strangers wrote: hard links and plain data only, sizes checked before anything is allocated.

HDF5 can point outside the file (external and soft links, external storage, virtual datasets), claim sizes that it does not
have, and run filters from shared libraries. None of these is followed; each is a FileError that names file and place.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import FileError, NumbacnnError

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_TEXT = 64 << 20  # bytes of JSON


class SafeFile:
    """An HDF5 file, opened for reading as a context manager. Every method raises FileError naming the file where something is wrong."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.exists():
            raise FileError(f"there is no file {self.path}")
        if not self.path.is_file():
            raise FileError(f"{self.path} is no file but a folder or a device: name a file in it")
        self.size = self.path.stat().st_size
        if not self.size:
            raise FileError(f"{self.path} is empty: what wrote it was interrupted; take another copy")
        self._left = self.size  # what may still be read: many links at one dataset must not multiply it
        try:
            # No lock: nobody changes a file in place (files are replaced), and read-only folders have no locks.
            self._file = h5py.File(self.path, "r", locking=False)
        except Exception as error:
            with self.path.open("rb") as f:
                ours = f.read(8) == b"\x89HDF\r\n\x1a\n"
            why = "is truncated or damaged: take another copy" if ours else "is no HDF5 file: give one that numbacnn wrote (model.h5, checkpoint.h5)"
            raise FileError(f"{self.path} {why} ({_short(error)})") from error

    def __enter__(self) -> "SafeFile":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def fail(self, reason: str) -> FileError:
        """A FileError that begins with the file's name."""
        return FileError(f"{self.path}: {reason}")

    @contextmanager
    def _guard(self, place: str) -> Iterator[None]:
        try:
            yield
        except NumbacnnError:
            raise
        except Exception as error:  # h5py raises nearly every kind for damaged files
            raise self.fail(f"{place} cannot be read, the file is truncated or damaged: take another copy ({_short(error)})") from error

    def _object(self, place: str) -> Any:
        """The object at a place, or None; only hard links are followed."""
        with self._guard(place):
            found: Any = self._file
            for part in place.strip("/").split("/"):
                # h5py's own look-ups (`in`, `get`) would follow links, even into other files
                if not isinstance(found, h5py.Group) or not found.id.links.exists(part.encode()):
                    return None
                if found.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
                    raise self.fail(f"{place} is a link to another place: such files are refused, since they could read any file of yours")
                found = found[part]
            return found

    def names(self, place: str) -> list[str]:
        """What lies in a group; nothing where the group is missing."""
        group = self._object(place)
        if group is None:
            return []
        if not isinstance(group, h5py.Group):
            raise self.fail(f"{place} is no group")
        with self._guard(place):
            return [str(name) for name in group]

    def attribute(self, place: str, name: str) -> Any:
        """A text or number at an object ("/" is the file itself), None where it is missing."""
        found = self._file if place == "/" else self._object(place)
        with self._guard(f"attribute {name} of {place}"):
            if found is None or name not in found.attrs:
                return None
            kind = found.attrs.get_id(name)
            if kind.shape != () or kind.get_storage_size() > self.size or not (kind.dtype.kind in "Siuf" or h5py.check_string_dtype(kind.dtype)):
                raise self.fail(f"attribute {name} of {place} is neither a text nor a number")
            value = found.attrs[name]
            return value.decode() if isinstance(value, bytes) else value.item() if isinstance(value, np.generic) else value

    def _dataset(self, place: str) -> h5py.Dataset:
        found = self._object(place)
        if found is None:
            raise self.fail(f"{place} is missing: the file is not numbacnn's, or not all of it was written")
        if not isinstance(found, h5py.Dataset):
            raise self.fail(f"{place} is no dataset")
        with self._guard(place):
            if found.is_virtual or found.external:
                raise self.fail(f"{place} takes its data from other files: such files are refused")
            settings = found.id.get_create_plist()
            if any(settings.get_filter(i)[0] not in _FILTERS for i in range(settings.get_nfilters())):
                raise self.fail(f"{place} is packed with a filter other than gzip: write it without")
            if found.dtype.kind not in "Siuf" or found.dtype.fields or found.dtype.subdtype or found.shape is None:
                raise self.fail(f"{place} holds {found.dtype}, not plain numbers or text")
        return found

    def shape(self, place: str) -> tuple[int, ...]:
        """Shape of a dataset, without reading it."""
        return tuple(self._dataset(place).shape)

    def array(self, place: str, shape: tuple[int | None, ...], kinds: tuple[type, ...] = (np.float32,)) -> np.ndarray:
        """A dataset of numbers, in the machine's byte order. It must have this shape (None: any length) and one of these types."""
        data = self._dataset(place)
        with self._guard(place):
            if len(data.shape) != len(shape) or any(n not in (None, m) for n, m in zip(shape, data.shape, strict=True)):
                raise self.fail(f"{place} has shape {tuple(data.shape)}, not {shape}")
            kind = next((k for k in map(np.dtype, kinds) if data.dtype.newbyteorder("=") == k), None)
            if kind is None:
                raise self.fail(f"{place} holds {data.dtype}, not {' or '.join(np.dtype(k).name for k in kinds)}")
            return np.ascontiguousarray(self._read(place, data), kind).reshape(data.shape)

    def json(self, place: str) -> Any:
        """JSON text; None where the dataset is missing."""
        if self._object(place) is None:
            return None
        data = self._dataset(place)
        if data.shape != () or data.dtype.kind != "S" or data.dtype.itemsize > _TEXT:
            raise self.fail(f"{place} is no text of at most {_TEXT >> 20} MB")
        with self._guard(place):
            return json.loads(bytes(self._read(place, data)))

    def _read(self, place: str, data: h5py.Dataset) -> Any:
        count = math.prod(int(n) for n in data.shape) * data.dtype.itemsize
        stored = data.id.get_storage_size()
        if count > self._left or (data.chunks is None and stored != count):
            raise self.fail(f"{place} claims {count:,} bytes, which a file of {self.size:,} bytes does not hold: it is truncated or damaged; take another copy")
        self._left -= count
        return data[()]


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}…"
