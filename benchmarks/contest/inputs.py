"""Numbers that every contestant draws alike (NumPy only: the peers use this, too). Images are NHWC, kernels HWIO."""

import numpy as np

# Networks whose strided layers have TensorFlow's 'same' borders, which put the odd row and column behind the image; the peers' padding
# puts it before. Mirrored images and kernels make both the same sum, without a padding layer that would cost the peers time.
MIRRORED = {"mobilenet_v2", "efficientnet_lite0"}


def images(batch: int, size: int, channels: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch and its labels."""
    generator = np.random.default_rng(0)
    return generator.standard_normal((batch, size, size, channels), dtype=np.float32), generator.integers(0, classes, batch)


def convolution(kernel: int, strides: int, inputs: int, outputs: int, size: int, batch: int, depthwise: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(image, kernel, gradient by the result) of a convolution with 'same' borders."""
    draw, out = np.random.default_rng(0).standard_normal, -(-size // strides)
    shape = (kernel, kernel, inputs, outputs // inputs) if depthwise else (kernel, kernel, inputs, outputs)
    x = draw((batch, size, size, inputs), dtype=np.float32)
    w = draw(shape, dtype=np.float32) * np.float32(0.1)
    return x, w, draw((batch, out, out, outputs), dtype=np.float32)


def same_borders(size: int, kernel: int, strides: int) -> tuple[int, int]:
    """Zeros before and behind an axis, with TensorFlow's 'same'."""
    total = max((-(-size // strides) - 1) * strides + kernel - size, 0)
    return total // 2, total - total // 2
