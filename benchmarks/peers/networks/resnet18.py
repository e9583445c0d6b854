"""ResNet-18 (He et al., 2015), as torchvision has it."""

import torch
from torch import nn


def normalized(parent: nn.Module, name: str, inputs: int, outputs: int, kernel: int, strides: int) -> None:
    """Give `parent` a convolution and the batch normalization behind it."""
    parent.add_module(f"{name}_conv", nn.Conv2d(inputs, outputs, kernel, strides, kernel // 2, bias=False))
    parent.add_module(f"{name}_bn", nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1))


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, strides: int):
        super().__init__()
        self.widens = strides > 1 or inputs != outputs
        if self.widens:
            normalized(self, "shortcut", inputs, outputs, 1, strides)
        normalized(self, "1", inputs, outputs, 3, strides)
        normalized(self, "2", outputs, outputs, 3, 1)

    def run(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.get_submodule(f"{name}_bn")(self.get_submodule(f"{name}_conv")(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.run("shortcut", x) if self.widens else x
        y = self.run("2", torch.relu_(self.run("1", x)))
        return torch.relu_(y.add_(shortcut))


class ResNet18(nn.Module):
    def __init__(self, size: int, channels: int, classes: int):
        super().__init__()
        normalized(self, "stem", channels, 64, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, outputs in enumerate((64, 128, 256, 512), 1):
            for block in (1, 2):
                self.add_module(f"stage{stage}_block{block}", Block(inputs, outputs, 2 if stage > 1 and block == 1 else 1))
                inputs = outputs
        self.predictions = nn.Linear(512, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu_(self.stem_bn(self.stem_conv(x))))
        for block in self.children():
            x = block(x) if isinstance(block, Block) else x
        return self.predictions(x.mean((2, 3)))
