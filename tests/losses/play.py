"""Runs a loss without a plan: every noted launch at once, on fresh memory full of NaN."""

import numpy as np

from numbacnn.graph import Node
from numbacnn.plan.buffer import Buffer
from numbacnn.plan.step import Recorder, Step


def _array(promise):
    if not isinstance(promise, Buffer):
        return promise
    if promise.root.array is None:
        promise.root.array = np.full(promise.root.shape, np.nan, promise.root.dtype)
    return promise.real()


def _play(launches):
    for launch in launches:
        launch.kernel(*map(_array, launch.args), *map(_array, launch.out))


def value_and_gradient(loss, prediction, target, weight, dtype):
    """(loss of each sample, gradient of sum(weight * loss) by the prediction)."""
    recorder = Recorder(len(prediction), dtype, 2)
    inputs = [Buffer(a.shape, dtype) for a in (prediction, target)]
    for buffer, a in zip(inputs, (prediction, target), strict=True):
        buffer.array = np.ascontiguousarray(a, dtype)
    step = Step(recorder, Node("loss", loss, ("z", "t")), inputs, loss.output_shape(prediction.shape[1:], target.shape[1:]), None, None, ())
    kept = loss.forward(step)
    _play(recorder.launches)
    noted = len(recorder.launches)
    step.dy = Buffer(weight.shape, dtype)
    step.dy.array = weight.astype(dtype)
    loss.backward(step, *(kept or ()))
    _play(recorder.launches[noted:])
    return _array(step.y).copy(), _array(step.dx).copy()
