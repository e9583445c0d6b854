"""PyTorch as a contestant: `python -m peers.pytorch`, in benchmarks/."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from contest.inputs import MIRRORED, convolution, images, same_borders
from contest.worker import serve
from torch import nn
from torch._inductor import config as inductor

from . import weights
from .networks import NETWORKS

THREADS = int(os.environ.get("CONTEST_THREADS", "2"))
LEARNING_RATE, MOMENTUM = 0.01, 0.9


class Network:
    """A whole network on one batch, as contest/ours.py's.

    variant  "contiguous" or "channels_last": how the images lie; "compiled": channels_last by torch.compile;
             "onnx": exported to `folder`/network.onnx for other runtimes, nothing to run
    """

    def __init__(
        self,
        network: str,
        task: str,
        batch: int,
        size: int,
        variant: str,
        channels: int = 3,
        classes: int = 1000,
        folder: str | None = None,
        dtype: str = "float32",
    ):
        x, labels = images(batch, size, channels, classes)
        self.mirrored = network in MIRRORED
        x = torch.from_numpy(np.ascontiguousarray(x[:, ::-1, ::-1] if self.mirrored else x)).permute(0, 3, 1, 2)
        order = torch.channels_last if variant in ("channels_last", "compiled") else torch.contiguous_format
        self.x, self.labels = x.to(getattr(torch, dtype)).contiguous(memory_format=order), torch.from_numpy(labels)
        self.network = NETWORKS[network](size, channels, classes).to(self.x.dtype)
        if folder:
            with np.load(Path(folder) / "weights.npz") as arrays:
                weights.put(self.network, dict(arrays), self.mirrored)
        self.network = self.network.to(memory_format=order).train(task == "training")
        self.parts = {task: self.train if task == "training" else self.predict}
        if variant == "onnx":
            self.parts = {}
            torch.onnx.export(self.network, (self.x,), str(Path(folder) / "network.onnx"), input_names=["x"], output_names=["y"], dynamo=True, verbose=False)
        self.run = self.network
        if variant == "compiled":
            inductor.freezing = task != "training"  # folds batch normalizations, packs weights
            self.run = torch.compile(self.network)
        if task == "training":
            self.loss, self.optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(self.network.parameters(), LEARNING_RATE, MOMENTUM, fused=True)

    def train(self) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.run(self.x), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def predict(self) -> torch.Tensor:
        with torch.inference_mode() if self.run is self.network else torch.no_grad():  # freezing wants no_grad
            return self.run(self.x)

    def show(self) -> dict[str, np.ndarray]:
        if "training" not in self.parts:
            return {"output": self.predict().numpy()}
        loss = self.train()
        gradients = {f"gradient {path}": g for path, g in weights.get(self.network, self.mirrored, gradients=True).items()}
        after = {f"weight {path}": w for path, w in weights.get(self.network, self.mirrored).items() if not path.endswith("moving_variance")}
        return {"loss": np.array(loss), **gradients, **after}


class Convolution:
    """One convolution, as contest/layer.py's; variant: "contiguous" or "channels_last"."""

    def __init__(
        self, kernel: int, strides: int, inputs: int, outputs: int, size: int, batch: int, depthwise: bool, parts: Sequence[str], variant: str = "contiguous"
    ):
        x, w, dy = convolution(kernel, strides, inputs, outputs, size, batch, depthwise)
        low, high = same_borders(size, kernel, strides)
        self.mirrored = low != high  # see contest/inputs.py
        order = torch.channels_last if variant == "channels_last" else torch.contiguous_format
        self.layer = nn.Conv2d(inputs, outputs, kernel, strides, kernel // 2, groups=inputs if depthwise else 1, bias=False).to(memory_format=order)
        with torch.no_grad():
            self.layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights.to_torch(self.layer, "kernel", w, self.mirrored))))
        self.x, self.dy = (self._image(a).contiguous(memory_format=order) for a in (x, dy))
        self.parts = {part: getattr(self, part) for part in parts}

    def _image(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array[:, ::-1, ::-1] if self.mirrored else array)).permute(0, 3, 1, 2)

    def forward(self) -> torch.Tensor:
        with torch.inference_mode():
            return self.layer(self.x)

    def data(self) -> torch.Tensor:
        return self._backward(True, False)[0]

    def weights(self) -> torch.Tensor:
        return self._backward(False, True)[1]

    def _backward(self, *wanted: bool) -> tuple:
        c = self.layer
        with torch.inference_mode():
            facts = (None, c.stride, c.padding, c.dilation, False, (0, 0), c.groups, (*wanted, False))
            return torch.ops.aten.convolution_backward(self.dy, self.x, c.weight, *facts)

    def show(self) -> dict[str, np.ndarray]:
        found = {part: run().numpy() for part, run in self.parts.items()}
        for part, value in found.items():
            if part == "weights":
                found[part] = weights.to_ours(self.layer, "kernel", value, self.mirrored)
            else:
                value = value.transpose(0, 2, 3, 1)
                found[part] = value[:, ::-1, ::-1] if self.mirrored else value
        return found


def facts() -> dict:
    return {"versions": {"torch": torch.__version__}, "threads": torch.get_num_threads(), "isa": torch.backends.cpu.get_cpu_capability()}


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    serve({"network": Network, "convolution": Convolution}, facts)
