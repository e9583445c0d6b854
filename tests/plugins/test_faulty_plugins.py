"""Layers, losses and optimizers that are wrong in themselves are told with their plugin's name, and hurt nobody who does not use them."""

import numpy as np
import pytest
from bystanders import everything_else_works, train

import numbacnn as nn
from numbacnn.errors import ConfigError, PluginError

SHIFT = """
@kernel
def shift(x, b, y):
    for i in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[i, c] = x[i, c] + b[c]

@kernel
def copy(dy, dx):
    for i in prange(dy.shape[0]):
        for c in range(dy.shape[1]):
            dx[i, c] = dy[i, c]

@kernel(parallel=False)
def sums(dy, db):
    for c in range(db.size):
        db[c] = 0
    for i in range(dy.shape[0]):
        for c in range(db.size):
            db[c] += dy[i, c]

@dataclass(frozen=True)
class Shift(Layer):
    def weights(self, x):
        return {"b": Weight(x[-1:])}

    def forward(self, step):
        step.run(shift, step.x, step.w.b, out=step.y)

    def backward(self, step):
        step.run(copy, step.dy, out=step.dx)
        step.run(sums, step.dy, out=step.dw.b)
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return {", "return 1 / 0, {", "ZeroDivisionError"),
        ("step.run(shift, step.x, step.w.b, out=step.y)", "step.nothing", r"forward of layer 'shift_1' \(Shift of .*failed: AttributeError"),
        ("step.run(shift, step.x, step.w.b, out=step.y)", "pass", r"\(Shift of .*made no output: its forward\(\) must .* writes step.y; tell"),
        ("out=step.y)", "out=step.new(2, 9)); step.y = step.x.reshape(2, 2, 2)", r"made \(2, 2\), but its output_shape\(\) says \(4,\); tell the plugin"),
        ("step.run(copy, step.dy, out=step.dx)", "pass", r"Shift of numbacnn-shift 0\.3 .*gave no gradient by its input.* step\.dx"),
        ("step.run(copy, step.dy, out=step.dx)", "step.dx", r"gave no gradient by its input.*numbacnn plugins check numbacnn-shift"),
        ("step.run(sums, step.dy, out=step.dw.b)", "pass", r"Shift of numbacnn-shift 0\.3 .*gave no gradient of its weight 'b'.* step\.dw\.b"),
        ("step.run(sums, step.dy, out=step.dw.b)", "step.dw.c", r"backward of layer 'shift_1' .*has no weight 'c'"),
        ("+ b[c]", "+ b[c].nonsense", r"kernel shift of layer 'shift_1' \(Shift of .*cannot be compiled: TypingError"),
        ("+ b[c]", "+ b[c]\n        if x[i, 0] == x[i, 0]: raise ValueError('no')", r"kernel shift of layer 'shift_1' \(Shift.*failed: ValueError: no"),
    ],
)
def test_a_faulty_layer(install, old, new, said):
    assert SHIFT.count(old) == 1
    install("numbacnn-shift", "0.3", SHIFT.replace(old, new), layers={"Shift": "Shift"})
    with pytest.raises((PluginError, ConfigError, ZeroDivisionError), match=said if "Zero" not in said else None) as caught:
        train(nn.Shift())
    assert "Zero" in said or "Shift of numbacnn-shift 0.3 (numbacnn_shift:Shift)" in str(caught.value) or "has no weight 'c'" in said
    everything_else_works()


def test_the_layer_without_faults(install):
    from numbacnn.testing import check_layer

    install("numbacnn-shift", "0.3", SHIFT, layers={"Shift": "Shift"})
    check_layer(nn.Shift(), (4,))


def test_writing_outside_is_told_under_boundscheck(install, child):
    install("numbacnn-shift", "0.3", SHIFT.replace("y[i, c] =", "y[i, c + 4] ="), layers={"Shift": "Shift"})
    head = "import numpy as np, numbacnn as nn\n"
    code = head + "m = nn.Sequential([nn.Input((4,)), nn.{}()])\nprint(m.predict(np.ones((2, 4), np.float32)).shape)"
    done = child(code.format("Shift"), NUMBA_BOUNDSCHECK="1")
    assert "PluginError: kernel shift of layer 'shift_1' (Shift of numbacnn-shift 0.3 (numbacnn_shift:Shift)) failed: IndexError" in done.stderr, done.stderr
    done = child(code.format("ReLU"), NUMBA_BOUNDSCHECK="1")
    assert done.stdout == "(2, 4)\n", done.stderr


LOSS_AND_OPTIMIZER = """
from numbacnn.losses.mse import MeanSquaredError
from numbacnn.optimizers.sgd import SGD

@kernel
def fails(x, y):
    for i in prange(y.size):
        y[i] = 0
        raise ValueError("never")

class MyLoss(MeanSquaredError):
    def forward(self, step):
        LOSS

    def backward(self, step):
        BACK

class MyOptimizer(SGD):
    def update(self, step):
        OPTIMIZER
"""


@pytest.mark.parametrize(
    ("loss", "back", "optimizer", "said"),
    [
        ("1 / 0", "pass", "pass", r"forward of the 'loss of dense_1' \(MyLoss of numbacnn-mine 2\.0 \(numbacnn_mine:MyLoss\)\) failed: ZeroDivisionError"),
        ("pass", "pass", "pass", r"loss 'loss of dense_1' \(MyLoss of numbacnn-mine 2\.0 .*made no output"),
        ("super().forward(step)", "pass", "pass", r"loss 'loss of dense_1' \(MyLoss of numbacnn-mine .*gave no gradient by its input"),
        ("super().forward(step)", "1 / 0", "pass", r"backward of the 'loss of dense_1' \(MyLoss of .*failed: ZeroDivisionError"),
        (
            "step.run(fails, step.x, out=step.y)",
            "super().backward(step)",
            "super().update(step)",
            r"kernel fails of loss of dense_1 \(MyLoss of .*ValueError: never",
        ),
        (
            "super().forward(step)",
            "super().backward(step)",
            "1 / 0",
            r"update of the optimizer \(MyOptimizer of numbacnn-mine 2\.0 .*failed: ZeroDivisionError",
        ),
        (
            "super().forward(step)",
            "super().backward(step)",
            "step.run(fails, step.g, out=step.w)",
            r"kernel fails of optimizer \(MyOptimizer of .*failed: ValueError",
        ),
    ],
)
def test_a_faulty_loss_or_optimizer(install, loss, back, optimizer, said):
    code = LOSS_AND_OPTIMIZER.replace("LOSS", loss, 1).replace("BACK", back).replace("OPTIMIZER", optimizer)
    install("numbacnn-mine", "2.0", code, losses={"my_loss": "MyLoss"}, optimizers={"MyOptimizer": "MyOptimizer"})
    model = nn.Sequential([nn.Input((3,)), nn.Dense(4)], seed=0)
    model.compile("MyOptimizer", "my_loss")
    with pytest.raises((PluginError, ConfigError), match=said):
        model.fit(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
    everything_else_works()
