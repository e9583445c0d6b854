"""Which checks a kind of plugin goes through. A new check is a function in a file of its own and a line here."""

from ... import registry
from . import files, gpu, layers, memory, others, threads, width
from .mark import Check
from .registration import contract, registered
from .speed import speed

LAYER = (
    Check("registered", registered(registry.layers)),
    Check("contract", contract),
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
    Check("GPU, simulated", gpu.simulated, costly=True),
    Check("GPU, compiled", gpu.compiled, costly=True),
    Check("speed", speed, costly=True),
)
CHECKS: dict[str, tuple[Check, ...]] = {
    "layer": LAYER,
    "loss": (Check("registered", registered(registry.losses)), Check("contract", contract), Check("values and gradients", others.loss)),
    "optimizer": (Check("registered", registered(registry.optimizers)), Check("contract", contract), Check("updates", others.optimizer)),
    "metric": (Check("registered", registered(registry.metrics)), Check("contract", contract), Check("counting", others.metric)),
    "augmentation": (Check("registered", registered(registry.augmentations)), Check("contract", contract), Check("pictures", others.augmentation)),
    "model": (Check("contract", contract), Check("training", others.model, costly=True)),
    "command": (Check("usage", others.command),),
}


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks for a kind of plugin, in order."""
    return CHECKS.get(kind, ())
