"""What an augmentation draws, and what the kernel makes of it."""

import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from numbacnn import registry
from numbacnn.augmentations.base import Augmentation, compose, rows
from numbacnn.augmentations.full import Full
from numbacnn.augmentations.light import Light
from numbacnn.augmentations.none import NoAugmentation
from numbacnn.errors import ConfigError
from numbacnn.kernels.augment import augment, draw

NEUTRAL = {"zoom": 1, "shift_x": 0, "shift_y": 0, "flip": False, "rotation": 0, "brightness": 1, "contrast": 1, "saturation": 1}


def one_row(**changes):
    return compose(**{name: np.array([value]) for name, value in (NEUTRAL | changes).items()})


def run(images, row, source=(0, 1, 2), scale=1.0, shift=0.0):
    """Augmented pixels in 0..255 (times scale plus shift)."""
    y = np.full(images.shape, np.nan, np.float32)
    channels = images.shape[-1]
    per_channel = [np.full(channels, v, np.float32) for v in (scale, shift)]
    augment(images, np.arange(len(images)), np.repeat(row, len(images), 0), np.array(source[:channels]), *per_channel, y)
    return y


def naive(image, row):
    """One image (H, W, 3), straight from the definition, in double precision."""
    height, width, _ = image.shape
    row = row.astype(float)
    result = np.empty(image.shape)
    for i in range(height):
        for j in range(width):
            place = np.array([j - (width - 1) / 2, i - (height - 1) / 2])
            x, y = row[:6].reshape(2, 3)[:, :2] @ place + row[:6].reshape(2, 3)[:, 2] * (width, height) + ((width - 1) / 2, (height - 1) / 2)
            x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
            value = np.zeros(3)
            for k in range(height):
                for m in range(width):
                    value += max(0, 1 - abs(y - k)) * max(0, 1 - abs(x - m)) * image[k, m]
            result[i, j] = np.clip(row[6:].reshape(3, 4) @ (*value, 255), 0, 255)
    return result


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 7, 10, 3), dtype=np.uint8)


def test_neutral_parameters_change_nothing(images):
    np.testing.assert_array_equal(run(images, one_row()), images)
    np.testing.assert_array_equal(run(images[..., :1].copy(), one_row(saturation=0.5)), images[..., :1])
    np.testing.assert_allclose(run(images, one_row(), (2, 1, 0), 0.5, 3.0), images[..., ::-1] * 0.5 + 3, rtol=1e-6)
    for augmentation in (Augmentation(), NoAugmentation()):
        np.testing.assert_array_equal(rows(augmentation, np.random.default_rng(0).random((1, 16))), one_row())


def test_kernel_against_the_definition(images):
    for row in rows(Full(zoom=(0.5, 2.0), shift=0.3, rotation=180, brightness=0.5, contrast=0.5, saturation=1), np.random.default_rng(1).random((8, 16))):
        np.testing.assert_allclose(run(images, row[None])[0], naive(images[0], row), atol=2e-2)


def test_each_geometric_change(images):
    np.testing.assert_array_equal(run(images, one_row(flip=True)), images[:, :, ::-1])
    moved = run(images, one_row(shift_x=0.2))  # two pixels of ten to the right; the edge is repeated
    np.testing.assert_allclose(moved[:, :, 2:], images[:, :, :-2], atol=1e-3)
    np.testing.assert_allclose(moved[:, :, 0], images[:, :, 0], atol=1e-3)
    square = np.ascontiguousarray(images[:, :7, :7])
    turned = run(square, one_row(rotation=90))
    np.testing.assert_allclose(turned, np.rot90(square, axes=(1, 2)), atol=1e-2)
    dot = np.zeros((1, 9, 9, 3), np.uint8)
    dot[0, 4, 6] = 255
    assert run(dot, one_row(zoom=2))[0, 4, 8, 0] == 255  # twice as far from the center
    np.testing.assert_allclose(run(dot, one_row(flip=True, shift_x=1 / 9))[0, 4, 3, 0], 255, atol=1e-3)  # mirrored, then to the right


def test_each_change_of_color():
    image = np.array([100, 50, 200], np.uint8).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(run(image, one_row(brightness=1.1)).ravel(), [110, 55, 220], rtol=1e-5)
    np.testing.assert_allclose(run(image, one_row(brightness=2)).ravel(), [200, 100, 255], rtol=1e-5)
    np.testing.assert_allclose(run(image, one_row(contrast=0.5)).ravel(), [114, 89, 164], rtol=1e-5)
    gray = 0.299 * 100 + 0.587 * 50 + 0.114 * 200
    np.testing.assert_allclose(run(image, one_row(saturation=0)).ravel(), [gray] * 3, rtol=1e-5)
    np.testing.assert_allclose(run(image, one_row(saturation=0.5)).ravel(), (np.array([100, 50, 200]) + gray) / 2, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 1, 3), (2, 1, 5, 3), (2, 5, 1, 1), (1, 2, 2, 3)])
