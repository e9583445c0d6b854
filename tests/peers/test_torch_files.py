"""Networks that live PyTorch saves compute the same here: benchmarks/peers/networks, every layout of torch.save."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.store.torch import match, read_state_dict

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from contest import ours
from contest.contestant import HERE as BENCHMARKS
from contest.contestant import NotThere, peers_python

SIZE, CLASSES = 64, 10
NETWORKS = ("resnet18", "small", "lenet")  # those whose padding is the same on all sides
FILES = (*(f"{n}{layout}" for n in NETWORKS for layout in ("", "_stream")), "resnet18_torchvision", "resnet18_half")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    try:
        python = peers_python()
    except NotThere as error:
        pytest.skip(str(error))
    made = tmp_path_factory.mktemp("torch")
    subprocess.run([python, Path(__file__).with_name("save_state_dicts.py"), made, *NETWORKS], check=True, cwd=BENCHMARKS, env={"PYTHONPATH": str(BENCHMARKS)})
    return made


def network(name: str) -> nn.Model:
    if name == "lenet":
        return ours.lenet(SIZE, 3, CLASSES)
    return nn.build(name, (SIZE, SIZE, 3), CLASSES, seed=1)


@pytest.mark.parametrize("file", FILES)
def test_a_saved_network_computes_what_pytorch_computes(folder, file):
    name, _, how = file.partition("_")
    model = network(name)
    found = match(read_state_dict(folder / f"{file}.pth"), model.graph)
    assert found.problems == [] and found.how == ("torchvision's names of resnet" if how in ("torchvision", "half") else "equal names")
    for path, array in found.weights.items():
        owner, _, weight = path.rpartition("/")
        model.handles[owner].put(weight, array)
    with np.load(folder / "shown.npz") as shown:
        error = np.abs(model.predict(shown["x"]) - shown[name]).max() / np.abs(shown[name]).max()
    assert error < (2e-3 if how == "half" else 1e-4), f"{error:.1e}"  # half precision keeps 11 bits of each weight
