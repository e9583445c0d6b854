"""numbacnn: convolutional networks in Python alone. Numba kernels on the CPU, layers as plugins, weights in HDF5.

import numbacnn as nn

Every name is imported when it is first used: `nn.Conv2D`, and just so any plugin's layer, `nn.Mish`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    "Model": "model",
    "Sequential": "sequential",
    "Input": "model",
    "Prediction": "prediction",
    "build": "loading",
    "keras_application": "keras_applications",
    "load": "loading",
    "pretrained": "zoo",
    "describe": "store.describe",
    "Description": "store.describe",
    "set_random_seed": "model",
    "image_folder": "data.batches",
    "Dataset": "data.batches",
    "Preprocess": "data.preprocess",
    "Callback": "train.callbacks",
    "RunFolder": "train.run_folder",
    "ChooseThresholds": "train.multi_label",
    "Constant": "init",
    **dict.fromkeys(("OneCycle", "Cosine", "Step", "WarmUp", "Schedule"), "train.schedules"),
    **dict.fromkeys(("ReduceLROnPlateau", "EarlyStopping"), "train.plateau"),
    **dict.fromkeys(("L1", "L2", "L1L2"), "regularizers"),
    **dict.fromkeys(("GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal", "Zeros", "Ones", "Orthogonal"), "init"),
    **dict.fromkeys(("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling"), "init"),
    **dict.fromkeys(("Layer", "Elementwise", "PerChannel", "Weight", "option"), "layer"),
    **dict.fromkeys(("NumbacnnError", "ShapeError", "ConfigError", "UnknownNameError", "PluginError", "ContractError"), "errors"),
    **dict.fromkeys(("FileError", "DataError", "DeviceError", "NotFiniteError"), "errors"),
}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"numbacnn.{_NAMES[name]}"), name)
    if not name.startswith("_") and not name.islower():  # modules are lower case
        registry = importlib.import_module("numbacnn.registry")
        for group in (registry.layers, registry.losses, registry.optimizers, registry.metrics, registry.augmentations):
            if name in group:
                return group[name]
            if isinstance(off := group.unknown(name), registry.PluginError):  # NUMBACNN_DISABLE_PLUGINS
                raise AttributeError(str(off))
    raise AttributeError(f"module 'numbacnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    registry = importlib.import_module("numbacnn.registry")
    return sorted({*globals(), *_NAMES, *registry.layers, *registry.optimizers})
