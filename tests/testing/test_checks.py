"""What is built in passes the checks that plugins are asked to pass; what is wrong does not."""

from dataclasses import dataclass, replace

import click
import numpy as np
import pytest

import numbacnn as nn
from numbacnn import registry
from numbacnn.augmentations.base import Augmentation
from numbacnn.augmentations.full import Full
from numbacnn.losses.base import Pointwise
from numbacnn.losses.cross_entropy import CrossEntropy
from numbacnn.losses.mse import MeanSquaredError
from numbacnn.metrics.accuracy import Accuracy
from numbacnn.models.architecture import architecture
from numbacnn.optimizers.sgd import SGD
from numbacnn.testing import check_augmentation, check_command, check_loss, check_metric, check_model, check_optimizer, run_command
from numbacnn.testing.metrics import TASKS


def every(group):
    return sorted({group[name] for name in group}, key=lambda c: c.__name__)


@pytest.mark.parametrize("cls", every(registry.losses), ids=lambda c: c.__name__)
def test_losses(cls):
    for loss, shape in cls.examples():
        check_loss(loss, shape)


@pytest.mark.parametrize("cls", every(registry.optimizers), ids=lambda c: c.__name__)
def test_optimizers(cls):
    for optimizer in cls.examples():
        check_optimizer(optimizer)


@pytest.mark.parametrize("cls", every(registry.metrics), ids=lambda c: c.__name__)
def test_metrics(cls):
    check_metric(cls(), TASKS[:2] if cls.__name__ == "TopK" else TASKS)


@pytest.mark.parametrize("cls", every(registry.augmentations), ids=lambda c: c.__name__)
def test_augmentations(cls):
    check_augmentation(cls())


def test_a_model():
    check_model(registry.models["small"], (8, 8, 3), 3)


@pytest.mark.parametrize("name", ["layers", "plugins", "describe"])
def test_commands(name):
    check_command(name)


def test_a_command_is_run():
    assert run_command("layers").status == 0 and "Conv2D" in run_command("layers").out
    done = run_command("summary", "smal")
    assert (done.status, done.out) == (2, "") and "did you mean 'small'?" in done.err
    assert run_command("layers", "--no").status == 2


# ---- what is wrong is found


class Loss(Pointwise):
    f = staticmethod(lambda z, t: (z - t) ** 4)
    df = staticmethod(lambda z, t: 4.0 * (z - t) ** 3)


class HidesNaN(Loss):
    f = staticmethod(lambda z, t: (z - t) ** 2 if z == z else 0.0)
    df = staticmethod(lambda z, t: 2.0 * (z - t) if z == z else 0.0)


class Overflows(CrossEntropy):
    link = "sigmoid"

    def output_shape(self, prediction, target):
        return (3,)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (type("Slope", (Loss,), {"df": staticmethod(lambda z, t: 4.001 * (z - t) ** 3)}), "the gradient along a random direction"),
        (type("Infinite", (Loss,), {"f": staticmethod(lambda z, t: (z - t) / 0.0)}), "not finite"),
        (HidesNaN, "a NaN in the prediction is hidden"),
        (Overflows, r"output_shape\(\) must be \(\)"),
        (type("Odd", (MeanSquaredError,), {"target": lambda self, y, shape: np.float64(y)}), r"target\(\) gave float64"),
        (type("Unshared", (MeanSquaredError,), {"terms": lambda self, shape: -1}), None),
    ],
    ids=str,
)
def test_wrong_losses(loss, said):
    if said is None:
        check_loss(loss(), (4,))  # another factor is another loss, no mistake
        with pytest.raises(AssertionError, match="differs from the oracle"):
            check_loss(loss(), (4,), oracle=lambda loss, z, t: ((z - t) ** 2).mean(1))
        return
    with pytest.raises(AssertionError, match=said):
        check_loss(loss(), (4,))


class Up(SGD):
    def rates(self, learning_rate, step):
        return -learning_rate, learning_rate * (self.weight_decay or 0)


class NoDecay(SGD):
    def rates(self, learning_rate, step):
        return learning_rate, 0.0


class Restless(SGD):
    def rates(self, learning_rate, step):
        return learning_rate + 0.1, super().rates(learning_rate, step)[1]


class Everywhere(SGD):
    def update(self, step):
        step.decays = np.ones_like(step.decays)
        super().update(step)


class Spoils(SGD):
    def update(self, step):
        super().update(step)
        step.g[:] = 0


class NoNaN(SGD):
    def update(self, step):
        step.g = np.nan_to_num(step.g)
        super().update(step)


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Up, "100 steps along the gradient"),
        (NoDecay, "weight decay does not reach"),
        (Everywhere, "reaches a bias"),
        (Restless, "a learning rate of 0 changes"),
        (Spoils, "the gradients were changed"),
        (NoNaN, "is hidden"),
    ],
)
def test_wrong_optimizers(cls, said):
    with pytest.raises(AssertionError, match=said):
        check_optimizer(cls(momentum=0.5))


