"""MobileNetV2 (Sandler et al., 2018), with the names of keras.applications."""

import torch
from torch import nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def normalization(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.001)


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, strides: int, expansion: int, expand: bool):
        super().__init__()
        inner = expansion * inputs
        self.shortcut = strides == 1 and inputs == outputs
        parts: list[tuple[str, nn.Module]] = []
        if expand:
            parts += [("expand", nn.Conv2d(inputs, inner, 1, bias=False)), ("expand_BN", normalization(inner)), ("expand_relu", nn.ReLU6(True))]
        parts += [("depthwise", nn.Conv2d(inner, inner, 3, strides, 1, groups=inner, bias=False)), ("depthwise_BN", normalization(inner))]
        parts += [("depthwise_relu", nn.ReLU6(True)), ("project", nn.Conv2d(inner, outputs, 1, bias=False)), ("project_BN", normalization(outputs))]
        for name, part in parts:
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for part in self.children():
            y = part(y)
        return y.add_(x) if self.shortcut else y


class MobileNetV2(nn.Module):
    def __init__(self, size: int, channels: int, classes: int):
        super().__init__()
        self.Conv1, self.bn_Conv1, self.Conv1_relu = nn.Conv2d(channels, 32, 3, 2, 1, bias=False), normalization(32), nn.ReLU6(True)
        inputs, number = 32, 0
        for expansion, outputs, repeats, strides in STAGES:
            for repeat in range(repeats):
                name = f"block_{number}" if number else "expanded_conv"
                self.add_module(name, InvertedResidual(inputs, outputs, 1 if repeat else strides, expansion, number > 0))
                inputs, number = outputs, number + 1
        self.Conv_1, self.Conv_1_bn, self.out_relu = nn.Conv2d(inputs, 1280, 1, bias=False), normalization(1280), nn.ReLU6(True)
        self.predictions = nn.Linear(1280, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *body, head = self.children()
        for part in body:
            x = part(x)
        return head(x.mean((2, 3)))
