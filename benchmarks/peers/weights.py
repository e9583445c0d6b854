"""Weights between numbacnn's layouts (HWIO, by path) and PyTorch's (OIHW, by module)."""

import numpy as np
import torch
from torch import nn

NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var", "kernel": "weight", "bias": "bias"}


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """Modules that have weights, by the name of the layer in numbacnn."""
    return {path.replace(".", "_"): m for path, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))}


def to_torch(module: nn.Module, name: str, array: np.ndarray, mirrored: bool) -> np.ndarray:
    """One weight of numbacnn's as the module keeps it."""
    if name != "kernel":
        return array
    if isinstance(module, nn.Linear):
        if hasattr(module, "flattened"):
            c, h, w = module.flattened
            array = array.reshape(h, w, c, -1).transpose(2, 0, 1, 3).reshape(c * h * w, -1)
        return array.T
    if mirrored:
        array = array[::-1, ::-1]
    if module.groups > 1:  # depthwise: (rows, columns, channels, multiplier)
        return array.transpose(2, 3, 0, 1).reshape(-1, 1, *array.shape[:2])
    return array.transpose(3, 2, 0, 1)


def to_ours(module: nn.Module, name: str, array: np.ndarray, mirrored: bool) -> np.ndarray:
    """The inverse of to_torch."""
    if name != "kernel":
        return array
    if isinstance(module, nn.Linear):
        array = array.T
        if hasattr(module, "flattened"):
            c, h, w = module.flattened
            array = array.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(c * h * w, -1)
        return array
    depthwise = module.groups > 1
    array = array.reshape(module.in_channels, -1, *array.shape[2:]).transpose(2, 3, 0, 1) if depthwise else array.transpose(2, 3, 1, 0)
    return array[::-1, ::-1] if mirrored else array


@torch.no_grad()
def put(network: nn.Module, arrays: dict[str, np.ndarray], mirrored: bool) -> None:
    """Copy all of numbacnn's weights, {layer/weight: array}, into the network; every weight of both must be met."""
    modules = layers(network)
    left = {f"{m}.{n}" for m, module in modules.items() for n, _ in (*module.named_parameters(), *module.named_buffers()) if n != "num_batches_tracked"}
    for path, array in arrays.items():
        layer, _, name = path.rpartition("/")
        getattr(modules[layer], NAMES[name]).copy_(torch.from_numpy(np.ascontiguousarray(to_torch(modules[layer], name, array, mirrored))))
        left.remove(f"{layer}.{NAMES[name]}")
    if left:
        raise ValueError(f"numbacnn has no weights for {sorted(left)}")


def get(network: nn.Module, mirrored: bool, gradients: bool = False) -> dict[str, np.ndarray]:
    """The network's weights, or the gradients by those that are trained, as numbacnn has them."""
    found = {}
    for layer, module in layers(network).items():
        ours = {"weight": "gamma", "bias": "beta"} if isinstance(module, nn.BatchNorm2d) else {"weight": "kernel", "bias": "bias"}
        ours |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
        tensors = [*module.named_parameters()] + ([] if gradients else [(n, b) for n, b in module.named_buffers() if n in ours])
        for name, tensor in tensors:
            value = (tensor.grad if gradients else tensor).detach().numpy()
            found[f"{layer}/{ours[name]}"] = to_ours(module, ours[name], value, mirrored)
    return found
