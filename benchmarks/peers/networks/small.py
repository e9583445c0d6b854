"""numbacnn's `small`: stages of 3x3 convolution, batch normalization and ReLU, each twice as wide as the one before; without dropout."""

import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, size: int, channels: int, classes: int, width: int = 32):
        super().__init__()
        stages = max(1, min(4, (size // 4).bit_length()))
        inputs = channels
        for stage in range(stages):
            outputs = width << stage
            for half in ("a", "b")[: 1 if stage < 2 and stages == 4 else 2]:
                name = f"stage{stage + 1}{half}"
                self.add_module(f"{name}_conv", nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False))
                self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.1))
                self.add_module(f"{name}_relu", nn.ReLU(True))
                inputs = outputs
            if stage < stages - 1:
                self.add_module(f"stage{stage + 1}_pool", nn.MaxPool2d(2))
        self.predictions = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *body, head = self.children()
        for part in body:
            x = part(x)
        return head(x.mean((2, 3)))
