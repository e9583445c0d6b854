"""Zip archives of strangers: nothing outside is named, nothing is larger than expected, and what is damaged says so."""

import io
import struct
import zipfile

import pytest

from numbacnn.errors import FileError
from numbacnn.store.safe_zip import SafeZip


def archive(*members, method=zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as file:
        for name, data in members:
            file.writestr(name, data)
    return held.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read(tmp_path, method):
    path = tmp_path / "a.keras"
    path.write_bytes(archive(("config.json", b"{}"), ("assets/x", b"y" * 100_000), method=method))
    with SafeZip(path) as file:
        assert "config.json" in file and "metadata.json" not in file
        assert file.read("config.json", 2) == b"{}"
        assert file.read("assets/x", 100_000) == b"y" * 100_000


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "a/../../b", "C:x", "..\\x", "\\x"])
def test_names_outside_are_refused(tmp_path, name):
    path = tmp_path / "a.keras"
    path.write_bytes(archive(("config.json", b"{}"), (name, b"x")))
    with pytest.raises(FileError, match=r"a\.keras: member .* is meant to lie outside"):
        SafeZip(path)


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.keras"
    with pytest.warns(UserWarning, match="Duplicate name"):
        path.write_bytes(archive(("config.json", b"{}"), ("config.json", b"[]")))
    with pytest.raises(FileError, match=r"two members named 'config\.json'"):
        SafeZip(path)


def bomb() -> bytes:
    return archive(("x", bytes(50_000_000)), method=zipfile.ZIP_DEFLATED)


def lying() -> bytes:
    """A bomb whose directory says 100 bytes."""
    data = bytearray(bomb())
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 100)
    return bytes(data)


def beyond() -> bytes:
    """A stored member that claims more bytes than the file has."""
    data = bytearray(archive(("x", b"abc")))
    for at, offset in ((data.index(b"PK\x03\x04"), 18), (data.rindex(b"PK\x01\x02"), 20)):
        struct.pack_into("<II", data, at + offset, 10**6, 10**6)
    return bytes(data)


def flipped() -> bytes:
    data = bytearray(archive(("x", b"abcdefgh")))
    data[data.index(b"abcdefgh")] ^= 1
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(archive(("x", b"abc")))
    for at, offset in ((data.index(b"PK\x03\x04"), 6), (data.rindex(b"PK\x01\x02"), 8)):
        data[at + offset] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (bomb, r"x has 50,000,000 bytes, 1,000 were expected at most"),
        (lying, r"x (cannot be read|has|unpacks to)"),
        (beyond, r"x has 1,000,000 bytes"),
        (flipped, r"x cannot be read, the file is truncated or damaged"),
        (encrypted, r"x is encrypted"),
        (lambda: archive(("x", b"abc"), method=zipfile.ZIP_BZIP2), r"x is packed in another way than deflate"),
        (lambda: archive(("y", b"abc")), r"x is missing in the archive"),
    ],
)
def test_members_that_are_refused(tmp_path, make, message):
    path = tmp_path / "a.keras"
    path.write_bytes(make())
    with SafeZip(path) as file, pytest.raises(FileError, match=message) as caught:
        file.read("x", 1000)
    assert str(path) in str(caught.value)


def test_a_member_that_claims_more_than_the_file(tmp_path):
    path = tmp_path / "a.keras"
    path.write_bytes(beyond())
    with SafeZip(path) as file, pytest.raises(FileError, match="claims 1,000,000 bytes, which a file of"):
        file.read("x", 10**7)


def test_truncated_archives(tmp_path):
    path, whole = tmp_path / "a.keras", archive(("x", b"abc" * 100), ("y", b"z"))
    for length in range(4, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match=r"a\.keras is truncated or damaged"):
            SafeZip(path)
