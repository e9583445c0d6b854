"""What an optimizer sees while it describes its update (the contract stands in numbacnn/optimizers/base.py)."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..jit import Kernel
from .buffer import Buffer
from .layout import Layout
from .step import Recorder


class Update:
    """w, g, slot.<name>: flat arrays of all trained weights, their gradients and the optimizer's state.

    jobs int64 [J, 4] (start, stop, segment, group), decays [segments], rates [groups, len(optimizer.rates)].
    """

    def __init__(self, recorder: Recorder, optimizer: Any, layout: Layout, w: Buffer, g: Buffer):
        self._recorder = recorder
        self.dtype, self.segments, self.groups = recorder.dtype, len(layout.segments), layout.groups
        self.w, self.g = w, g
        self.slots = {name: Buffer((layout.size,), recorder.dtype, f"slot {name}", "persistent") for name in optimizer.slots}
        self.slot = SimpleNamespace(**self.slots)
        self.jobs, self.decays = self.constant(layout.jobs()), self.constant(layout.decays())
        self.rates = Buffer((layout.groups, len(optimizer.rates(1.0, 1))), recorder.dtype, "rates", "persistent")

    def constant(self, array: Any) -> Buffer:
        return self._recorder.constant(array)

    def new(self, *shape: int, dtype: Any = None) -> Buffer:
        return Buffer(shape, np.dtype(dtype or self.dtype), "optimizer (own)")

    def run(self, kernel: Kernel, *args: Any, out: Any) -> Buffer:
        return self._recorder.run("optimizer", kernel, args, out)
