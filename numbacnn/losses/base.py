"""The contract of a loss: a layer of two inputs, prediction and target, that gives one number a sample."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import DataError, ShapeError
from ..graph import Shape
from ..jit import Kernel, cuda, digest, factory, kernel, named, prange
from ..kernels.gpu_places import quotient
from ..kernels.gpu_rows import THREADS, WARPS, blocks_of, lanes_of, own_row, row_sum
from ..kernels.scalar import localize
from ..layer import Layer


@dataclass(frozen=True)
class Loss(Layer):
    """Base of all losses. Prediction and dense target (N, *shape) -> (N,); the trained loss is the mean over samples.

    A loss describes two kernels that see both arrays as rows, one row a position (the last axis holds the classes):
      forward   (prediction, target, *arguments, out (rows,)): each row's sum
      backward  (prediction, target, weight (N,), scale, *arguments, out like prediction)
    where a sample's loss is the sum of its rows times scale = 1 / terms(shape), and weight is the sample's share of the mean.
    """

    link: ClassVar[str | None] = None  # "softmax" or "sigmoid": the prediction is what comes before that

    def output_shape(self, prediction: Shape, target: Shape) -> Shape:
        if tuple(prediction) != tuple(target):
            raise ShapeError(f"prediction and target must have one shape, {tuple(prediction)} and {tuple(target)} differ")
        return ()

    def terms(self, shape: Shape) -> int:
        """How many terms a sample's loss is the mean of."""
        return math.prod(shape)

    def kernels(self, step: Any) -> tuple[Kernel, Kernel]:
        """(forward, backward), as described above."""
        raise NotImplementedError(f"{type(self).__name__} has no kernels")

    def arguments(self, step: Any) -> tuple:
        """What the kernels get besides prediction and target: numbers, constants, tuples of numbers."""
        return ()

    def target(self, y: Any, shape: Shape) -> np.ndarray:
        """What users give, as a dense float32 array (N, *shape); DataError where it cannot be that. Integer labels become one-hot."""
        labels = np.asarray(y).dtype.kind in "bui" and are_labels(np.asarray(y), shape)
        return one_hot(self, y, shape) if labels else values(self, y, shape)

    def activate(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities (or values) from what the loss works from; on the host."""
        if self.link == "softmax":
            powers = np.exp(logits - logits.max(-1, keepdims=True))
            return powers / powers.sum(-1, keepdims=True)
        if self.link == "sigmoid":
            small = np.exp(-np.abs(logits))
            return np.where(logits >= 0, 1, small) / (1 + small)
        return logits

    def forward(self, step: Any) -> None:
        prediction, target = map(_rows, step.xs)
        sums = step.run(self.kernels(step)[0], prediction, target, *self.arguments(step), out=step.new(prediction.shape[0]))
        step.run(sum_rows, sums, 1 / self.terms(step.x.shape[1:]), out=step.y)

    def backward(self, step: Any) -> None:
        prediction, target = map(_rows, step.xs)
        scale = 1 / self.terms(step.x.shape[1:])
        gradient = step.new(*prediction.shape)
        step.run(self.kernels(step)[1], prediction, target, step.dy, scale, *self.arguments(step), out=gradient)
        step.dx = gradient.reshape(*step.x.shape)


def _rows(buffer: Any) -> Any:
    classes = buffer.shape[-1] if len(buffer.shape) > 1 else 1
    return buffer.reshape(math.prod(buffer.shape) // classes, classes)


@kernel
def sum_rows(rows, scale, y):
    """y[n] = scale * the sum of sample n's rows."""
    count = rows.size // y.size
    for n in prange(y.size):
        total = 0.0
        for i in range(count):
            total += rows[n * count + i]
        y[n] = total * scale


@sum_rows.cuda(threads=THREADS, blocks=lambda rows, scale, y: blocks_of(y.size, rows.size // y.size))
def _sum_rows_on_gpu(rows, scale, y):
    scratch = cuda.shared.array(WARPS, np.float64)
    columns = quotient(rows.size, y.size)
    lanes = lanes_of(columns)
    lane, mine, many = own_row(lanes)
    for first in range(cuda.blockIdx.x * many, y.size, cuda.gridDim.x * many):
        n, total = first + mine, 0.0
        for i in range(n * columns + lane, (n + 1) * columns if n < y.size else 0, lanes):
            total += rows[i]
        total = row_sum(total, lanes, scratch)
        if lane == 0 and n < y.size:
            y[n] = total * scale


# ---- losses that are a sum over single elements


@dataclass(frozen=True)
class Pointwise(Loss):
    """A loss from two scalar functions, `f(z, t, *fields)` and its derivative by z, `df(z, t, *fields)`; the mean over all elements.

    Fields are passed by name, as the plan's float type; both functions may use `math`.
    """

    def kernels(self, step: Any) -> tuple[Kernel, Kernel]:
        cls = type(self)
        return _pointwise(cls.f, cls.__name__, step.dtype), _pointwise_gradient(cls.df, cls.__name__, step.dtype)

    def arguments(self, step: Any) -> tuple:
        return (tuple(float(getattr(self, name)) for name in tuple(inspect.signature(type(self).f).parameters)[2:]),)


@factory
def _pointwise(function: Callable, name: str, dtype: type) -> Kernel:
    f = localize(function, dtype)

    def run(z, t, fields, y):
        for r in prange(y.size):
            total = 0.0
            for c in range(z.shape[1]):
                total += f(z[r, c], t[r, c], *fields)
            y[r] = total

    def on_gpu(z, t, fields, y):
        scratch = cuda.shared.array(WARPS, z.dtype)
        lanes = lanes_of(z.shape[1])
        lane, mine, many = own_row(lanes)
        for first in range(cuda.blockIdx.x * many, y.size, cuda.gridDim.x * many):
            r, total = first + mine, z.dtype.type(0)
            for c in range(lane, z.shape[1] if r < y.size else 0, lanes):
                total += f(z[r, c], t[r, c], *fields)
            total = row_sum(total, lanes, scratch)
            if lane == 0 and r < y.size:
                y[r] = total

    return _with_twin(run, on_gpu, f"{name}_{digest(f)[:12]}")


@factory
def _pointwise_gradient(function: Callable, name: str, dtype: type) -> Kernel:
    df = localize(function, dtype)

    def run(z, t, weight, scale, fields, dz):
        count = dz.shape[0] // weight.size
        for r in prange(dz.shape[0]):
            share = weight[r // count] * scale
            for c in range(z.shape[1]):
                dz[r, c] = share * df(z[r, c], t[r, c], *fields)

    def on_gpu(z, t, weight, scale, fields, dz):
        lanes, count = lanes_of(z.shape[1]), quotient(z.shape[0], weight.size)
        lane, mine, many = own_row(lanes)
        for r in range(cuda.blockIdx.x * many + mine, z.shape[0], cuda.gridDim.x * many):
            share = weight[quotient(r, count)] * scale
            for c in range(lane, z.shape[1], lanes):
                dz[r, c] = share * df(z[r, c], t[r, c], *fields)

    return _with_twin(run, on_gpu, f"{name}_gradient_{digest(df)[:12]}")


def _with_twin(run: Callable, on_gpu: Callable, name: str) -> Kernel:
    made = Kernel(named(run, name))
    made.cuda(named(on_gpu, f"{name}_on_gpu"), threads=THREADS, blocks=lambda z, *_: blocks_of(*z.shape))
    return made


# ---- targets


def values(loss: Loss, y: Any, shape: Shape, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    """Values (N, *shape), an axis of one element at the end left out or not, as float32; all must be finite and in low..high."""
    y, shape = numbers(loss, y), tuple(shape)
    if y.shape[1:] != shape and not (shape[-1:] == (1,) and y.shape[1:] == shape[:-1]):
        raise DataError(f"{title(loss)}: the target has shape {y.shape}, but the output is {('N', *shape)}{_hint(y, shape)}")
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused
        y = y.reshape(len(y), *shape).astype(np.float32)
    wrong = ~((y >= low) & (y <= high) & np.isfinite(y))
    if wrong.any():
        place = tuple(map(int, np.argwhere(wrong)[0]))
        wanted = f"from {low:g} to {high:g}" if np.isfinite([low, high]).all() else "finite"
        raise DataError(f"{title(loss)}: the target's value at {place} is {y[place]}: values must be {wanted} (the target's shape is {y.shape})")
    return y


def one_hot(loss: Loss, y: Any, shape: Shape) -> np.ndarray:
    """Integer labels (N, *shape without classes), an axis of one element at the end allowed, as float32 (N, *shape)."""
    y, classes = numbers(loss, y), shape[-1]
    flat = y.reshape(-1)
    wrong = ~((flat >= 0) & (flat < classes) & (flat == np.floor(flat)))
    if wrong.any():
        at = int(np.argmax(wrong))
        place = tuple(map(int, np.unravel_index(at, y.shape)))
        raise DataError(
            f"{title(loss)}: the label at {place} is {flat[at]}, but the output {('N', *shape)} has {classes} classes: "
            f"labels are integers from 0 to {classes - 1}"
        )
    dense = np.zeros((flat.size, classes), np.float32)
    dense[np.arange(flat.size), flat.astype(np.int64)] = 1
    return dense.reshape(len(y), *shape)


def are_labels(y: np.ndarray, shape: Shape) -> bool:
    """Whether an array of this shape can only be labels, one for each position of an output with several classes."""
    return len(shape) > 0 and shape[-1] > 1 and y.shape[1:] != tuple(shape) and y.shape[1:] in (tuple(shape[:-1]), (*shape[:-1], 1))


def numbers(loss: Loss, y: Any) -> np.ndarray:
    """What users give, as an array of numbers with a batch axis."""
    y = np.asarray(y)
    if y.dtype.kind not in "buif" or y.ndim == 0:
        raise DataError(f"{title(loss)}: the target must be an array of numbers, one entry a sample, not shape {y.shape} of {y.dtype}: {str(y)[:60]}")
    return y


def title(loss: Loss) -> str:
    """How messages call the loss."""
    return f"loss {loss.name or type(loss).__name__}"


def _hint(y: np.ndarray, shape: Shape) -> str:
    return ": one-hot vectors are needed here, or the loss cross_entropy, which takes labels" if are_labels(y, shape) else ""
