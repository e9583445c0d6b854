"""A folder of pictures and a table of their labels -> which files, which labels, which split. No picture is opened here."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import DataError, UnknownNameError
from .folder import Images
from .labels import LabelTable, Row, find_table, read_labels

SHOWN = 5  # missing files that are named


@dataclass(frozen=True)
class Tagged(Images):
    """Image files with any number of labels each: `labels` holds a tuple of numbers for each file."""

    labels: list[tuple[int, ...]] = field(default_factory=list)

    def numbers(self) -> set[int]:
        return {number for own in self.labels for number in own}

    def having(self, number: int) -> list[Path]:
        return [path for path, own in zip(self.paths, self.labels, strict=True) if number in own]

    def targets(self) -> np.ndarray:
        """float32 (N, labels): 1 where the image has the label, else 0."""
        dense = np.zeros((len(self.paths), len(self.classes)), np.float32)
        for row, own in zip(dense, self.labels, strict=True):
            row[list(own)] = 1
        return dense


def tagged_splits(folder: str | os.PathLike, labels: str | os.PathLike) -> tuple[Tagged, Tagged | None]:
    """(train, valid) of the files that a table names; valid is None where its column is_valid is missing or always False.

    labels: the table's path, as it is or in the folder (see `read_labels`). The labels are sorted by name.
    Raises DataError: no such folder or table, a table that cannot be read, files that are missing or outside the folder, no label
    at all, no training image at all or none with a label that validation images have.
    """
    table = read_labels(find_table(labels, folder))
    paths = _paths(Path(folder), table)
    classes = tuple(sorted({label for row in table.rows for label in row.labels}))
    if not classes:
        raise DataError(f"{table.path}: none of {len(table.rows)} lines has a label: write labels, separated by ';', into the column for them")
    train = [row for row in table.rows if not row.valid]
    valid = [row for row in table.rows if row.valid]
    if not train:
        raise DataError(f"{table.path}: all lines are for validation, none for training: write False into some, or take that column out")
    learned = {label for row in train for label in row.labels}
    for row in valid:
        if unknown := [label for label in row.labels if label not in learned]:
            raise table.fail(row.line, f"label {unknown[0]!r} of {row.file!r} is on validation images only: add training images that have it, or take it out")
    return _tagged(classes, train, paths), _tagged(classes, valid, paths) if valid else None


def tagged_evaluation(folder: str | os.PathLike, labels: str | os.PathLike, classes: Sequence[str]) -> Tagged:
    """The files to evaluate a model with these classes on: the table's validation files if it says which they are, else all.

    Raises DataError as `tagged_splits` does, and for a label that is none of `classes` (with the nearest one).
    """
    table = read_labels(find_table(labels, folder))
    paths = _paths(Path(folder), table)
    rows = [row for row in table.rows if row.valid] or table.rows
    for row in rows:
        if unknown := [label for label in row.labels if label not in classes]:
            raise table.fail(row.line, f"{UnknownNameError('label', unknown[0], classes)}: correct it, or take it out")
    return _tagged(tuple(classes), rows, paths)


def _tagged(classes: tuple[str, ...], rows: Sequence[Row], paths: dict[str, Path]) -> Tagged:
    number = {name: i for i, name in enumerate(classes)}
    return Tagged(classes, [paths[row.file] for row in rows], [tuple(number[label] for label in row.labels) for row in rows])


def _paths(folder: Path, table: LabelTable) -> dict[str, Path]:
    """Each file that the table names, and where it is. Links below the folder are followed; names that lead out of it are refused."""
    if not folder.exists():
        raise DataError(f"there is no folder {folder}: check the path")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file: give the folder that holds the pictures that {table.path} names")
    root = os.path.join(os.path.abspath(folder), "")
    paths: dict[str, Path] = {}
    rows: dict[str, Row] = {}
    missing = []
    for row in table.rows:
        place = os.path.normpath(os.path.join(root, row.file))  # without "..", so that what is checked is what will be opened
        if not os.path.join(place, "").startswith(root):
            raise table.fail(row.line, f"{row.file!r} lies outside {folder}: files are named relative to that folder")
        if place in rows:
            first = rows[place]
            raise table.fail(row.line, f"{row.file!r} is the file on line {first.line} ({first.file!r}): keep one line a file, with all its labels")
        rows[place], paths[row.file] = row, Path(os.path.join(folder, place[len(root) :]))
        if not os.path.isfile(place):  # Path.is_file raises an OSError for names that are too long
            missing.append(row)
    if missing:
        raise table.fail(missing[0].line, _missing(folder, missing))
    return paths


def _missing(folder: Path, missing: list[Row]) -> str:
    first, *others = missing
    place = folder / first.file
    near = sorted(path.name for path in place.parent.glob("*") if path.stem == place.name) if os.path.isdir(place.parent) else []
    hint = f"; there is {near[0]!r}" if near else ""
    more = f", nor {len(others)} more (lines {', '.join(str(row.line) for row in others[:SHOWN])}{' …' * (len(others) > SHOWN)})" if others else ""
    return f"there is no file {first.file!r} in {folder}{more}{hint}: correct the names, which are relative to that folder, or take the lines out"
