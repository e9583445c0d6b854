"""Networks of the layers that are copied, once with the built-in ones and once with the copies; everything else in them is the same, names included."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

import numbacnn as nn
from numbacnn import registry
from numbacnn.functional import Symbol

from .copier import LAYERS


def kit(prefix: str = "") -> SimpleNamespace:
    """The three classes by their built-in names, and `relu`, what stands behind `activation=`; with PREFIX their copies."""
    return SimpleNamespace(relu=f"{prefix}ReLU", **{name: registry.layers[prefix + name] for name in LAYERS})


def inverted_residual(layers: SimpleNamespace, x: Symbol, wide: int, filters: int, strides: int, name: str) -> Symbol:
    """MobileNetV2's block: expand by 1x1, filter each channel by 3x3, project by 1x1, and the shortcut where the shape stays."""
    y = nn.Conv2D(wide, 1, use_bias=False, name=f"{name}_expand")(x)
    y = layers.ReLU(max_value=6.0, name=f"{name}_expand_relu")(layers.BatchNormalization(name=f"{name}_expand_bn")(y))
    y = layers.DepthwiseConv2D(3, strides, "same", name=f"{name}_filter")(y)
    y = layers.ReLU(max_value=6.0, name=f"{name}_filter_relu")(layers.BatchNormalization(name=f"{name}_filter_bn")(y))
    y = layers.BatchNormalization(name=f"{name}_project_bn")(nn.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(y))
    return nn.Add(name=f"{name}_add")([x, y]) if x.shape == y.shape else y


def network(layers: SimpleNamespace, x: Symbol, channels: int, classes: int) -> Symbol:
    """A small network in which each layer is used in each way: fused and by itself, as a clamp, as a function, by name, with a shortcut."""
    y = nn.Conv2D(channels, 1, activation=layers.relu, name="stem")(x)
    y = inverted_residual(layers, y, 2 * channels, channels, 1, "block1")
    y = inverted_residual(layers, y, 2 * channels, channels, 2, "block2")
    y = layers.ReLU(negative_slope=0.1, name="leaky")(nn.Conv2D(channels, 1, name="mix")(y))
    y = layers.ReLU(name="first")(layers.BatchNormalization(name="alone", center=False)(y))
    y = layers.DepthwiseConv2D(3, depth_multiplier=2, activation=layers.relu, name="doubled")(y)
    return nn.Dense(classes, name="predictions")(nn.GlobalAveragePooling2D(name="pool")(y))


def model(layers: SimpleNamespace, shape: tuple[int, ...], body: Callable[[SimpleNamespace, Symbol], Symbol], jitter: float = 0.0) -> nn.Model:
    """The same weights whatever the layers are: drawn from one seed, with up to `jitter` added to each, so that no scale is 1 and no shift 0."""
    x = nn.Input(shape, name="x")
    made = nn.Model(x, body(layers, x), seed=0)
    random = np.random.default_rng(1)
    for handle in made.layers if jitter else ():
        for name in handle.order():
            handle.put(name, handle.arrays[name] + jitter * random.random(handle.arrays[name].shape).astype(np.float32))
    return made


def pictures(count: int, shape: tuple[int, int, int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright stripe whose place tells the class: (N, H, W, C) and (N,)."""
    random = np.random.default_rng(2)
    x, labels = random.standard_normal((count, *shape)).astype(np.float32), random.integers(0, classes, count)
    for picture, label in zip(x, labels, strict=True):
        picture[label * shape[0] // classes : (label + 1) * shape[0] // classes] += 2
    return x, labels


def trained(layers: SimpleNamespace, shape: tuple[int, int, int], channels: int, classes: int, epochs: int, threads: int | None = None) -> tuple:
    """(the network after some epochs of Adam, its loss after each)."""
    made = model(layers, shape, lambda layers, x: network(layers, x, channels, classes))
    x, labels = pictures(64, shape, classes)
    made.compile(nn.Adam(0.01), "cross_entropy", device="cpu", threads=threads)
    return made, made.fit(x, labels, epochs=epochs, batch_size=16, seed=0)["train_loss"]