def test_an_optimizers_oracle():
    check_optimizer(SGD(clipvalue=0.3, weight_decay=0.1), oracle=lambda o, w, g, state, rate, t: w - rate * g)
    check_optimizer(SGD(global_clipnorm=0.3), oracle=lambda o, w, g, state, rate, t: w - rate * g)
    with pytest.raises(AssertionError, match="differs from the oracle in step 1"):
        check_optimizer(SGD(), oracle=lambda o, w, g, state, rate, t: w - 1.01 * rate * g)


class MeanOfBatches(Accuracy):
    def count(self, *args):
        return np.array([super().result(super().count(*args)), 1.0])


class Unweighted(Accuracy):
    def count(self, target, prediction, weight, link):
        return super().count(target, prediction, np.ones_like(weight), link)


class Changes(Accuracy):
    def add(self, sums, counted):
        if sums is None:
            return counted
        sums += counted
        return sums


class NumPy(Accuracy):
    def result(self, sums):
        return np.float64(super().result(sums))


@pytest.mark.parametrize(
    ("cls", "said"),
    [(MeanOfBatches, "batches of"), (Unweighted, "samples of weight 0 count"), (Changes, r"add\(\) changes its arguments"), (NumPy, "gave float64, not float")],
)
def test_wrong_metrics(cls, said):
    with pytest.raises(AssertionError, match=said):
        check_metric(cls())


def test_a_metrics_oracle():
    def accuracy(metric, target, prediction, weight, link):
        return float(np.average(target.argmax(-1) == prediction.argmax(-1), weights=weight))

    check_metric(Accuracy(), TASKS[:1], oracle=accuracy)
    with pytest.raises(AssertionError, match="differs from the oracle"):
        check_metric(Accuracy(), TASKS[:1], oracle=lambda *args: 0.5)


@dataclass(frozen=True)
class Neighbours(Full):
    def parameters(self, uniforms):
        return super().parameters(np.roll(uniforms, 1, 0))


@dataclass(frozen=True)
class Greedy(Full):
    def parameters(self, uniforms):
        uniforms *= 0.5
        return super().parameters(uniforms)


@dataclass(frozen=True)
class Flattens(Full):
    def parameters(self, uniforms):
        rows = super().parameters(uniforms)
        rows[:, :2] = 0
        return rows


@pytest.mark.parametrize(
    ("augmentation", "said"),
    [
        (Neighbours(), "depends on the others"),
        (Greedy(), "changes the random numbers"),
        (Flattens(), "flattens pictures"),
        (Augmentation(), "the same to all"),
        (type("Plain", (Full,), {"plain": True})(), "plain says that nothing is changed"),
    ],
    ids=str,
)
def test_wrong_augmentations(augmentation, said):
    with pytest.raises(AssertionError, match=said):
        check_augmentation(augmentation)


def tiny(x, classes, softmax=False, extra=0, reshape=False):
    x = nn.Flatten()(x)
    x = nn.Dense(classes + extra, name="predictions")(x)
    return nn.Softmax()(x) if softmax else nn.Reshape((-1, 1))(x) if reshape else x


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (tiny, {"softmax": True}, "it must give logits"),
        (tiny, {"extra": 1}, "for 3 classes the output has shape"),
        (architecture(splits=("nowhere",))(tiny), {}, "splits"),
        (architecture(pool="nowhere")(tiny), {}, "pool='nowhere'"),
        (tiny, {"steps": 2, "input_shape": (4, 4, 1)}, None),
    ],
)
def test_wrong_models(model, options, said):
    options = {"input_shape": (4, 4, 1)} | options
    if said is None:
        check_model(model, classes=3, **options)
        return
    with pytest.raises(AssertionError, match=said):
        check_model(model, classes=3, **options)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (click.command("x")(lambda: None), "has no help"),
        (click.command("x", help="x")(click.option("--n")(lambda n: None)), "--n have no help"),
        (click.command("x", help="x", context_settings={"ignore_unknown_options": True})(click.argument("a", nargs=-1)(lambda a: None)), "takes any option"),
        (click.command("x", help="x", add_help_option=False)(lambda: None), "exit status 2"),
    ],
)
def test_wrong_commands(command, said, monkeypatch):
    monkeypatch.setitem(registry.commands._loaded, "layers", command)
    with pytest.raises(AssertionError, match=said):
        check_command("layers")


def test_a_command_that_is_slow_to_start(monkeypatch):
    monkeypatch.setattr(type(registry.commands), "point", lambda self, name: replace_value(registry.commands.points[name][0]))
    with pytest.raises(AssertionError, match=r"importing numbacnn\.jit imports numba"):
        check_command("layers")


def replace_value(point):
    return type(point)(point.name, "numbacnn.jit:kernel", point.group)


def test_fields_that_do_not_come_back():
    @dataclass(frozen=True)
    class Forgetful(MeanSquaredError):
        size: float = 1.0

        def __post_init__(self):
            object.__setattr__(self, "size", self.size * 2)

    with pytest.raises(AssertionError, match="comes back from JSON as"):
        check_loss(replace(Forgetful(), size=3.0), (3,))
