"""numbacnn as a contestant: `python -m contest.ours`, in benchmarks/."""

import os
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np

import numbacnn as nn
from numbacnn import jit
from numbacnn.plan import Plan

from .inputs import images
from .layer import Convolution
from .machine import Machine
from .worker import serve

THREADS = int(os.environ.get("CONTEST_THREADS", "2"))
LEARNING_RATE, MOMENTUM = 0.01, 0.9
OPTIONS = {"small": {"dropout": 0.0}, "efficientnet_lite0": {"dropout": 0.0}}  # what is drawn at random cannot be compared


def lenet(size: int, channels: int, classes: int) -> nn.Sequential:
    """Two 5x5 convolutions with pooling, two dense layers: the classic for digits, after LeCun et al., 1998."""
    return nn.Sequential(
        [
            nn.Input((size, size, channels)),
            nn.Conv2D(32, 5, padding="same", name="conv1"),
            nn.ReLU(),
            nn.MaxPooling2D(2),
            nn.Conv2D(64, 5, padding="same", name="conv2"),
            nn.ReLU(),
            nn.MaxPooling2D(2),
            nn.Flatten(),
            nn.Dense(1024, name="dense1"),
            nn.ReLU(),
            nn.Dense(classes, name="dense2"),
        ],
        seed=0,
    )


def built(network: str, size: int, channels: int, classes: int) -> nn.Model:
    """A network by name, its weights always the same ones."""
    if network == "lenet":
        return lenet(size, channels, classes)
    return nn.build(network, (size, size, channels), classes, seed=0, **OPTIONS.get(network, {}))


def calibrate(model: nn.Model, x: np.ndarray) -> None:
    """Give batch normalizations the statistics of x, so that a network at rest has activations of ordinary size."""
    nodes = [replace(n, layer=replace(n.layer, momentum=0.0)) if hasattr(n.layer, "momentum") else n for n in model.graph.nodes]
    weights, owners = model.network.weights(), frozenset(model.handles)
    plan = Plan(replace(model.graph, nodes=tuple(nodes)), len(x), weights, model.network.backend, training=True, trainable=owners, input_gradients=False)
    plan.run([x], shares=[np.zeros(plan.trace.seeds[0].shape)])


class Network:
    """A whole network on one batch: a training step (SGD with momentum, cross-entropy) or the outputs at rest.

    `folder` receives weights.npz for the peers; without it nothing is written, nor calibrated.
    """

    def __init__(self, network: str, task: str, batch: int, size: int, channels: int = 3, classes: int = 1000, folder: str | None = None):
        self.x, self.labels = images(batch, size, channels, classes)
        self.model = built(network, size, channels, classes)
        self.model.network.use("cpu", THREADS)
        if folder:
            calibrate(self.model, self.x)
            np.savez(Path(folder) / "weights.npz", **self.model.network.weights())
        if task == "training":
            self.model.compile(nn.SGD(LEARNING_RATE, momentum=MOMENTUM), "cross_entropy", threads=THREADS)
        self.task = task
        self.parts = {task: self.train if task == "training" else self.predict}

    def train(self) -> dict[str, float]:
        return self.model.train_on_batch(self.x, self.labels)

    def predict(self) -> np.ndarray:
        return self.model.predict(self.x)

    def show(self) -> dict[str, np.ndarray]:
        """The loss, the gradients and the weights after the first step; or the outputs."""
        if self.task != "training":
            return {"output": self.predict()}
        loss = self.train()["loss"]
        state = self.model.session.state()  # the momentum is -learning rate * gradient after one step
        weights = self.model.network.weights()
        gradients = {f"gradient {path}": flat.reshape(weights[path].shape) / -LEARNING_RATE for (_, path), flat in state.items()}
        after = {f"weight {path}": w for path, w in weights.items() if not path.endswith("moving_variance")}  # PyTorch's is unbiased
        return {"loss": np.array(loss), **gradients, **after}


def facts() -> dict:
    import llvmlite
    import numba

    versions = {"python": platform.python_version(), "numbacnn": nn.__version__, "numba": numba.__version__, "llvmlite": llvmlite.__version__}
    jit.set_threads(THREADS)
    return {"versions": versions | {"numpy": np.__version__}, "threads": THREADS, "layer": _threading_layer()}


def _threading_layer() -> str:
    jit.threads_may_enter_together()  # looks at the layer, which exists once a kernel has run
    import numba

    return numba.threading_layer()


if __name__ == "__main__":
    serve({"network": Network, "convolution": Convolution, "machine": lambda: Machine(THREADS)}, facts)
