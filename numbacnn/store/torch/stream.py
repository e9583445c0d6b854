"""The files of torch.save before PyTorch 1.6 (later with _use_new_zipfile_serialization=False).

Pickles one behind another: the magic number, the version, facts on the machine, the object, the list of storages' keys; then for
each key an int64 with the number of its values, and the values. Numbers are little-endian, whatever machine wrote them.
"""

import struct
from typing import Any, BinaryIO

from .allowed import kind_of
from .records import Damaged, Storage, storage
from .unpickle import Machine

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
START = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number's pickle, behind two bytes that say the protocol


class Stream:
    """A file: `value` is what the pickles describe, `read` gives a storage's bytes, `order` is "<"."""

    order = "<"

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size
        self.storages: dict[str, Storage] = {}
        machine = Machine(file, self._persistent)
        if machine.run() != _MAGIC or machine.run() != _VERSION:
            raise Damaged("is no file of PyTorch's, or of a version that numbacnn does not know: load it with PyTorch and save its state_dict() again")
        machine.run()  # facts on the machine: sizes of C's types
        self.value = machine.run()
        self.places = self._places(machine.run())

    def read(self, key: str) -> Any:
        """The bytes of a storage."""
        at, count = self.places[key]
        self.file.seek(at)
        data = bytearray(count)
        if self.file.readinto(data) != count:
            raise Damaged(f"ends within storage {key[:40]!r}: the file is truncated; take another copy")
        return data

    def _persistent(self, key: tuple) -> Storage:
        if key and key[0] in ("module", b"module"):
            raise Damaged(
                "holds a whole model, code included, and numbacnn runs no code from files. "
                'In PyTorch, save the weights alone: torch.save(model.state_dict(), "weights.pth")'
            )
        if len(key) not in (5, 6) or key[0] not in ("storage", b"storage"):
            raise Damaged("its pickle names something outside that is no storage: the file is damaged")
        _, kind, name, _, count = key[:5]
        whole = storage(name, kind_of(kind), count)
        first = self.storages.setdefault(whole.key, whole)
        if (first.kind, first.count) != (whole.kind, whole.count):
            raise Damaged(f"storage {whole.key[:40]!r} is said to be two different things: the file is damaged")
        return storage(whole.key, whole.kind, whole.count, key[5] if len(key) == 6 else None)

    def _places(self, keys: Any) -> dict[str, tuple[int, int]]:
        """Key -> (place, bytes) of the storages, which lie one behind another to the end of the file."""
        keys = [k.decode("ascii", "replace") if isinstance(k, bytes) else k for k in keys] if type(keys) is list else None
        if keys is None or not all(type(k) is str for k in keys) or len(set(keys)) != len(keys) or set(keys) != set(self.storages):
            raise Damaged("the list of its storages is not the one that its weights need: the file is damaged")
        places, at = {}, self.file.tell()
        for key in keys:
            found = self.storages[key]
            self.file.seek(at)
            head, count = self.file.read(8), found.count * found.kind.stored.itemsize
            if len(head) != 8 or at + 8 + count > self.size:
                raise Damaged(f"ends before storage {key[:40]!r} of {count:,} bytes does: the file is truncated; take another copy")
            if (given := struct.unpack("<q", head)[0]) != found.count:
                raise Damaged(f"storage {key[:40]!r} has {given} numbers, not the {found.count} that its weights need: the file is damaged")
            places[key] = (at + 8, count)
            at += 8 + count
        return places
