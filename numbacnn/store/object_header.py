"""How much text an attribute claims to hold, from the bytes of an HDF5 object header.

Texts of variable length lie elsewhere in the file, and an attribute holds (length, address, index) of each: a thousand of them
may name one and the same long text, and HDF5 has no call that tells the lengths before it copies all of it. So they are read here.
Reference: HDF5 File Format Specification 3.0, sections IV.A.1 (object headers, versions 1 and 2) and IV.A.2.m (attribute message).
"""

import struct
from collections.abc import Callable, Iterator

ENTRY = 16  # bytes of an attribute for one text: length, address of the heap, index in it
_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10
_CHUNKS = 1000  # of one header: more is no header

Read = Callable[[int, int], bytes]  # (offset, count) -> that many bytes of the file, or ValueError


def text_bytes(read: Read, address: int, name: str, count: int) -> int:
    """Sum of the lengths of the `count` texts in attribute `name` of the object at an address.

    Raises ValueError (or struct.error) where the header has no such attribute or is of another kind.
    """
    for kind, flags, data in _messages(read, address):
        if kind == _ATTRIBUTE and not flags & 2:  # 2: kept elsewhere, shared with other objects
            found, entries = _attribute(data)
            if found == name.encode():
                if len(entries) < count * ENTRY:
                    raise ValueError("the attribute is shorter than its shape")
                return sum(length for length, _, _ in struct.iter_unpack("<IQI", entries[: count * ENTRY]))
    raise ValueError("its texts are not in the object's header")


def _messages(read: Read, address: int) -> Iterator[tuple[int, int, bytes]]:
    """(type, flags, data) of each message in a header, those in continuation blocks too."""
    begin = read(address, 16)
    if begin[:4] == b"OHDR":
        flags = begin[5]
        at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        chunks = [(at + width, int.from_bytes(read(at, width), "little"))]
        head, skip, mark = "<BHB", 2 if flags & 4 else 0, 4
    elif begin[0] == 1:
        chunks = [(address + 16, struct.unpack_from("<I", begin, 8)[0])]
        head, skip, mark = "<HHB", 3, 0
    else:
        raise ValueError("the object's header is of an unknown version")
    for number, (start, length) in enumerate(chunks):
        if number >= _CHUNKS:
            raise ValueError("the object's header does not end")
        data = read(start, length)
        at, end = (mark, length - mark) if mark and number else (0, length)  # continuation blocks of version 2 have a signature and a checksum
        while at + struct.calcsize(head) + skip <= end:
            kind, size, flags = struct.unpack_from(head, data, at)
            at += struct.calcsize(head) + skip
            message = data[at : at + size]
            at += size
            if kind == _CONTINUATION:
                chunks.append(struct.unpack_from("<QQ", message))
            yield kind, flags, message


def _attribute(data: bytes) -> tuple[bytes, bytes]:
    """Name and value of an attribute message."""
    version, _, *sizes = struct.unpack_from("<BBHHH", data)
    if version not in (1, 2, 3):
        raise ValueError(f"an attribute has the unknown version {version}")
    at = 9 if version == 3 else 8
    name = data[at : at + sizes[0]].split(b"\0")[0]
    for size in sizes:
        at += -(-size // 8) * 8 if version == 1 else size
    return name, data[at:]
