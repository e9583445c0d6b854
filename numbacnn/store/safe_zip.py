"""Reading zip archives that strangers made: members by their exact names, into memory, never onto the disk, and never more bytes than expected."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

from ..errors import FileError
from .safe import check_there, short

SIGNATURE = b"PK\x03\x04"
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_MEMBERS = 100_000


class SafeZip:
    """A zip archive, opened for reading as a context manager. Every method raises FileError naming the file where something is wrong."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.size = check_there(self.path)
        try:
            self._zip = zipfile.ZipFile(self.path)
            members = self._zip.infolist()
        except Exception as error:  # zipfile raises several kinds for damaged archives
            raise FileError(f"{self.path} is truncated or damaged, or no zip archive: take another copy ({short(error)})") from error
        try:
            self._check(members)
        except FileError:
            self._zip.close()
            raise
        self.members = {m.filename: m for m in members}

    def _check(self, members: list[zipfile.ZipInfo]) -> None:
        if len(members) > _MEMBERS:
            raise self.fail(f"holds {len(members):,} members: such archives are refused")
        seen: set[str] = set()
        for member in members:
            name = member.orig_filename
            if name.startswith(("/", "\\")) or ":" in name or "\\" in name or "\0" in name or ".." in name.split("/"):
                raise self.fail(f"member {name!r} is meant to lie outside the archive's folder: such archives are refused")
            if name in seen:
                raise self.fail(f"holds two members named {name!r}: such archives are refused")
            seen.add(name)

    def __enter__(self) -> "SafeZip":
        return self

    def __exit__(self, *_: Any) -> None:
        self._zip.close()

    def fail(self, reason: str) -> FileError:
        """A FileError that begins with the file's name."""
        return FileError(f"{self.path}: {reason}")

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def read(self, name: str, limit: int) -> bytes:
        """A member's bytes, `limit` at most. Raises FileError where it is missing, larger, packed in another way than deflate, or damaged."""
        if name not in self.members:
            raise self.fail(f"{name} is missing in the archive: not all of the file was written, or another program wrote it")
        member = self.members[name]
        if member.flag_bits & 1:
            raise self.fail(f"{name} is encrypted: write the file without a password")
        if member.compress_type not in _PACKED:
            raise self.fail(f"{name} is packed in another way than deflate: write it again without packing")
        if member.file_size > limit:
            raise self.fail(f"{name} has {member.file_size:,} bytes, {limit:,} were expected at most: such archives are refused")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size > self.size:
            raise self.fail(f"{name} claims {member.file_size:,} bytes, which a file of {self.size:,} bytes does not hold: it is truncated; take another copy")
        held = io.BytesIO()
        try:
            with self._zip.open(member) as stream:
                while piece := stream.read(min(1 << 20, limit + 1 - held.tell())):  # a header may lie about the size
                    held.write(piece)
                    if held.tell() > limit:
                        raise self.fail(f"{name} unpacks to more than the {limit:,} bytes that were expected: such archives are refused")
        except FileError:
            raise
        except Exception as error:
            raise self.fail(f"{name} cannot be read, the file is truncated or damaged: take another copy ({short(error)})") from error
        if held.tell() != member.file_size:
            raise self.fail(f"{name} has {held.tell():,} bytes instead of {member.file_size:,}: the file is truncated or damaged; take another copy")
        return held.getvalue()
