"""One convolution layer's launches, direction by direction, as a plan of the engine makes them."""

from collections.abc import Sequence

import numpy as np

from numbacnn import testing
from numbacnn.layers.conv2d import Conv2D
from numbacnn.layers.depthwise_conv2d import DepthwiseConv2D
from numbacnn.plan.buffer import Buffer, Launch

from .inputs import convolution


class Convolution:
    """Parts "forward", "data" (gradient by the image) and "weights" (gradient by the kernel); packing of the weights included."""

    def __init__(self, kernel: int, strides: int, inputs: int, outputs: int, size: int, batch: int, depthwise: bool, parts: Sequence[str]):
        shape = (size, size, inputs)
        shared = {"padding": "same", "use_bias": False}
        layer = DepthwiseConv2D(kernel, strides, **shared) if depthwise else Conv2D(outputs, kernel, strides, **shared)
        self.x, self.kernel, self.dy = convolution(kernel, strides, inputs, outputs, size, batch, depthwise)
        # Every buffer has a place of its own: launches of one direction can then be run again and again by themselves.
        self.plan = testing.plan_of(layer, [shape], batch, {"layer/kernel": self.kernel}, training=True, reuse=False)
        trace = self.plan.trace
        ends = {"forward": trace.outputs[0], "data": trace.input_gradients["x0"], "weights": trace.weight_gradients["layer/kernel"]}
        launches = [*zip(self.plan.prologue, self.plan.early, strict=True), *zip(self.plan.launches, self.plan.calls, strict=True)]
        taken: set[int] = set()  # what two directions share belongs to the first
        calls = {}
        for part, end in ends.items():
            needed = leading_to([launch for launch, _ in launches], end) - taken
            calls[part] = [call for launch, call in launches if id(launch) in needed]
            taken |= needed
        self.parts = {part: lambda part=part: self.plan.backend.run(calls[part]) for part in parts}
        self.note = ", ".join(dict.fromkeys(choice.name for choice in self.plan.choices))

    def show(self) -> dict[str, np.ndarray]:
        """The result of each part."""
        result = self.plan.run([self.x], shares=[self.dy])
        made = {"forward": result.outputs[0], "data": self.plan.input_gradient("x0"), "weights": self.plan.weight_gradient("layer/kernel")}
        return {part: made[part] for part in self.parts}


def leading_to(launches: Sequence[Launch], end: Buffer) -> set[int]:
    """Identities of the launches that a buffer's contents come from."""
    needed, found = {end.root}, set()
    for launch in reversed(launches):
        if launch.writes & needed:
            needed |= launch.reads
            found.add(id(launch))
    return found
