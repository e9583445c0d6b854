"""EfficientNet-Lite0 (Tan and Le, 2019; the Lite variants of 2020), without dropout: what is drawn at random cannot be compared."""

import torch
from torch import nn

# repeats, kernel, strides of the first, expansion, filters
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))


def normalization(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, strides: int, expansion: int):
        super().__init__()
        inner = expansion * inputs
        self.shortcut = strides == 1 and inputs == outputs
        parts: list[tuple[str, nn.Module]] = []
        if expansion > 1:
            parts += [("expand_conv", nn.Conv2d(inputs, inner, 1, bias=False)), ("expand_bn", normalization(inner)), ("expand_activation", nn.ReLU6(True))]
        parts += [("dwconv", nn.Conv2d(inner, inner, kernel, strides, kernel // 2, groups=inner, bias=False)), ("bn", normalization(inner))]
        parts += [("activation", nn.ReLU6(True)), ("project_conv", nn.Conv2d(inner, outputs, 1, bias=False)), ("project_bn", normalization(outputs))]
        for name, part in parts:
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for part in self.children():
            y = part(y)
        return y.add_(x) if self.shortcut else y


class EfficientNetLite0(nn.Module):
    def __init__(self, size: int, channels: int, classes: int):
        super().__init__()
        self.stem_conv, self.stem_bn, self.stem_activation = nn.Conv2d(channels, 32, 3, 2, 1, bias=False), normalization(32), nn.ReLU6(True)
        inputs = 32
        for stage, (repeats, kernel, strides, expansion, outputs) in enumerate(STAGES, 1):
            for repeat in range(repeats):
                self.add_module(f"block{stage}{'abcd'[repeat]}", Block(inputs, outputs, kernel, 1 if repeat else strides, expansion))
                inputs = outputs
        self.top_conv, self.top_bn, self.top_activation = nn.Conv2d(inputs, 1280, 1, bias=False), normalization(1280), nn.ReLU6(True)
        self.predictions = nn.Linear(1280, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *body, head = self.children()
        for part in body:
            x = part(x)
        return head(x.mean((2, 3)))
