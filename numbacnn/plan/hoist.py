"""Pass: what depends only on memory that no launch writes (packing, folding, a frozen base's scales) is computed once."""

from collections.abc import Iterable

from .buffer import Buffer, Launch


def hoist(launches: list[Launch], weights: Iterable[Buffer]) -> tuple[list[Launch], list[Launch]]:
    """(launches to run once after the weights changed, launches to run each step). Results of the first become persistent."""
    written = set().union(*(launch.writes for launch in launches))
    constant = {b.root for b in weights} - written
    early, steady = [], []
    for launch in launches:
        alone = all(r in constant or r.kind == "constant" for r in launch.reads) and not any(r.kind == "persistent" for r in launch.writes)
        if alone and launch.reads:
            early.append(launch)
            constant |= launch.writes
        else:
            steady.append(launch)
    for launch in early:
        for root in launch.writes:
            root.kind = "persistent"
    return early, steady
