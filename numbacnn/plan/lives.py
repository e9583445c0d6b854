"""Pass: from which launch to which launch every temporary buffer must keep its contents."""

from collections.abc import Iterable

from .buffer import Buffer, Launch


def lives(launches: list[Launch], roots: Iterable[Buffer]) -> dict[Buffer, tuple[int, int]]:
    """Root -> (index of the first launch that touches it, of the last); what must survive the step lives to its end."""
    spans: dict[Buffer, tuple[int, int]] = {}
    for i, launch in enumerate(launches):
        for root in launch.roots:
            if root.kind in ("temporary", "workspace"):
                spans[root] = (spans.get(root, (i, i))[0], i)
    for b in roots:
        if b.root in spans:
            spans[b.root] = (spans[b.root][0], len(launches))
    return spans
