"""NumPy arrays and any iterable of batches, seen as data for fit and evaluate."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError

Batch = tuple  # (x, y) or (x, y, sample_weight); x and y arrays, or lists/dicts of them for several inputs or outputs


class ArrayData:
    """Arrays in batches: shuffled from (seed, epoch) where `shuffle`, the last, smaller batch included.

    x: (N, …) or a list of such for several inputs; y likewise, or a dict by output name; sample_weight (N,).
    """

    def __init__(self, x: Any, y: Any, sample_weight: Any = None, batch_size: int = 32, shuffle: bool = False, seed: int = 0):
        self.x, self.y = _arrays(x), _arrays(y)
        self.weight = None if sample_weight is None else np.asarray(sample_weight, np.float32)
        sizes = {len(a) for a in (*_leaves(self.x), *_leaves(self.y), *([] if self.weight is None else [self.weight]))}
        if len(sizes) != 1:
            raise DataError(f"arrays of different lengths: {', '.join(map(str, sorted(sizes)))}; x, y and sample_weight need one row for each sample")
        self.images = sizes.pop()
        if not self.images:
            raise DataError("the arrays are empty: there is nothing to train or evaluate on")
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} must be at least 1")
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.fixed, self.samples = True, self.images  # as in a Dataset

    def __len__(self) -> int:
        return -(-self.images // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Batches of one epoch."""
        return (self.take(rows) for rows in self.rows(number))

    def rows(self, number: int) -> Iterator[np.ndarray]:
        """The samples of each batch of an epoch."""
        order = np.random.default_rng([self.seed, number]).permutation(self.images) if self.shuffle else np.arange(self.images)
        for at in range(0, self.images, self.batch_size):
            yield order[at : at + self.batch_size]

    def take(self, rows: np.ndarray) -> Batch:
        """A batch of these samples."""
        return (_map(self.x, lambda a: a[rows]), *self.answers(rows))

    def answers(self, rows: np.ndarray) -> tuple:
        """What their batch holds behind x."""
        y = _map(self.y, lambda a: a[rows])
        return (y,) if self.weight is None else (y, self.weight[rows])

    def indexed(self, number: int) -> Iterator[tuple[np.ndarray, Batch]]:
        """(samples, batch) of one epoch."""
        return ((rows, self.take(rows)) for rows in self.rows(number))


class IterableData:
    """An iterable of batches: started anew each epoch where it can be, else (an iterator) read on, `steps` batches an epoch."""

    def __init__(self, batches: Iterable[Batch], steps: int | None = None):
        self.batches, self.steps = batches, steps
        self.once = iter(batches) if isinstance(batches, Iterator) else None

    def __len__(self) -> int:
        if self.steps is not None:
            return self.steps
        return len(self.batches) if hasattr(self.batches, "__len__") else 0

    def epoch(self, number: int) -> Iterator[Batch]:
        """Batches of one epoch; an iterator that ends before its time is an error."""
        source = self.once if self.once is not None else iter(self.batches.epoch(number) if hasattr(self.batches, "epoch") else self.batches)
        count = 0
        while self.steps is None or count < self.steps:
            batch = next(source, None)
            if batch is None:
                if self.steps is not None and self.once is None and count:
                    source = iter(self.batches)  # a smaller data set, gone through again
                    batch = next(source, None)
                elif count == 0 or self.steps is not None:
                    raise DataError(f"the iterator of batches ended in epoch {number + 1} after {count} batches{f' of {self.steps}' if self.steps else ''}: "
                                    "give a dataset or a list, which can be started again, or fewer epochs or steps_per_epoch")  # fmt: skip
                if batch is None:
                    return
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise DataError(f"a batch is (x, y) or (x, y, sample_weight), not {type(batch).__name__}")
            count += 1
            yield tuple(batch)


def hold_out(x: Any, y: Any, sample_weight: Any, fraction: float) -> tuple:
    """(x, y, sample_weight, validation data): the arrays without their last `fraction`, and that."""
    if y is None:
        raise DataError("validation_split goes with arrays: fit(x, y, …); give a dataset's validation data as validation_data")
    whole = ArrayData(x, y, sample_weight)
    at = whole.images - round(whole.images * fraction)
    if not 0 < at < whole.images:
        raise ConfigError(f"validation_split={fraction} of {whole.images} samples leaves none to train on or none to validate with")
    parts = [(_map(whole.x, s), _map(whole.y, s), None if whole.weight is None else s(whole.weight)) for s in (lambda a: a[:at], lambda a: a[at:])]
    held = parts[1] if whole.weight is not None else parts[1][:2]
    return *parts[0], held


def as_data(x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: int = 32, shuffle: bool = False, seed: int = 0, steps: int | None = None) -> Any:
    """What fit and evaluate were given, as something with `epoch(number)` and a length in batches (0: unknown)."""
    if y is not None or are_arrays(x):
        if y is None:
            raise DataError("x is an array, so y is needed too: fit(x, y, …)")
        data = ArrayData(x, y, sample_weight, batch_size, shuffle, seed)
        return data if steps is None else IterableData(data, steps)
    if sample_weight is not None:
        raise DataError("sample_weight goes with arrays; a dataset's batches carry it themselves: (x, y, sample_weight)")
    if hasattr(x, "epoch") and steps is None:
        return x
    if not hasattr(x, "__iter__"):
        raise DataError(f"cannot train on {type(x).__name__}: give NumPy arrays, a dataset, or an iterable of (x, y) batches")
    return IterableData(x, steps)


def for_plans(data: Any, number: int) -> Iterator[Batch]:
    """An epoch's batches for a plan, which may make x itself (backends/derived.py) where the data knows how."""
    return data.derived(number) if hasattr(data, "derived") else data.epoch(number)


def are_arrays(x: Any) -> bool:
    """Whether x is data itself (an array, a list of numbers, several inputs in a list, tuple or dict), rather than an iterable of batches."""
    if isinstance(x, dict) or _is_array(x):
        return True
    if not isinstance(x, (list, tuple)) or not x:
        return False
    first = x[0]
    while isinstance(first, list) and first:
        if _is_array(first[0]):
            return False  # [[x, y], …]
        first = first[0]
    return _is_array(first) or isinstance(first, (int, float))


def is_labelled(value: Any) -> bool:
    """Whether a value is (x, y) or (x, y, sample_weight), rather than a list of such batches."""
    return isinstance(value, (tuple, list)) and len(value) in (2, 3) and are_arrays(value[0]) and not all(isinstance(v, tuple) for v in value)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__")


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: np.asarray(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and value and _is_array(value[0]) and np.ndim(value[0]):
        return [np.asarray(v) for v in value]
    return np.asarray(value)


def _leaves(value: Any) -> list[np.ndarray]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]


def _map(value: Any, f: Any) -> Any:
    if isinstance(value, dict):
        return {k: f(v) for k, v in value.items()}
    return [f(v) for v in value] if isinstance(value, list) else f(value)
