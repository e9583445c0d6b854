"""numbacnn's networks in PyTorch, from images NCHW to logits.

A module's path with '_' for '.' is the layer's name in numbacnn: ../weights.py copies by name. Some are mirrored, see contest/inputs.py.
"""

from torch import nn

from .efficientnet_lite0 import EfficientNetLite0
from .lenet import LeNet
from .mobilenet_v2 import MobileNetV2
from .resnet18 import ResNet18
from .small import Small

NETWORKS: dict[str, type[nn.Module]] = {
    "resnet18": ResNet18,
    "mobilenet_v2": MobileNetV2,
    "efficientnet_lite0": EfficientNetLite0,
    "small": Small,
    "lenet": LeNet,
}
