"""Small models for the tests of files, with weights that nothing can hide behind."""

import numpy as np

import numbacnn as nn


def shake(model: nn.Model, seed: int) -> nn.Model:
    """Other weights everywhere: shifts are not 0, scales not 1, statistics neither."""
    drawn = np.random.default_rng(seed)
    for handle in model.handles.values():
        for name, array in handle.arrays.items():
            positive = name in ("gamma", "moving_variance", "variance", "count")
            handle.put(name, drawn.uniform(0.5, 1.5, array.shape) if positive else drawn.normal(0, 0.5, array.shape))
    return model


def named(seed: int = 0, classes: int = 5, head: str = "predictions", top: bool = True) -> nn.Model:
    """Layers with names of their own."""
    x = source = nn.Input((6, 6, 3), name="image")
    x = nn.Conv2D(4, 3, use_bias=False, name="stem_conv")(x)
    x = nn.BatchNormalization(name="stem_bn")(x)
    x = nn.ReLU(name="stem_relu")(x)
    x = nn.DepthwiseConv2D(3, padding="same", name="block1_dwconv")(x)
    x = nn.BatchNormalization(scale=False, name="block1_bn")(x)
    x = nn.GlobalAveragePooling2D(name="avg_pool")(x)
    if top:
        x = nn.Dense(classes, activation="softmax", name=head)(x)
    return shake(nn.Model(source, x, "little", seed=0), seed)


def unnamed(seed: int = 0, before: int = 0) -> nn.Model:
    """Layers whose names are made; before: how many other convolutions there are before, so that the numbers are others."""
    x = source = nn.Input((6, 6, 3))
    x = nn.Conv2D(4, 3, name=f"conv2d_{before}" if before else None)(x)
    x = nn.Conv2D(4, 3, padding="same", name=f"conv2d_{before + 1}" if before else None)(x)
    x = nn.Dense(5)(nn.Flatten()(x))
    return shake(nn.Model(source, x, seed=0), seed)


def torch_net(classes: int = 2) -> nn.Model:
    """The network of torch/fixtures/make.py, without its names."""
    layers = [nn.Input((7, 7, 2)), nn.Conv2D(4, 3, use_bias=False), nn.BatchNormalization(epsilon=1e-5), nn.ReLU()]
    layers += [nn.DepthwiseConv2D((3, 2), depth_multiplier=2), nn.PReLU(shared_axes=(1, 2)), nn.Conv2D(6, 1, groups=2)]
    layers += [nn.GroupNormalization(3, epsilon=1e-5), nn.Conv2DTranspose(3, 2, 2), nn.Flatten(), nn.Dense(3), nn.BatchNormalization(epsilon=1e-5)]
    return nn.Sequential([*layers, nn.ReLU(), nn.Dense(classes, name="fc2")], seed=0)


def weights(model: nn.Model) -> dict[str, np.ndarray]:
    """Copies of all weights by path."""
    return {path: array.copy() for path, array in model.network.weights().items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """Whether both have the same arrays, bit by bit."""
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
