"""Passes: launches whose results nobody reads vanish; those that change weights come last."""

from .buffer import Buffer, Launch


def prune(launches: list[Launch], roots: set[Buffer]) -> list[Launch]:
    """The launches that `roots` or persistent memory depend on, in order."""
    needed, live = {b.root for b in roots}, []
    for launch in reversed(launches):
        if any(b.root in needed or b.root.kind == "persistent" for b in launch.out):
            live.append(launch)
            needed |= launch.reads
    return live[::-1]


def last(launches: list[Launch]) -> tuple[list[Launch], int, int]:
    """The launches with those that write weights or running statistics at the end, where that end begins, and where in it the update of the weights does.

    A loss that is not finite can then be seen before anything that outlives the step has changed.
    """
    read_after: set[Buffer] = set()
    late = []
    for launch in reversed(launches):
        if launch.phase in ("gather", "update") or (all(r.kind == "persistent" for r in launch.writes) and not launch.writes & read_after):
            late.append(launch)
        else:
            read_after |= launch.reads
    late.reverse()
    held = set(map(id, late))
    ordered = [launch for launch in launches if id(launch) not in held] + late
    steps = [i for i, launch in enumerate(ordered) if launch.phase == "update"]
    return ordered, len(launches) - len(late), steps[0] if steps else len(ordered)
