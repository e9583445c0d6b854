"""Which checks a kind of plugin goes through. A new check is a function in a file of its own and a line here."""

from . import files, layers, memory, threads, width
from .mark import Check
from .speed import speed

LAYER = (
    Check("registered", layers.registered),
    Check("contract", layers.contract),
    Check("configuration", layers.configuration),
    Check("shapes", layers.shapes),
    Check("gradients", layers.gradients),
    Check("float32 against float64", layers.precision),
    Check("batch of one", layers.batch_of_one),
    Check("empty batch", layers.empty),
    Check("guard words", memory.guard_words),
    Check("inputs kept", memory.inputs_kept),
    Check("outputs written", memory.outputs_written),
    Check("threads", threads.same_bits),
    Check("no float64", width.no_float64),
    Check("save and load", files.save_and_load),
    Check("load in another process", files.in_another_process, costly=True),
    Check("bounds", layers.bounds, costly=True, environment={"NUMBA_BOUNDSCHECK": "1"}),
    Check("speed", speed, costly=True),
)
CHECKS: dict[str, tuple[Check, ...]] = {"layer": LAYER}


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks for a kind of plugin, in order."""
    return CHECKS.get(kind, ())


def check(kind: str, name: str) -> Check:
    return next(c for c in checks_of(kind) if c.name == name)


__all__ = ["CHECKS", "LAYER", "check", "checks_of"]