def test_tiny_images(shape):
    images = np.full(shape, 77, np.uint8)
    for row in rows(Full(brightness=0, contrast=0, saturation=0), np.random.default_rng(0).random((5, 16))):
        np.testing.assert_allclose(run(images, row[None]), 77, rtol=1e-5)


def test_numbers_belong_to_the_image():
    clock = np.array([7, 3], np.uint64)
    all_numbers, some, other = np.empty((100, 16)), np.empty((3, 16)), np.empty((3, 16))
    draw(np.arange(100), clock, 5, all_numbers)
    draw(np.array([42, 7, 99]), clock, 5, some)
    np.testing.assert_array_equal(some, all_numbers[[42, 7, 99]])
    assert all_numbers.min() >= 0 and all_numbers.max() < 1 and abs(all_numbers.mean() - 0.5) < 0.03
    for changed in (np.array([8, 3], np.uint64), np.array([7, 4], np.uint64)):
        draw(np.array([42, 7, 99]), changed, 5, other)
        assert (other != some).all()


def test_registered_ones_stay_in_their_ranges():
    assert set(registry.augmentations) >= {"none", "light", "full"}
    uniforms = np.random.default_rng(0).random((2000, 16))
    light, full = rows(Light(), uniforms), rows(Full(), uniforms)
    assert light[:, 0].min() >= 1 / 1.1 - 1e-6 and light[:, 0].max() <= 1 / 0.9 + 1e-6
    assert np.abs(light[:, [2, 5]]).max() <= 0.05 + 1e-6 and np.abs(light[:, [1, 3]]).max() == 0
    assert light[:, 6].min() >= 0.9 - 1e-6 and light[:, 6].max() <= 1.1 + 1e-6
    assert 0.45 < (full[:, 0] < 0).mean() < 0.55
    assert np.abs(np.rad2deg(np.arctan2(full[:, 3], full[:, 4]))).max() <= 10 + 1e-4


@pytest.mark.parametrize(
    "make",
    [
        lambda: Light(zoom=0.9),
        lambda: Light(zoom=(0.0, 1.0)),
        lambda: Light(zoom=(1.1, 0.9)),
        lambda: Light(shift=-0.1),
        lambda: Full(rotation=200),
        lambda: Full(contrast=2),
        lambda: NoAugmentation(shift=0.1),
    ],
)
def test_values_that_cannot_work(make):
    with pytest.raises(ConfigError, match=r"(Light|Full|NoAugmentation): \w+="):
        make()


@dataclass(frozen=True)
class Invert(Augmentation):
    """A plugin's: inverts some of the images."""

    share: float = 0.5

    def parameters(self, uniforms):
        row = super().parameters(uniforms)
        turned = uniforms[:, 15] < self.share
        row[turned, 6:] *= -1
        row[turned, 9::4] += 1
        return row


@dataclass(frozen=True)
class Broken(Augmentation):
    def parameters(self, uniforms):
        return np.zeros((len(uniforms), 6))


def test_a_plugin_makes_its_own_parameters(images):
    row = rows(Invert(share=1.0), np.random.default_rng(0).random((1, 16)))
    np.testing.assert_allclose(run(images, row), 255.0 - images, atol=1e-3)
    with pytest.raises(ConfigError, match=r"Broken.parameters gave shape \(4, 6\)"):
        rows(Broken(), np.zeros((4, 16)))


def test_threads_make_no_difference():
    script = """
import numpy as np
from numbacnn.jit import set_threads
from numbacnn.augmentations.base import rows
from numbacnn.augmentations.full import Full
from numbacnn.kernels.augment import augment
random = np.random.default_rng(0)
images = random.integers(0, 256, (5, 33, 31, 3), dtype=np.uint8)
row = rows(Full(), random.random((5, 16)))
found = []
for threads in (1, 2):
    set_threads(threads)
    y = np.empty(images.shape, np.float32)
    augment(images, np.arange(5), row, np.arange(3), np.full(3, 0.1, np.float32), np.ones(3, np.float32), y)
    found.append(y.tobytes())
assert found[0] == found[1]
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "NUMBACNN_SERIAL": "0"}, timeout=120)
