"""Checks for augmentations.

from numbacnn.testing import check_augmentation
def test_my_augmentation():
    check_augmentation(MyAugmentation(shift=0.2))
"""

from typing import Any

import numpy as np

from ..augmentations.base import Augmentation, rows
from ..kernels.augment import augment
from .stored import check_stored


def check_augmentation(augmentation: Any, seed: int = 0, images: int = 20) -> None:
    """The examination of one augmentation; raises AssertionError where it fails.

    Configuration round trip; what is done to an image depends on its own random numbers alone, and these are left as they are; pictures stay
    pictures, in color and gray: finite, from 0 to 255; it changes something, unless it is `plain`, and then nothing.
    """
    check_stored(augmentation)
    uniforms = np.random.default_rng(seed).random((images, augmentation.numbers))
    before = uniforms.copy()
    found = rows(augmentation, uniforms)
    assert np.array_equal(uniforms, before), f"{augmentation}: parameters() changes the random numbers that it is given"
    for i in (0, images - 1):
        assert np.array_equal(rows(augmentation, uniforms[i : i + 1])[0], found[i]), f"{augmentation}: what is done to image {i} depends on the others"
    determinants = found[:, 0] * found[:, 4] - found[:, 1] * found[:, 3]
    assert (np.abs(determinants) > 1e-6).all(), f"{augmentation}: it flattens pictures to a line (determinant {np.abs(determinants).min():g})"
    neutral = rows(Augmentation(), uniforms[:1])[0]
    changed = (np.abs(found - neutral) > 1e-6).any(1)
    if augmentation.plain:
        assert not changed.any(), f"{augmentation}: plain says that nothing is changed, but {changed.sum()} of {images} pictures are"
    else:
        assert len(np.unique(found, axis=0)) > 1, f"{augmentation}: it does the same to all of {images} pictures"
    for channels in (3, 1):
        pictures = np.random.default_rng(seed).integers(0, 256, (images, 9, 12, channels), dtype=np.uint8)
        y = np.full(pictures.shape, np.nan, np.float32)
        source, ones = np.arange(channels), np.ones(channels, np.float32)
        augment(pictures, np.arange(images), found, source, ones, np.zeros(channels, np.float32), y)
        assert np.isfinite(y).all() and y.min() >= 0 and y.max() <= 255, f"{augmentation}: pixels lie in {y.min():g}..{y.max():g}, not in 0..255"
