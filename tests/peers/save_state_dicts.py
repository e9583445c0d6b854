"""Run by the peers' Python (see test_torch_files.py): networks of benchmarks/peers with weights that nothing can hide behind, saved
by torch.save in every way, and what PyTorch computes with them.  Arguments: folder, names of networks."""

import re
import sys
from pathlib import Path

import numpy as np
import torch
from peers.networks import NETWORKS

SIZE, CLASSES, BATCH = 64, 10, 3


def torchvision_name(name: str) -> str:
    """A weight of networks/resnet18.py as torchvision calls it."""
    name = re.sub(r"stem_(conv|bn)", r"\g<1>1", name).replace("predictions", "fc")
    name = re.sub(r"stage(\d)_block(\d)\.shortcut_(conv|bn)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.{int(m[3] == 'bn')}", name)
    return re.sub(r"stage(\d)_block(\d)\.(\d)_(conv|bn)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[4]}{m[3]}", name)


@torch.no_grad()
def main(folder: Path, names: list[str]) -> None:
    torch.manual_seed(0)
    x = torch.randn(BATCH, 3, SIZE, SIZE)
    shown = {"x": x.permute(0, 2, 3, 1).numpy()}
    for name in names:
        network = NETWORKS[name](SIZE, 3, CLASSES).eval()
        for key, value in network.state_dict().items():
            if key.endswith(("running_var", "bn.weight")):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point() and value.ndim == 1:
                value.normal_(0, 0.1)
        shown[name] = network(x).numpy()
        state = network.state_dict()
        torch.save(state, folder / f"{name}.pth")
        torch.save({"epoch": 1, "model": torch.nn.DataParallel(network).state_dict()}, folder / f"{name}_stream.pth", _use_new_zipfile_serialization=False)
        if name == "resnet18":
            # torchvision lists a block's shortcut behind its convolutions, networks/resnet18.py before them
            state = dict(sorted(((torchvision_name(k), v) for k, v in state.items()), key=lambda item: "downsample" in item[0]))
            torch.save(state, folder / f"{name}_torchvision.pth")
            torch.save({k: v.half() for k, v in state.items()}, folder / f"{name}_half.pth")
    np.savez(folder / "shown.npz", **shown)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
