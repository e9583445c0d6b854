"""Image files -> batches of float32 and labels, shuffled and augmented for training."""

import collections
import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..augmentations.base import Augmentation, augmentation, rows
from ..backends.derived import Derived
from ..errors import ConfigError, DataError
from ..kernels.augment import augment as augment_kernel
from ..kernels.augment import convert, draw
from .decode import check, decode
from .folder import Images, find_evaluation, find_splits
from .preprocess import Preprocess
from .split import split
from .tagged import tagged_evaluation, tagged_splits
from .workers import workers

MEMORY = 1 << 30  # bytes of decoded images that are kept
SHUFFLE, AUGMENT = 0x53485546, 0x41554720  # streams of random numbers, far from those that layers are numbered with
AHEAD = 2  # batches that are decoded before they are asked for


class Dataset:
    """Labelled image files as batches (x, y): x float32 (N, height, width, channels), the network's input; y int64 (N,), numbers of classes.

    Where images may have several labels (`task` is "multi_label"), y is float32 (N, classes), 1 for each label that an image has, else 0.

    classes     names of the classes, in the order of the labels
    preprocess  how files become x
    batch_size  images a batch; the last one of an epoch may be smaller
    skipped     (path, reason) of files that could not be read, as far as known: damage below an image's header shows when it is decoded

    len() is the number of batches in an epoch. What an epoch contains follows from seed and its number alone, so that training
    resumes anywhere. Iterating over the dataset gives epoch 0, then 1, and so on. Images are decoded once, by threads of low
    priority that stay ahead, and kept as uint8 where they fit into `memory` bytes, else decoded again in each epoch.

    Raises DataError where no image can be read, ConfigError for an impossible batch_size.
    """

    def __init__(
        self,
        images: Images,
        preprocess: Preprocess,
        batch_size: int = 32,
        augment: "str | Augmentation | None" = None,
        shuffle: bool = False,
        seed: int = 0,
        memory: int = MEMORY,
        skipped: Sequence[tuple[Path, str]] = (),
    ):
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f"batch_size={batch_size!r} must be an integer of at least 1")
        self.classes, self.preprocess, self.batch_size = images.classes, preprocess, batch_size
        self.augment, self.shuffle, self.seed = augmentation(augment), shuffle, seed
        self.skipped = list(skipped)
        self._paths, self._labels = images.paths, images.targets()
        self._usable = np.ones(len(self._paths), bool)
        self._pixels = np.empty((len(self._paths), *preprocess.shape), np.uint8) if self.bytes <= memory else None
        self._decoded = np.zeros(len(self._paths), bool)
        self._epoch = 0

    @property
    def paths(self) -> list[Path]:
        """The files, those left out that turned out to be unreadable: what an unshuffled epoch gives, in its order."""
        return [p for p, usable in zip(self._paths, self._usable, strict=True) if usable]

    @property
    def labels(self) -> np.ndarray:
        """y of each of `paths`."""
        return self._labels[self._usable]

    @property
    def task(self) -> str:
        """single_label: one label an image; multi_label: any number of labels."""
        return "single_label" if self._labels.ndim == 1 else "multi_label"

    @property
    def images(self) -> int:
        """How many images an epoch has."""
        return int(self._usable.sum())

    @property
    def bytes(self) -> int:
        """Size of all decoded images."""
        return len(self._paths) * int(np.prod(self.preprocess.shape))

    def __len__(self) -> int:
        return -(-self.images // self.batch_size)

    def __repr__(self):
        return f"<Dataset of {self.images} images in {len(self.classes)} classes, {len(self)} batches of {self.batch_size}>"

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self._epoch += 1
        return self.epoch(self._epoch - 1)

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of one epoch. The same number gives the same batches, bit for bit."""
        return (batch for _, batch in self.indexed(number))

    def derived(self, number: int) -> Iterator[tuple[Derived, np.ndarray]]:
        """The same batches for a plan, which makes x itself from the decoded images."""
        return (batch for _, batch in self._indexed(number))

    def indexed(self, number: int) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
        """(samples, batch) of one epoch: which of all files the images of each batch are, and `epoch`'s batch."""
        return ((samples, (np.asarray(x), y)) for samples, (x, y) in self._indexed(number))

    def _indexed(self, number: int) -> Iterator[tuple[np.ndarray, tuple[Derived, np.ndarray]]]:
        clock = np.array([self.seed, number]).astype(np.uint64)
        count = 0
        for indices, pixels in self._batches(self._order(clock)):
            count += len(indices)
            yield indices, (self._input(indices, pixels, clock), self._labels[indices])
        if not count:
            path, reason = self.skipped[-1] if self.skipped else ("no file", "there is none")
            raise DataError(f"none of {len(self._paths)} images can be read; the last one: {path}: {reason}")

    @property
    def fixed(self) -> bool:
        """Whether an image is the same in every epoch, so that what a frozen network makes of it can be kept."""
        return self.augment.plain

    @property
    def samples(self) -> int:
        """How many numbers `indexed` and `rows` give samples; unreadable ones have theirs, too."""
        return len(self._paths)

    def rows(self, number: int) -> Iterator[np.ndarray]:
        """The samples of each batch of an epoch, as far as it is known which can be read; nothing is decoded."""
        order = self._order(np.array([self.seed, number]).astype(np.uint64))
        order = order[self._usable[order]]
        return (order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size))

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A batch of these samples, not augmented. Raises DataError for one that cannot be read."""
        kept = self._pixels is not None and self._decoded[rows].all()
        pixels = self._pixels[rows] if kept else np.stack([decode(self._paths[i], self.preprocess) for i in rows])
        return self.preprocess.apply(pixels), *self.answers(rows)

    def answers(self, rows: np.ndarray) -> tuple[np.ndarray]:
        """What their batch holds behind x."""
        return (self._labels[rows],)

    @contextlib.contextmanager
    def prefetch(self, number: int) -> Iterator[None]:
        """Decode an epoch's first images in the background, while the caller does something else inside the `with`."""
        if self._pixels is None:
            yield
            return
        order = self._order(np.array([self.seed, number]).astype(np.uint64))
        with workers() as pool:
            for index in order[self._usable[order]][: (AHEAD + 1) * self.batch_size].tolist():
                if not self._decoded[index]:
                    pool.submit(self._decode, index)  # one that fails is met again, and then listed
            yield

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the first batch."""
        return (min(self.batch_size, self.images), *self.preprocess.shape)

    def _order(self, clock: np.ndarray) -> np.ndarray:
        everything = np.arange(len(self._paths))
        if not self.shuffle:
            return everything
        keys = np.empty((len(everything), 1))
        draw(everything, clock, SHUFFLE, keys)
        return np.argsort(keys[:, 0], kind="stable")

    def _input(self, indices: np.ndarray, pixels: np.ndarray | None, clock: np.ndarray) -> Derived:
        """The network's input, to be made from decoded images: `pixels`, or those kept where it is None."""
        preprocess = self.preprocess
        images, places = (self._pixels, indices) if pixels is None else (pixels, np.arange(len(indices)))
        if self.augment.plain:
            return Derived(convert, images, places, (preprocess.table, preprocess.source), preprocess.shape)
        uniforms = np.empty((len(indices), self.augment.numbers))
        draw(indices, clock, AUGMENT, uniforms)
        scale, shift = preprocess.scale / np.array(preprocess.std), -np.array(preprocess.mean) / preprocess.std
        facts = (rows(self.augment, uniforms), preprocess.source, scale.astype(np.float32), shift.astype(np.float32))
        return Derived(augment_kernel, images, places, facts, preprocess.shape)

    def _batches(self, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """(indices, their pixels or None where those are kept). Unreadable images are left out and the next ones move up, so that
        it makes no difference whether they are known already."""
        batch: list[int] = []
        pixels: list[np.ndarray] = []
        with workers() as pool:
            for index, image in self._images(order, pool):
                batch.append(index)
                pixels.append(image)
                if len(batch) == self.batch_size:
                    yield self._batch(batch, pixels)
                    batch, pixels = [], []
        if batch:
            yield self._batch(batch, pixels)

    def _batch(self, batch: list[int], pixels: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        return np.array(batch), None if self._pixels is not None else np.stack(pixels)

    def _images(self, order: np.ndarray, pool: ThreadPoolExecutor) -> Iterator[tuple[int, np.ndarray | None]]:
        """Readable images in order, each decoded; those of the next AHEAD batches are under way."""
        waiting: collections.deque[tuple[int, Future | None]] = collections.deque()
        for index in order[self._usable[order]].tolist():
            waiting.append((index, None if self._decoded[index] else pool.submit(self._decode, index)))
            if len(waiting) > AHEAD * self.batch_size:
                yield from self._ready(*waiting.popleft())
        while waiting:
            yield from self._ready(*waiting.popleft())

    def _ready(self, index: int, future: Future | None) -> Iterator[tuple[int, np.ndarray | None]]:
        try:
            yield index, future and future.result()
        except DataError as error:
            if self._usable[index]:
                self._usable[index] = False
                self.skipped.append((self._paths[index], error.reason))

    def _decode(self, index: int) -> np.ndarray | None:
        pixels = decode(self._paths[index], self.preprocess)
        if self._pixels is None:
            return pixels
        self._pixels[index], self._decoded[index] = pixels, True
        return None


def image_folder(
    path: str | os.PathLike,
    size: int | tuple[int, int] = 64,
    valid: float = 0.2,
    batch_size: int = 32,
    augment: "str | Augmentation | None" = "light",
    seed: int = 0,
    color: str = "rgb",
    preprocess: Preprocess | None = None,
    memory: int = MEMORY,
    labels: str | os.PathLike | None = None,
) -> tuple[Dataset, Dataset | None]:
    """(train, valid) from a folder that holds a folder a class, or train/ and valid/ (val, validation) of those; or from a table of labels.

    size        height and width of x; images are stretched to it
    valid       fraction of each class that is kept for validation, split by content and seed; without meaning where the folder
                has train/ and valid/. 0: the second result is None
    augment     "none", "light", "full", a plugin's name or an Augmentation; only for train, which is also shuffled
    color       "rgb" or "gray"
    preprocess  what a model that exists already wants, in place of size and color
    memory      bytes of decoded images that are kept
    labels      a CSV file, here or in the folder, with the columns file (below the folder) and labels (any number, separated by ";"),
                and perhaps is_valid (True or False) for the split: then only it says what is an image of what (`data/labels.py`),
                and y is float32 (N, labels), 1 or 0

    Raises DataError (an empty folder, one class, a class without readable images, …), ConfigError, UnknownNameError.
    """
    if not 0 <= valid < 1:
        raise ConfigError(f"valid={valid!r} must be at least 0 and below 1: the fraction of images that is kept for validation")
    preprocess = preprocess or Preprocess(size, color)
    chosen = augmentation(augment)
    all_train, all_valid = find_splits(path) if labels is None else tagged_splits(path, labels)
    train, skipped = _readable(all_train)
    if empty := sorted(set(range(len(train.classes))) - train.numbers()):
        bad = all_train.having(empty[0])[0]
        raise DataError(f"class {train.classes[empty[0]]!r} has no image that can be read, for example {bad}: {dict(skipped)[bad]}")
    held, held_skipped = (None, []) if all_valid is None else _readable(all_valid)
    if held is None and valid:
        kept, chosen_for_valid = split(train.paths, train.labels, valid, seed)
        train, held = train.select(kept), train.select(chosen_for_valid)
    first = Dataset(train, preprocess, batch_size, chosen, True, seed, memory, skipped)
    if held is None:
        return first, None
    left = memory - first.bytes if first.bytes <= memory else memory
    return first, Dataset(held, preprocess, batch_size, None, False, seed, left, held_skipped)


def evaluation_folder(
    path: str | os.PathLike, classes: Sequence[str], preprocess: Preprocess, batch_size: int = 32, labels: str | os.PathLike | None = None
) -> Dataset:
    """The images to evaluate a model on, neither shuffled nor augmented: of test/ if the folder has one, else of valid/, else of its class folders.

    labels: a table as for `image_folder`; then the images for validation if it says which those are, else all.
    Raises DataError: no such folder, no readable image, folders or labels that are none of `classes`.
    """
    images, skipped = _readable(find_evaluation(path, classes) if labels is None else tagged_evaluation(path, labels, classes))
    return Dataset(images, preprocess, batch_size, skipped=skipped)


def _readable(images: Images) -> tuple[Images, list[tuple[Path, str]]]:
    """The images whose header can be read, and (path, reason) of all other files, images by name first."""
    with workers() as pool:
        reasons = list(pool.map(check, images.paths))
    skipped = [(p, r) for p, r in zip(images.paths, reasons, strict=True) if r is not None]
    if len(skipped) == len(images.paths):
        raise DataError(f"none of {len(skipped)} files can be read as an image; the first one: {skipped[0][0]}: {skipped[0][1]}")
    skipped += [(p, f"not named like an image ({p.suffix or 'no extension'})") for p in images.others]
    return images.select([i for i, r in enumerate(reasons) if r is None]), skipped
