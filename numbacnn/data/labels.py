"""labels.csv: which labels each file has. The table alone is read here, not the pictures that it names."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

FILE = ("file", "filename", "file_name", "fname", "path", "image", "image_name")  # names of columns, in any case; the first are ours
LABELS = ("labels", "tags", "label", "tag")
VALID = ("is_valid", "valid")
SEPARATOR = ";"
ANSWERS = {**dict.fromkeys(("true", "1", "yes"), True), **dict.fromkeys(("false", "0", "no"), False)}
EXAMPLE = "file,labels"


@dataclass(frozen=True)
class Row:
    """One file. line: where its row begins, from 1; valid: whether it is for validation, None where the table does not say."""

    line: int
    file: str
    labels: tuple[str, ...]  # each once, in the table's order
    valid: bool | None = None


@dataclass(frozen=True)
class LabelTable:
    """A table that was read."""

    path: Path
    rows: tuple[Row, ...]

    def fail(self, line: int, reason: str) -> DataError:
        """An error that names table and line, to be raised."""
        return DataError(f"{self.path}, line {line}: {reason}")


def find_table(labels: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """The table's path as it was given, or in the pictures' folder."""
    for path in (Path(labels), Path(folder) / labels):
        if path.is_file():
            return path
    raise DataError(f"there is no file {labels}, neither here nor in {folder}: give the table of labels, a CSV file that begins with the line {EXAMPLE}")


def read_labels(path: str | os.PathLike) -> LabelTable:
    """Read a CSV file in UTF-8 (with or without a byte order mark) whose first line names its columns.

    file (or filename, path, …)   a picture, relative to the pictures' folder
    labels (or tags)              its labels, separated by ";"; none where it is empty
    is_valid (or valid), optional   True or False: for validation or for training
    Other columns and empty lines do not count. Raises DataError naming file, line and value.
    """
    path = Path(path)
    records = _records(path)
    line, header = next(records, (1, []))
    file, labels, valid = _columns(path, line, header)
    table, rows = LabelTable(path, ()), []
    first: dict[str, int] = {}
    for line, fields in records:
        if len(fields) != len(header):
            hint = f"; several labels are separated by {SEPARATOR!r}, and a field with a comma stands in double quotes" if len(fields) > len(header) else ""
            raise table.fail(line, f"{len(fields)} fields, {','.join(fields)[:80]!r}, but the first line names {len(header)} columns{hint}")
        name, answer = fields[file], None
        if not name:
            raise table.fail(line, f"no file is named: write one into the column {header[file]!r}, or take the line out")
        if name in first:
            raise table.fail(line, f"{name!r} stands on line {first[name]} already: keep one line a file, with all labels, separated by {SEPARATOR!r}")
        if valid is not None and (answer := ANSWERS.get(fields[valid].strip().lower())) is None:
            raise table.fail(line, f"{header[valid]}={fields[valid]!r} must be True or False: whether {name!r} is for validation")
        first[name] = line
        rows.append(Row(line, name, split_labels(fields[labels]), answer))
    if not rows:
        raise DataError(f"{path} names no file: below its first line it needs a line for each picture")
    return LabelTable(path, tuple(rows))


def split_labels(text: str) -> tuple[str, ...]:
    """The labels in a field, each once; spaces around them do not count."""
    return tuple(dict.fromkeys(label for part in text.split(SEPARATOR) if (label := part.strip())))


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of all records that hold anything."""
    line = 1
    try:
        reader = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
        while (fields := next(reader, None)) is not None:
            if any(field.strip() for field in fields):
                yield line, fields
            line = reader.line_num + 1
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8: save the table as CSV in UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: {error}: a quote is not closed, or the file is no CSV table") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _columns(path: Path, line: int, header: Sequence[str]) -> tuple[int, int, int | None]:
    """Numbers of the columns for files, labels and validation."""
    names = [name.strip().lower() for name in header]
    found = [[i for i, name in enumerate(names) if name in known] for known in (FILE, LABELS, VALID)]
    shown = ", ".join(repr(name) for name in header) or "none"
    for columns, known in zip(found, (FILE, LABELS, VALID), strict=True):
        if len(columns) > 1:
            both = " and ".join(repr(header[i]) for i in columns)
            raise DataError(f"{path}, line {line}: the columns {both} mean the same ({known[0]}): keep one of them")
    missing = [known[0] for columns, known in zip(found[:2], (FILE, LABELS), strict=True) if not columns]
    if missing:
        hint = "; columns are separated by commas, labels by ';'" if len(header) == 1 and ";" in header[0] else ""
        raise DataError(
            f"{path}, line {line}: no column is called {' or '.join(missing)} (there are: {shown}): "
            f"the first line names the columns, as in {EXAMPLE}; also known are {', '.join(FILE[1:])} and {', '.join(LABELS[1:])}{hint}"
        )
    return found[0][0], found[1][0], found[2][0] if found[2] else None
