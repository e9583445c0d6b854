"""A network that PyTorch exported to an ONNX file, at rest, in another runtime: what those contestants share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from contest.inputs import MIRRORED, images

Load = Callable[[Path, np.ndarray], Callable[[], np.ndarray]]  # (file, images NCHW) -> the call that runs the network on them


class Exported:
    def __init__(self, load: Load, network: str, batch: int, size: int, folder: str, channels: int = 3, classes: int = 1000):
        x, _ = images(batch, size, channels, classes)
        x = x[:, ::-1, ::-1] if network in MIRRORED else x
        self.run = load(Path(folder) / "network.onnx", np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        self.parts = {"inference": self.run}

    def show(self) -> dict[str, np.ndarray]:
        return {"output": np.array(self.run())}
