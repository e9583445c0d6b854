"""A small network in three groups, and data that it can learn."""

import numpy as np

import numbacnn as nn


def network(classes=3, normalized=True, dropout=0.0, seed=0):
    """Two convolutions and a head; with names as the zoo's have."""
    x = y = nn.Input((6, 6, 2), name="image")
    for block in ("block1", "block2"):
        y = nn.Conv2D(4, 3, padding="same", use_bias=not normalized, name=f"{block}_conv")(y)
        y = nn.BatchNormalization(momentum=0.9, name=f"{block}_bn")(y) if normalized else y
        y = nn.ReLU(name=f"{block}_relu")(y)
    y = nn.GlobalAveragePooling2D(name="avg_pool")(y)
    y = nn.Dropout(dropout, name="top_dropout")(y) if dropout else y
    return nn.Model(x, nn.Dense(classes, name="predictions")(y), seed=seed)


def samples(count=22, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    y = generator.integers(0, classes, count)
    x = generator.standard_normal((count, 6, 6, 2)).astype(np.float32) * 0.3
    x[..., 0] += (y - 1)[:, None, None]
    return x, y


def same(first, second):
    """Whether two lists of arrays are the same, bit by bit."""
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
