"""Lengths of texts are known before they are read: a small file must not become gigabytes."""

import struct

import h5py
import numpy as np
import pytest

from numbacnn.errors import FileError
from numbacnn.store import object_header
from numbacnn.store.safe import SafeFile


def reader(path):
    data = path.read_bytes()

    def read(offset, count):
        if offset + count > len(data):
            raise ValueError("beyond the end")
        return data[offset : offset + count]

    return read


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize("others", [0, 3, 40])
def test_lengths_are_those_of_the_texts(tmp_path, version, others):
    path, texts = tmp_path / "x.h5", ["a", "bcd", "", "é" * 100]
    with h5py.File(path, "w", libver=version) as file:
        group = file.create_group("g")
        for i in range(others if version == "earliest" else min(others, 5)):
            group.attrs[f"other{i}"] = "x" * 50
        group.attrs["names"] = np.array(texts, dtype=h5py.string_dtype())
    with h5py.File(path) as file:
        address = h5py.h5o.get_info(file["g"].id).addr
    assert object_header.text_bytes(reader(path), address, "names", 4) == sum(len(t.encode()) for t in texts)
    with pytest.raises(ValueError, match="not in the object's header"):
        object_header.text_bytes(reader(path), address, "other_name", 4)
    with SafeFile(path) as file:
        assert file.texts("g", "names") == texts


def test_one_long_text_named_many_times(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array(["A" * 300_000, *map(str, range(299))], dtype=h5py.string_dtype())
    data = path.read_bytes()
    entry = struct.pack("<IQI", 300_000, data.index(b"A" * 100) - 32, 1)  # the first text in its heap, behind two headers of 16 bytes
    at = data.index(entry)
    path.write_bytes(data[:at] + entry * 300 + data[at + 16 * 300 :])
    with h5py.File(path) as file:
        assert len(file.attrs["layer_names"][150]) == 300_000  # HDF5 itself copies 90 MB out of a file of 400 KB
    with SafeFile(path) as file, pytest.raises(FileError, match="layer_names of / claims more text than a file of"):
        file.texts("/", "layer_names")


def test_damaged_headers():
    for data in (b"\x01" + bytes(30), b"OHDR\x02" + bytes(30), b"\x07" * 40, b"\x01\x00\x01\x00\x01\x00\x00\x00" + b"\xff" * 40):
        with pytest.raises((ValueError, struct.error, IndexError)):
            object_header.text_bytes(lambda offset, count, data=data: data[offset : offset + count], 0, "names", 3)
