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
from .object_header import text_bytes

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_TEXT = 64 << 20  # bytes of JSON
_GROUPS = 1000  # kept open
_BFLOAT16 = np.dtype("V2")  # how HDF5 files hold what NumPy has no type for: the upper half of a float32


class SafeFile:
    """An HDF5 file, opened for reading as a context manager. Every method raises FileError naming the file where something is wrong.

    content, inside: the file's bytes where it lies in memory, and its name in the archive `path` that it came from.
    """

    def __init__(self, path: str | os.PathLike, content: bytes | None = None, inside: str = ""):
        self.path = Path(path)
        self.shown = f"{path}: {inside}" if inside else str(path)
        self.size = check_there(self.path) if content is None else len(content)
        self._content = content
        self._groups: dict[str, h5py.Group] = {}  # that were looked at last, by their place
        self._left = self.size  # what may still be read: many links at one dataset must not multiply it
        try:
            # No lock: nobody changes a file in place (files are replaced), and read-only folders have no locks.
            self._file = h5py.File(self.path, "r", locking=False) if content is None else h5py.File(h5py.h5f.open_file_image(content))
        except Exception as error:
            ours = self.size >= len(SIGNATURE) and self._bytes(0, len(SIGNATURE)) == SIGNATURE
            why = "is truncated or damaged: take another copy" if ours else "is no HDF5 file: give one that numbacnn or Keras wrote"
            raise FileError(f"{self.shown} {why} ({short(error)})") from error

    def __enter__(self) -> "SafeFile":
        return self

    def __exit__(self, *_: Any) -> None:
        self._groups.clear()
        self._file.close()

    def fail(self, reason: str) -> FileError:
        """A FileError that begins with the file's name."""
        return FileError(f"{self.shown}: {reason}")

    @contextmanager
    def _guard(self, place: str) -> Iterator[None]:
        try:
            yield
        except NumbacnnError:
            raise
        except Exception as error:  # h5py raises nearly every kind for damaged files
            raise self.fail(f"{place} cannot be read, the file is truncated or damaged: take another copy ({short(error)})") from error

    def _object(self, place: str) -> Any:
        """The object at a place ("/" is the file itself), or None; only hard links are followed."""
        with self._guard(place):
            path = place.strip("/")
            return self._inside(path, place) if path else self._file

    def _inside(self, path: str, place: str) -> Any:
        above, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            raise self.fail(f"{place!r} is no name for a thing in a file: such names are refused")
        group = self._groups.get(above) or (self._inside(above, place) if above else self._file)
        # h5py's own look-ups (`in`, `get`) would follow links, even into other files
        if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
            return None
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise self.fail(f"{place} is a link to another place: such files are refused, since they could read any file of yours")
        found = group[name]
        if isinstance(found, h5py.Group):
            if len(self._groups) >= _GROUPS:
                self._groups.clear()
            self._groups[path] = found
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

    def is_group(self, place: str) -> bool:
        """Whether there is a group at a place."""
        return isinstance(self._object(place), h5py.Group)

    def address(self, place: str) -> int:
        """Where the object at a place lies in the file: the same for all names that it has."""
        found = self._object(place)
        if found is None:
            raise self.fail(f"{place} is missing")
        with self._guard(place):
            return h5py.h5o.get_info(found.id).addr

    # ---- attributes

    def attribute(self, place: str, name: str) -> Any:
        """A text or number at an object ("/" is the file itself), None where it is missing."""
        found = self._object(place)
        with self._guard(f"attribute {name} of {place}"):
            if found is None or name not in found.attrs:
                return None
            kind = found.attrs.get_id(name)
            if kind.shape != () or kind.get_storage_size() > self.size or not (kind.dtype.kind in "Siuf" or h5py.check_string_dtype(kind.dtype)):
                raise self.fail(f"attribute {name} of {place} is neither a text nor a number")
            value = found.attrs[name]
            return value.decode() if isinstance(value, bytes) else value.item() if isinstance(value, np.generic) else value

    def texts(self, place: str, name: str) -> list[str] | None:
        """A list of texts in an attribute, or in the numbered ones (`name0`, `name1`, …) that long lists are split into; None where it is missing."""
        found = self._object(place)
        with self._guard(f"attribute {name} of {place}"):
            if found is None:
                return None
            if name in found.attrs:
                return self._texts(found, place, name)
            if f"{name}0" not in found.attrs:
                return None
            texts, number = [], 0
            while f"{name}{number}" in found.attrs:
                texts += self._texts(found, place, f"{name}{number}")
                number += 1
            return texts

    def _texts(self, found: Any, place: str, name: str) -> list[str]:
        kind = found.attrs.get_id(name)
        if kind.shape == (0,):  # Keras writes an empty list as numbers
            return []
        text = h5py.check_string_dtype(kind.dtype)
        if kind.shape is None or len(kind.shape) != 1 or not text or kind.get_storage_size() > self.size:
            raise self.fail(f"attribute {name} of {place} is no list of texts")
        if text.length is None and text_bytes(self._bytes, h5py.h5o.get_info(found.id).addr, name, kind.shape[0]) > min(_TEXT, self.size):
            raise self.fail(f"attribute {name} of {place} claims more text than a file of {self.size:,} bytes holds: such files are refused")
        values = [v if isinstance(v, bytes) else v.encode() for v in found.attrs[name].tolist()]  # what is no UTF-8 fails here
        return [v.decode() for v in values]

    def _bytes(self, offset: int, count: int) -> bytes:
        """Bytes of the file itself."""
        if offset + count > self.size:
            raise ValueError("beyond the end of the file")
        if self._content is not None:
            return self._content[offset : offset + count]
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(count)

    # ---- datasets

    def _dataset(self, place: str) -> h5py.Dataset:
        found = self._object(place)
        if found is None:
            raise self.fail(f"{place} is missing: not all of the file was written, or another program wrote it")
        if not isinstance(found, h5py.Dataset):
            raise self.fail(f"{place} is no dataset")
        with self._guard(place):
            if found.is_virtual or found.external:
                raise self.fail(f"{place} takes its data from other files: such files are refused")
            settings = found.id.get_create_plist()
            if any(settings.get_filter(i)[0] not in _FILTERS for i in range(settings.get_nfilters())):
                raise self.fail(f"{place} is packed with a filter other than gzip: write it without")
            plain = found.dtype.kind in "Siuf" or found.dtype == _BFLOAT16
            if not plain or found.dtype.fields or found.dtype.subdtype or found.shape is None:
                raise self.fail(f"{place} holds {found.dtype}, not plain numbers or text")
        return found

    def shape(self, place: str) -> tuple[int, ...]:
        """Shape of a dataset, without reading it."""
        return tuple(self._dataset(place).shape)

    def outline(self, place: str) -> tuple[tuple[int, ...], str]:
        """Shape of a dataset and the type of its numbers, as NumPy names it ("float32"), or "bfloat16"; without reading it."""
        data = self._dataset(place)
        return tuple(data.shape), "bfloat16" if data.dtype == _BFLOAT16 else data.dtype.newbyteorder("=").name

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

    def numbers(self, place: str, shape: tuple[int, ...]) -> np.ndarray:
        """A dataset of any numbers, bfloat16 too, as float32. It must have this shape."""
        data = self._dataset(place)
        with self._guard(place):
            if tuple(data.shape) != tuple(shape) or data.dtype.kind == "S":
                raise self.fail(f"{place} holds {data.dtype} of shape {tuple(data.shape)}, not numbers of shape {shape}")
            values = np.asarray(self._read(place, data))
            if data.dtype == _BFLOAT16:
                values = (values.view(np.dtype("<u2")).astype(np.uint32) << 16).view(np.float32)
            return np.ascontiguousarray(values, np.float32).reshape(shape)

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


def check_there(path: Path) -> int:
    """Size of a file in bytes. Raises FileError where there is none, or nothing in it."""
    if not path.exists():
        raise FileError(f"there is no file {path}")
    if not path.is_file():
        raise FileError(f"{path} is no file but a folder or a device: name a file in it")
    if not (size := path.stat().st_size):
        raise FileError(f"{path} is empty: what wrote it was interrupted; take another copy")
    return size


def short(error: Exception) -> str:
    """What another library says, in one line that is not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}…"
