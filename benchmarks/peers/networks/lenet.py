"""Two 5x5 convolutions with pooling, two dense layers (after LeCun et al., 1998)."""

import torch
from torch import nn


class LeNet(nn.Module):
    def __init__(self, size: int, channels: int, classes: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 32, 5, 1, 2), nn.Conv2d(32, 64, 5, 1, 2)
        self.pool = nn.MaxPool2d(2)
        side = size // 4
        self.dense1, self.dense2 = nn.Linear(64 * side * side, 1024), nn.Linear(1024, classes)
        self.dense1.flattened = (64, side, side)  # the image that its input was: weights.py sorts numbacnn's NHWC rows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu_(self.conv1(x)))
        x = self.pool(torch.relu_(self.conv2(x)))
        return self.dense2(torch.relu_(self.dense1(x.flatten(1))))
