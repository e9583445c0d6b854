"""The zip files that torch.save has written since PyTorch 1.6: folder/data.pkl, folder/data/<key> for each storage, folder/byteorder.

torch.save stores members without compression. That is required here, so that no member is larger than what the file holds.
"""

import io
import struct
import zipfile
import zlib
from typing import Any, BinaryIO

from .allowed import kind_of
from .records import Damaged, Storage, storage
from .unpickle import BYTES, Machine

_MEMBERS = 100_000
_HEADER = struct.Struct("<4s22xHH")  # of a member: signature, length of its name, of what else stands before the data


class Archive:
    """A zip file: `value` is what data.pkl describes, `read` gives a storage's bytes, `order` is "<" or ">"."""

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.left = file, size
        try:
            with zipfile.ZipFile(file) as opened:
                members = opened.infolist()
        except Exception as error:  # zipfile raises nearly every kind for damaged files
            raise Damaged(f"is a truncated or damaged zip file: take another copy ({type(error).__name__})") from error
        self.members = _checked(members)
        pickles = [n for n in self.members if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Damaged("is a zip file, but none that torch.save wrote: there is no data.pkl in it (a program of torch.export, or another format)")
        self.folder = pickles[0].removesuffix("data.pkl")
        self.order = self._order()
        if self.members[pickles[0]].file_size > BYTES:
            raise Damaged(f"its data.pkl has more than {BYTES >> 20} MB, far more than weights need")
        self.value = Machine(io.BytesIO(self._bytes(pickles[0])), self._persistent).run()

    def read(self, key: str) -> Any:
        """The bytes of a storage, once."""
        return self._bytes(self._member(key))

    def _member(self, key: str) -> str:
        return f"{self.folder}data/{key}"

    def _order(self) -> str:
        name = f"{self.folder}byteorder"
        if name not in self.members:
            return "<"
        found = self._bytes(name) if self.members[name].file_size < 16 else b""
        if found not in (b"little", b"big"):
            raise Damaged("its byteorder is neither little nor big")
        return "<" if found == b"little" else ">"

    def _persistent(self, key: tuple) -> Storage:
        if len(key) != 5 or key[0] not in ("storage", b"storage"):
            raise Damaged("its pickle names something outside that is no storage: the file is damaged")
        _, kind, name, _, count = key
        found = storage(name, kind_of(kind), count)
        member = self.members.get(self._member(found.key))
        if member is None:
            raise Damaged(f"storage {found.key[:40]!r} is missing: the file is damaged")
        if member.file_size < found.count * found.kind.stored.itemsize:
            raise Damaged(f"storage {found.key!r} is said to have {found.count:,} numbers, but has {member.file_size:,} bytes: the file is damaged")
        return found

    def _bytes(self, name: str) -> bytearray:
        """A member's bytes, their checksum verified (0: torch.save was told to leave it out)."""
        member = self.members[name]
        if member.file_size > self.left:
            raise Damaged(f"its members claim more bytes than it has ({name[:80]!r}): the file is damaged")
        self.left -= member.file_size
        self.file.seek(max(0, member.header_offset))  # negative where a piece of the file was cut out
        head = self.file.read(_HEADER.size)
        if member.header_offset < 0 or len(head) != _HEADER.size or head[:4] != b"PK\x03\x04":
            raise Damaged(f"its member {name[:80]!r} is not where the directory says: the file is damaged")
        _, names, extra = _HEADER.unpack(head)
        self.file.seek(names + extra, io.SEEK_CUR)
        data = bytearray(member.file_size)
        if self.file.readinto(data) != len(data) or (member.CRC and zlib.crc32(data) != member.CRC):
            raise Damaged(f"its member {name[:80]!r} is damaged: take another copy")
        return data


def _checked(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    if len(members) > _MEMBERS:
        raise Damaged(f"has {len(members):,} members, far more than a model has weights")
    if any(m.orig_filename.split("/")[1:2] == ["code"] for m in members):
        raise Damaged(
            "is a TorchScript program (torch.jit.save), which is code. "
            'In PyTorch, save its weights alone: torch.save(torch.jit.load(path).state_dict(), "weights.pth")'
        )
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.orig_filename
        if name in found:
            raise Damaged(f"has two members {name[:80]!r}: such files are refused")
        if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
            raise Damaged(f"has a member {name[:80]!r}, which points out of its folder: such files are refused")
        if member.flag_bits & 1:
            raise Damaged(f"its member {name[:80]!r} is encrypted")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise Damaged(f"its member {name[:80]!r} is compressed, as torch.save never does: unpack it and pack it without compression (zip -0)")
        found[name] = member
    return found


def is_archive(file: BinaryIO) -> bool:
    """Whether a zip file, opened, is laid out as torch.save does."""
    try:
        with zipfile.ZipFile(file) as opened:
            return any(n.count("/") == 1 and n.endswith("/data.pkl") for n in opened.namelist())
    except Exception:  # damaged
        return False
