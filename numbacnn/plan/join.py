"""Pass: launches that follow each other become one where a rule knows a kernel for all their work, and nobody else reads what is between."""

from collections import Counter
from dataclasses import replace
from typing import Any

from ..convolutions import inverted_residual
from .buffer import Buffer, Launch

RULES = (inverted_residual,)  # each with middle(launch) and joined(before, launch, after, workspace)


def join(launches: list[Launch], roots: set[Buffer], threads: int) -> list[Launch]:
    """The launches, some of them joined, in an order that still works."""
    kept = {b.root for b in roots}
    readers = Counter(root for launch in launches for root in launch.reads)
    maker = {root: launch for launch in launches for root in launch.writes}
    reader = {root: launch for launch in launches for root in launch.reads}
    gone: set[int] = set()
    made: dict[int, Launch] = {}

    def alone(b: Any) -> bool:
        """Whether a buffer is only what one launch hands to another, as a whole."""
        return isinstance(b, Buffer) and b.root.kind == "temporary" and b.root not in kept and readers[b.root] == 1 and b.size == b.root.size

    for launch in launches:
        rule = next((r for r in RULES if r.middle(launch)), None)
        if rule is None or not alone(launch.out[0]):
            continue
        before = maker.get(launch.args[0].root) if alone(launch.args[0]) else None
        after = reader[launch.out[0].root]

        def workspace(*shape: int, like: Buffer = launch.out[0], node: str = after.node) -> Buffer:
            return Buffer((threads, *shape), like.dtype, f"{node} (workspace)", "workspace")

        if (found := rule.joined(before, launch, after, workspace)) is not None:
            kernel, args, out = found
            read = {b.root for b in args if isinstance(b, Buffer)}
            gone |= {id(part) for part in (before, launch) if part is not None and not part.writes & read}
            parts = tuple(part for part in (before, launch, after) if id(part) in gone or part is after)
            made[id(after)] = replace(after, kernel=kernel, args=args, out=out, choice=None, joined=parts)
    return [made.get(id(launch), launch) for launch in launches if id(launch) not in gone]
