"""Weights and pictures by rule, the same on both sides of a comparison: nothing but numpy, so that the Keras side can import it."""

import math
from collections.abc import Iterable

import numpy as np

RANGES = {  # of a weight by the last part of its path
    "gamma": (0.5, 1.5),
    "beta": (-0.2, 0.2),
    "bias": (-0.2, 0.2),
    "moving_mean": (-0.2, 0.2),
    "moving_variance": (0.5, 1.5),
    "mean": (0.3, 0.6),  # of a Normalization layer, for pixels of 0..1
    "variance": (0.05, 0.1),
    "count": (1.0, 1.0),
}


def gain(network: str) -> float:
    """Of its kernels: 2 keeps the variance through a ReLU. EfficientNetV2's sums then grow so much that the sigmoids of its squeeze-and-excite are
    steps, and no two float32 computations agree on the side of a step.
    """
    return 1.5 if network.startswith("EfficientNetV2") else 2.0


def weights(specs: Iterable[tuple[str, tuple[int, ...]]], seed: int, network: str) -> list[np.ndarray]:
    """Arrays for (path, shape) pairs, in order; statistics of normalizations are far from 0 and 1."""
    generator = np.random.Generator(np.random.PCG64(seed))
    made = []
    for path, shape in specs:
        name = path.rpartition("/")[2]
        if name.endswith("kernel"):
            fan = math.prod(shape[:2]) if len(shape) == 4 and shape[3] == 1 else math.prod(shape[:-1])  # depthwise kernels see one channel
            high = math.sqrt(3 * gain(network) / fan)
            low = -high
        else:
            low, high = RANGES.get(name, RANGES["gamma"])  # Keras' LayerScale leaves its gamma unnamed
        made.append(np.float32(low) + np.float32(high - low) * generator.random(shape, np.float32))
    return made


def pictures(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """uint8 (count, height, width, 3): squares of 16 pixels in random colours, with noise."""
    generator = np.random.Generator(np.random.PCG64(seed))
    squares = generator.integers(0, 216, (count, size[0] // 16 + 1, size[1] // 16 + 1, 3), np.uint8)
    flat = squares.repeat(16, 1).repeat(16, 2)[:, : size[0], : size[1]]
    return flat + generator.integers(0, 40, flat.shape, np.uint8)
