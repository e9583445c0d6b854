"""Folders -> which files, which class, which split. Nothing is opened here."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from ..errors import DataError, UnknownNameError

_NAMES = "png apng jpg jpeg jpe jfif gif bmp dib webp tif tiff ppm pgm pbm pnm jp2 j2k avif avifs tga pcx ico sgi qoi dds"
EXTENSIONS = frozenset(f".{name}" for name in _NAMES.split())
VALID = ("valid", "val", "validation")
SYSTEMS = ("__MACOSX", "Thumbs.db", "desktop.ini")  # operating systems put them there, unasked


@dataclass(frozen=True)
class Images:
    """Image files and the number of the class of each. others: files beside them that are not named like images."""

    classes: tuple[str, ...]
    paths: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

    def select(self, indices: Sequence[int]) -> Self:
        """Those at `indices`, with all classes."""
        return replace(self, paths=[self.paths[i] for i in indices], labels=[self.labels[i] for i in indices], others=[])

    def numbers(self) -> set[int]:
        """Of the classes that there is an image of."""
        return set(self.labels)

    def having(self, number: int) -> list[Path]:
        """The images of one class."""
        return [path for path, label in zip(self.paths, self.labels, strict=True) if label == number]

    def targets(self) -> np.ndarray:
        """int64 (N,): what a network learns, the number of each image's class."""
        return np.array(self.labels, np.int64)


def find_splits(folder: str | os.PathLike) -> tuple[Images, Images | None]:
    """(train, valid) of a folder that holds a folder a class, or train/ and valid/ of those; valid is None where the folder has no valid/.

    Class folders are sorted by name, files by path below them; hidden ones and those of operating systems are left out.
    Raises DataError: no such folder, an empty one, one class only, a class without images, classes in valid/ that train/ lacks.
    """
    folder, splits = _layout(folder)
    if "train" not in splits:
        return _training_images(folder), None
    train = _training_images(splits["train"])
    if "valid" not in splits:
        return train, None
    unknown = sorted(p.name for p in _folders(splits["valid"]) if p.name not in train.classes)
    if unknown:
        raise DataError(
            f"{splits['valid']} has classes that {splits['train']} lacks: {', '.join(unknown)} "
            f"({UnknownNameError('class', unknown[0], train.classes)}): name the folders alike, or remove them"
        )
    return train, find_labelled(splits["valid"], train.classes)


def find_evaluation(folder: str | os.PathLike, classes: Sequence[str]) -> Images:
    """The images to evaluate a model with these classes on: of test/ if the folder has one, else of valid/, else of its class folders.

    Raises DataError: no such folder, no image, a folder whose name is none of the model's classes (with the nearest one).
    """
    folder, splits = _layout(folder, classes)
    return find_labelled(splits.get("test") or splits.get("valid") or folder, classes)


def find_labelled(folder: Path, classes: Sequence[str]) -> Images:
    """The images of a folder a class, numbered as in `classes`; classes may be missing, but not all."""
    classes = tuple(classes)
    found = Images(classes)
    for sub in _folders(folder):
        if sub.name in classes:
            _add(found, sub, classes.index(sub.name))
        elif find_images(sub):
            raise DataError(f"{sub}: {UnknownNameError('class', sub.name, classes)}: rename the folder, or take it away")
    if not found.paths:
        raise DataError(f"{folder} has no images in folders named like the classes ({', '.join(classes)}): make a folder a class and put its images there")
    return found


def find_images(folder: Path) -> list[Path]:
    """Image files at any depth, by extension, in a fixed order. Links to folders are followed, each folder once and never upwards."""
    return [p for p in _find_files(folder) if is_image(p)]


def is_image(path: Path) -> bool:
    """Whether a file's name is one of an image that we look for."""
    return path.suffix.lower() in EXTENSIONS and not _hidden(path.name)


def _find_files(folder: Path) -> list[Path]:
    above = [folder.resolve(), *folder.resolve().parents]
    return list(_walk(folder, {_identity(p) for p in above}))


def _walk(folder: Path, seen: set) -> Iterator[Path]:
    for path in _entries(folder):
        if not path.is_dir():
            yield path
        elif (identity := _identity(path)) not in seen:
            seen.add(identity)
            yield from _walk(path, seen)


def _layout(folder: str | os.PathLike, classes: Sequence[str] = ()) -> tuple[Path, dict[str, Path]]:
    """The folder, and its train, valid and test folders where it is divided into those (names are case-insensitive)."""
    folder = Path(folder)
    if not folder.exists():
        raise DataError(f"there is no folder {folder}: check the path")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file: give the folder that holds a folder a class")
    splits: dict[str, Path] = {}
    others = []
    for sub in _folders(folder):
        name = sub.name.lower()
        name = "valid" if name in VALID else name
        if name not in ("train", "valid", "test") or sub.name in classes:
            others.append(sub)
        elif name in splits:
            raise DataError(f"{folder} has both {splits[name].name}/ and {sub.name}/: keep one of them")
        else:
            splits[name] = sub
    divided = any(_folders(s) for s in splits.values())
    if others and not {"train", "valid"} <= set(splits) and not classes:
        return folder, {}  # "train" is a class beside "ship" and "plane"
    if divided and "train" not in splits and not classes and not others:
        there = " and ".join(f"{s.name}/" for s in splits.values())
        raise DataError(f"{folder} has {there}, but no train/: add it, or give a folder that holds a folder a class")
    return folder, splits if divided or {"train", "valid"} <= set(splits) else {}


def _training_images(folder: Path) -> Images:
    subs = _folders(folder)
    if not subs:
        what = "holds images, but no folder a class" if any(is_image(p) for p in _entries(folder)) else "is empty: it holds no folder a class"
        raise DataError(f"{folder} {what}; put the images of each class into a folder named like the class")
    if len(subs) == 1:
        raise DataError(f"{folder} has one class only, {subs[0].name!r}: to tell images apart takes at least two class folders")
    found = Images(tuple(s.name for s in subs))
    for label, sub in enumerate(subs):
        if not _add(found, sub, label):
            raise DataError(f"class {sub.name!r} has no images: put some into {sub}, or remove that folder")
    return found


def _add(images: Images, folder: Path, label: int) -> int:
    """Add the files of a class folder; returns how many images there were."""
    before = len(images.paths)
    for path in _find_files(folder):
        (images.paths if is_image(path) else images.others).append(path)
    count = len(images.paths) - before
    images.labels.extend([label] * count)
    return count


def _folders(folder: Path) -> list[Path]:
    return [p for p in _entries(folder) if p.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted((p for p in folder.iterdir() if not _hidden(p.name)), key=lambda p: p.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in SYSTEMS


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
