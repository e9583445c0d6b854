"""Batches that a device makes itself: what goes to it are bytes, what its plans read is what the CPU's plans read."""

import numpy as np
import pytest
from PIL import Image

import numbacnn as nn
from numbacnn.augmentations.full import Full
from numbacnn.backends import open_backend
from numbacnn.backends.cuda import CUDA
from numbacnn.backends.derived import Derived
from numbacnn.backends.simulated import Simulated
from numbacnn.data.batches import image_folder
from numbacnn.data.preprocess import Preprocess
from numbacnn.kernels.augment import draw


@pytest.fixture
def folder(tmp_path):
    """Two classes of six different images."""
    for k, name in enumerate("ab"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(6):
            pixels = np.random.default_rng(10 * k + i).integers(0, 200, (9, 12, 3), dtype=np.uint8)
            pixels[..., k] += 50
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{i}.png")
    return tmp_path / "pets"


class Counting(Simulated):
    """Adds up what is sent."""

    sent = 0

    def send(self, address, source, nbytes, stream=None):
        self.sent += nbytes
        super().send(address, source, nbytes, stream)


def input_of(backend, values, dtype=np.float32):
    """A plan's input of that size."""
    memory = backend.allocate(values.shape[0] * int(np.prod(values.shape[1:])) * np.dtype(dtype).itemsize)
    return backend.view(memory, 0, values.shape, np.dtype(dtype))


@pytest.mark.parametrize("color", ["rgb", "gray"])
@pytest.mark.parametrize("augment", ["none", "light", "full"])
def test_a_device_makes_the_same_values(folder, augment, color):
    preprocess = Preprocess((7, 5), color, mean=0.4, std=0.3, scale=1 / 255, order="bgr")
    for memory in (1 << 20, 0):  # images are kept, or decoded anew
        data, _ = image_folder(folder, valid=0, batch_size=3, augment=augment, preprocess=preprocess, memory=memory)
        driver = Counting()
        gpu, cpu, places = CUDA(driver), open_backend("cpu"), None
        for values, _ in data.derived(0):
            assert isinstance(values, Derived) and values.shape == (3, *preprocess.shape)
            places = places or [input_of(b, values) for b in (gpu, cpu)]
            before, launched = driver.sent, driver.launches
            for backend, place in zip((gpu, cpu), places, strict=True):
                backend.upload([(place, values)])
            assert driver.launches == launched + 1
            made = np.asarray(values)
            assert np.array_equal(cpu.download(places[1]), made)
            assert np.abs(gpu.download(places[0]) - made).max() < 1e-6
            assert driver.sent - before < 5 * 256 + made.size + made.shape[0] * 18 * 4 + 3 * 256 * 4  # pixels are bytes


def test_iterating_gives_arrays_of_the_same_values(folder):
    data, _ = image_folder(folder, valid=0, size=6, batch_size=5, augment="full")
    for (x, y), (values, labels) in zip(data.epoch(2), data.derived(2), strict=True):
        assert type(x) is np.ndarray and x.dtype == np.float32
        assert np.array_equal(x, np.asarray(values)) and np.array_equal(y, labels)
        assert np.asarray(values, np.float64).dtype == np.float64 and (len(values), values.ndim) == (len(x), 4)


def test_values_go_into_arrays_of_another_type(folder):
    data, _ = image_folder(folder, valid=0, size=4, batch_size=2, augment="light")
    values, _ = next(data.derived(0))
    for backend in (open_backend("cpu"), CUDA(Simulated(backwards=True))):
        place = input_of(backend, values, np.float64)
        backend.upload([(place, values)])
        assert np.abs(backend.download(place) - np.asarray(values)).max() < 1e-6


def test_arrays_and_derived_values_take_turns(folder):
    """One place may be filled either way."""
    data, _ = image_folder(folder, valid=0, size=4, batch_size=2, augment="light")
    gpu, batches = CUDA(Simulated()), data.derived(0)
    first, second, third = (np.asarray(next(batches)[0]) for _ in range(3))
    values = [v for v, _ in data.derived(0)]
    place = input_of(gpu, values[0])
    for given, expected in ((values[0], first), (second, second), (values[2], third), (values[1], second), (values[0], first)):
        gpu.upload([(place, given)])
        assert np.abs(gpu.download(place) - expected).max() < 1e-6


def test_training_on_a_device(folder, monkeypatch):
    monkeypatch.setenv("NUMBACNN_SIMULATE", "1")
    histories = []
    for device in ("cpu", "cuda"):
        train, valid = image_folder(folder, size=5, valid=0.34, batch_size=4, augment="full")
        model = nn.Sequential([nn.Input((5, 5, 3)), nn.GlobalAveragePooling2D(), nn.Dense(2)], seed=0)
        model.compile(nn.SGD(learning_rate=0.5), loss="cross_entropy", device=device)
        uploads, backend = [], model.network.backend
        monkeypatch.setattr(backend, "upload", lambda pairs, to=backend.upload, seen=uploads: (seen.extend(v for _, v in pairs), to(pairs)))
        histories.append(model.fit(train, valid, epochs=2))
        assert sum(isinstance(values, Derived) for values in uploads) == 2 * (len(train) + len(valid))
    for column in ("train_loss", "valid_loss"):
        assert np.allclose(histories[0][column], histories[1][column], rtol=1e-5)


def test_random_numbers_of_images():
    clock, indices = np.array([7, 3], np.uint64), np.array([4, 0, 9])
    cpu, gpu = np.empty((3, Full.numbers)), np.empty((3, Full.numbers))
    draw(indices, clock, 5, cpu)
    draw.on_gpu.simulate((indices, clock, 5, gpu))
    assert np.array_equal(cpu, gpu)
