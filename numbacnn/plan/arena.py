"""Pass: places in one block of memory, shared by buffers that never live at once; results may take over an input's place."""

from .buffer import Buffer, Launch

ALIGNMENT = 64  # bytes: a cache line, and the widest SIMD register


def arena(launches: list[Launch], spans: dict[Buffer, tuple[int, int]], reuse: bool = True) -> tuple[dict[Buffer, int], int]:
    """({root: byte offset}, bytes needed). First fit in order of birth; with reuse=False every buffer has a place of its own."""
    places: dict[Buffer, int] = {}
    taken: list[tuple[int, int, int, int]] = []  # (offset, bytes, first, last), sorted by offset
    for root, (first, last) in sorted(spans.items(), key=lambda item: (item[1][0], -item[0].nbytes)):
        need = -(-max(root.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        donor = _donor(launches[first], root, spans, places) if reuse else None
        if donor is not None:
            places[root] = places[donor]
            taken.append((places[root], need, first + 1, last))
            taken.sort()
            continue
        at = 0
        for offset, size, born, dead in taken:
            if reuse and (dead < first or born > last):
                continue
            if offset >= at + need:
                break
            at = max(at, offset + size)
        places[root] = at
        taken.append((at, need, first, last))
        taken.sort()
    return places, max((offset + size for offset, size, *_ in taken), default=0)


def _donor(launch: Launch, root: Buffer, spans: dict, places: dict) -> Buffer | None:
    """An input of `launch` that dies there, as large as `root`, whose memory the kernel's first output may overwrite."""
    if root is not launch.out[0].root or launch.out[0].offset or launch.out[0].size != root.size:
        return None
    for b in launch.args:
        if isinstance(b, Buffer) and b.root.kind == "temporary" and b.size == b.root.size and b.root in places:
            dies = spans[b.root][1] == spans[root][0]
            everywhere = all(launch.kernel.overwrites(i) for i, a in enumerate(launch.args) if isinstance(a, Buffer) and a.root is b.root)
            if dies and everywhere and b.root.nbytes == root.nbytes and b.dtype == root.dtype:
                return b.root
    return None
