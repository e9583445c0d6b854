"""Whole networks against PyTorch, which lives in an environment of its own (NUMBACNN_PEERS, or .venv-peers from `make peers`)."""

import sys
from pathlib import Path

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.backends import open_backend
from numbacnn.losses.cross_entropy import CrossEntropy
from numbacnn.plan import Plan

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from contest.contestant import Contestant, NotThere
from contest.inputs import images
from contest.match import difference

BATCH, CLASSES = 4, 10
NETWORKS = {  # network -> (size of the images, options)
    "small": (32, {"dropout": 0.0}),
    "resnet18": (64, {}),
    "mobilenet_v2": (64, {}),
    "efficientnet_lite0": (64, {"dropout": 0.0}),
}
EXACT = 1e-8  # in double precision: the networks amplify rounding errors of 1e-16
TURNED = 0.1  # gradients in single precision: a ReLU that rounding turns over changes those of all layers before it by a few percent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def torch():
    try:
        contestant = Contestant.peer("PyTorch", "pytorch")
    except NotThere as error:
        pytest.skip(str(error))
    with contestant:
        yield contestant


def network(name: str, size: int, options: dict) -> nn.Model:
    """The model with weights that nothing can hide behind: shifts are not 0, scales not 1, statistics neither."""
    model = nn.build(name, (size, size, 3), CLASSES, seed=1, **options)
    generator = np.random.default_rng(2)
    for handle in model.handles.values():
        for weight, array in handle.arrays.items():
            if weight != "kernel":
                near = generator.uniform(0.5, 1.5, array.shape) if weight in ("gamma", "moving_variance") else generator.normal(0, 0.1, array.shape)
                handle.put(weight, near)
    return model


def trained(model: nn.Model, x: np.ndarray, labels: np.ndarray, dtype: type) -> dict[str, np.ndarray]:
    """Loss, gradients, and means that the batch normalizations keep, of one step without an update."""
    weights = {path: array.astype(dtype) for path, array in model.network.weights().items()}
    options = {"training": True, "trainable": frozenset(model.handles), "losses": [CrossEntropy()], "dtype": dtype, "input_gradients": False}
    plan = Plan(model.graph, BATCH, weights, open_backend("cpu"), **options)
    result = plan.run([x], [np.eye(CLASSES)[labels]], [np.full(BATCH, 1 / BATCH)])
    gradients = {f"gradient {path}": plan.weight_gradient(path) for path in plan.trace.weight_gradients}
    means = {f"mean {path}": array for path, array in weights.items() if path.endswith("moving_mean")}
    return {"loss": result.losses[0].mean(), **gradients, **means}


def rested(model: nn.Model, x: np.ndarray, dtype: type) -> dict[str, np.ndarray]:
    weights = {path: array.astype(dtype) for path, array in model.network.weights().items()}
    return {"output": Plan(model.graph, BATCH, weights, open_backend("cpu"), dtype=dtype).run([x]).outputs[0]}


def peer(torch: Contestant, folder: Path, name: str, size: int, task: str, dtype: str) -> dict[str, np.ndarray]:
    """The same of PyTorch, whose weights after the step are left out but for the means."""
    torch.prepare(name, "network", network=name, task=task, batch=BATCH, size=size, variant="contiguous", classes=CLASSES, folder=str(folder), dtype=dtype)
    shown = torch.show(name)
    torch.drop(name)
    means = {key.replace("weight ", "mean "): array for key, array in shown.items() if key.endswith("moving_mean")}
    return {key: array for key, array in shown.items() if not key.startswith("weight ")} | means


def worst(errors: dict[str, float], names: list[str]) -> float:
    return max(errors[name] for name in names)


@pytest.mark.parametrize("task", ["inference", "training"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network_computes_what_pytorch_computes(torch, tmp_path, name, task):
    size, options = NETWORKS[name]
    model = network(name, size, options)
    np.savez(tmp_path / "weights.npz", **model.network.weights())
    x, labels = images(BATCH, size, 3, CLASSES)
    single, double = ((trained(model, x, labels, t) if task == "training" else rested(model, x, t)) for t in (np.float32, np.float64))
    theirs = {t: peer(torch, tmp_path, name, size, task, t) for t in ("float32", "float64")}
    exact = difference(double, theirs["float64"])
    assert max(exact.values()) < EXACT, sorted(exact.items(), key=lambda item: -item[1])[:5]
    # What depends on the inputs smoothly must not be much farther from the truth than PyTorch's in single precision.
    mine, their = (difference(found, theirs["float64"]) for found in (single, theirs["float32"]))
    smooth = [name for name in mine if not name.startswith("gradient")]
    ours, other = worst(mine, smooth), worst(their, smooth)
    assert ours < 10 * other + 1e-5, f"numbacnn is {ours:.1e} from double precision, PyTorch {other:.1e}"
    assert np.median(list(mine.values())) < TURNED, sorted(mine.items(), key=lambda item: -item[1])[:5]
