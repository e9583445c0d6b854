"""What a plugin does wrong is told with its name, and hurts nobody who does not use it."""

import os
import subprocess
import sys

import numpy as np
import pytest

import numbacnn as nn
from numbacnn import registry
from numbacnn.errors import ConfigError, ContractError, PluginError, UnknownNameError

GOOD = """
@dataclass(frozen=True)
class Twice(Elementwise):
    contract: ClassVar[int] = 1

    @staticmethod
    def f(x):
        return 2.0 * x

    @staticmethod
    def df(x):
        return 2.0
"""
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


def train(*layers, **options):
    model = nn.Sequential([nn.Input((3,)), nn.Dense(4), *layers], seed=0)
    model.compile("SGD", "mse", **options)
    model.fit(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
    return model


def everything_else_works():
    from numbacnn_cli.layers import rows

    assert nn.Conv2D is registry.layers["Conv2D"] and nn.ReLU().name is None
    assert {"Conv2D", "ReLU"} <= {r.name for r in rows() if not r.broken}
    train(nn.ReLU())


def test_a_good_one(install):
    install("numbacnn-twice", "1.0", GOOD, layers={"Twice": "Twice"})
    y = train(nn.Twice()).predict(np.ones((1, 3), np.float32))
    assert y.shape == (1, 4)
    assert registry.origin(nn.Twice()) == "numbacnn-twice 1.0 (numbacnn_twice:Twice)"
    assert registry.origin(nn.ReLU()) == ""


@pytest.mark.parametrize("fault", ["import no_such_module", "raise SystemExit(3)", "1/0", "def broken(:"])
def test_it_cannot_be_imported(install, fault):
    install("numbacnn-bad", "0.3", fault, layers={"Bad": "Bad"})
    with pytest.raises(
        PluginError, match=r"layer 'Bad' of numbacnn-bad 0\.3 \(numbacnn_bad:Bad\) cannot be imported.*--upgrade numbacnn-bad.*NUMBACNN_DISABLE"
    ):
        _ = nn.Bad
    everything_else_works()


def test_the_object_is_missing(install):
    install("numbacnn-bad", "0.3", "", layers={"Bad": "Bad", "Odd": "a b : c !"})
    for name in ("Bad", "Odd"):
        with pytest.raises(PluginError, match=r"numbacnn-bad 0\.3 .* cannot be imported: AttributeError"):
            registry.layers[name]
    everything_else_works()


@pytest.mark.parametrize("name", ["ReLU", "relu", "re_lu", "Conv-2D"])
def test_a_taken_name(install, name):
    install("numbacnn-thief", "0.3", GOOD, layers={name: "Twice"})
    assert registry.layers[name] is not __import__("numbacnn_thief").Twice
    assert type(nn.layer.activation_layer("relu")) is nn.ReLU
    with pytest.raises(PluginError, match=r"layer Twice of numbacnn-thief 0\.3 .* has a name that numbacnn .* has"):
        registry.layers.name_of(__import__("numbacnn_thief").Twice)
    everything_else_works()


def test_two_plugins_with_one_name(install):
    install("numbacnn-a", "1", GOOD, layers={"Twice": "Twice"})
    install("numbacnn-b", "2", GOOD, layers={"twice": "Twice"})
    with pytest.raises(PluginError, match=r"offered by numbacnn-a \(numbacnn_a:Twice\) and numbacnn-b .*uninstall one, or .*DISABLE_PLUGINS=numbacnn-b"):
        _ = nn.Twice
    everything_else_works()


@pytest.mark.parametrize(
    ("group", "code", "reason"),
    [
        ("layers", "X = 3", "no class: it is a int.*derives from numbacnn.layer.Layer"),
        ("layers", "class X: pass", "class X, which does not derive from numbacnn.layer.Layer"),
        ("layers", "class X(Layer):\n    size: int = 3", r"has fields \(size\) but lacks @dataclass"),
        ("losses", "class X(Layer): pass", "does not derive from numbacnn.losses.base.Loss"),
        ("optimizers", "class X: pass", "numbacnn.optimizers.base.Optimizer"),
        ("metrics", "def X(a): pass", "no class: it is a function.*numbacnn.metrics.base.Metric"),
        ("augmentations", "class X: pass", "numbacnn.augmentations.base.Augmentation"),
        ("models", "class X: pass", "no function of"),
        ("commands", "def X(): pass", "no click command: it is a function"),
    ],
)
def test_the_wrong_thing(install, group, code, reason):
    install("numbacnn-x", "0.3", code, **{group: {"Xyz": "X"}})
    with pytest.raises(PluginError, match=rf"'Xyz' of numbacnn-x 0\.3 \(numbacnn_x:X\) is .*{reason}.*NUMBACNN_DISABLE_PLUGINS=numbacnn-x"):
        getattr(registry, group)["Xyz"]
    everything_else_works()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("0", "contract 0, numbacnn .* has contract 1: the plugin is too old, pip install --upgrade numbacnn-twice"),
        ("2", "contract 2.*--upgrade numbacnn$"),
        ("'1'", "no integer"),
    ],
)
def test_another_contract(install, number, said):
    install("numbacnn-twice", "1.0", GOOD.replace("= 1", f"= {number}"), layers={"Twice": "Twice"})
    with pytest.raises(ContractError, match=said) as caught:
        _ = nn.Twice
    assert isinstance(caught.value, ConfigError) and "numbacnn-twice 1.0" in str(caught.value)
    everything_else_works()


def test_no_contract_is_no_matter_for_the_registry(install):
    from numbacnn.contract import CONTRACT, stated

    install("numbacnn-twice", "1.0", GOOD.replace("contract: ClassVar[int] = 1", "pass"), layers={"Twice": "Twice"})
    assert stated(nn.Twice) is None and stated(nn.ReLU) is None
    install("numbacnn-twice", "1.1", GOOD + "class Thrice(Twice): pass\n", layers={"Twice": "Twice", "Thrice": "Thrice"})
    assert stated(nn.Twice) == stated(nn.Thrice) == CONTRACT


def test_contracts_of_models(install):
    code = """
from numbacnn.models.architecture import architecture

@architecture(contract={})
def one(x, classes):
    return nn.Dense(classes)(nn.Flatten()(x))

def two(x, classes):
    return nn.Dense(classes)(nn.Flatten()(x))
two.contract = {}
"""
    install("numbacnn-m", "1.0", code.replace("{}", "1"), models={"one": "one", "two": "two"})
    for name in ("one", "two"):
        assert nn.build(name, (4, 4, 1), 3).output.shape == (3,)
    install("numbacnn-m", "1.0", code.replace("{}", "7"), models={"one": "one", "two": "two"})
    for name in ("one", "two"):
        with pytest.raises(ContractError, match=f"model '{name}' of numbacnn-m 1.0 .* written for contract 7"):
            nn.build(name, (4, 4, 1), 3)


def test_turned_off(install, monkeypatch):
    install("numbacnn-twice", "1.0", GOOD, layers={"Twice": "Twice"}, models={"double": "Twice"})
    for value in ("1", "other, Numbacnn_Twice", "numbacnn.twice"):
        monkeypatch.setenv("NUMBACNN_DISABLE_PLUGINS", value)
        install("numbacnn-other")
        with pytest.raises(PluginError, match=r"layer 'twice' of numbacnn-twice 1\.0 .* is turned off: NUMBACNN_DISABLE_PLUGINS is .*leave numbacnn-twice out"):
            registry.layers["twice"]
        with pytest.raises(AttributeError, match="is turned off"):
            _ = nn.Twice
        with pytest.raises(PluginError, match=r"model 'double' .*is turned off"):
            nn.build("double")
        assert "Twice" not in registry.layers and "Conv2D" in registry.layers
    for value in ("", "0", "numbacnn", "numbacnn-twice-more"):
        monkeypatch.setenv("NUMBACNN_DISABLE_PLUGINS", value)
        install("numbacnn-other")
        assert "Twice" in registry.layers
    with pytest.raises(UnknownNameError):
        registry.layers["Thrice"]


# ---- what is wrong in itself


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


@pytest.fixture
def child(install, tmp_path):
    def run(code, **environment):
        path = os.pathsep.join((str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")))
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": path, **environment})

    return run


def test_writing_outside_is_told_under_boundscheck(install, child):
    install("numbacnn-shift", "0.3", SHIFT.replace("y[i, c] =", "y[i, c + 4] ="), layers={"Shift": "Shift"})
    head = "import numpy as np, numbacnn as nn\n"
    code = head + "m = nn.Sequential([nn.Input((4,)), nn.{}()])\nprint(m.predict(np.ones((2, 4), np.float32)).shape)"
    done = child(code.format("Shift"), NUMBA_BOUNDSCHECK="1")
    assert "PluginError: kernel shift of layer 'shift_1' (Shift of numbacnn-shift 0.3 (numbacnn_shift:Shift)) failed: IndexError" in done.stderr, done.stderr
    done = child(code.format("ReLU"), NUMBA_BOUNDSCHECK="1")
    assert done.stdout == "(2, 4)\n", done.stderr


def test_help_stands_whatever_is_installed(install, child, tmp_path):
    main = "import sys; from numbacnn_cli.main import main; sys.exit(main({}))"
    install("numbacnn-bad", "0.3", "1/0", commands={"bad": "bad", "fit": "fit"}, layers={"Bad": "Bad"})
    install("numbacnn-worse", "0.4", "", commands={"worse": "worse"})
    (tmp_path / "site" / "numbacnn_worse-0.4.dist-info" / "entry_points.txt").write_text("[numbacnn.commands]\nworse\n")
    done = child(main.format(["--help"]))
    assert done.returncode == 0, done.stderr
    assert "From numbacnn-bad 0.3." in done.stdout and "Train an image classifier" in done.stdout and "worse" not in done.stdout
    done = child(main.format(["bad"]))
    assert done.returncode == 2
    assert done.stderr.startswith("numbacnn: command 'bad' of numbacnn-bad 0.3 (numbacnn_bad:bad) cannot be imported: ZeroDivisionError")
    done = child(main.format(["bad"]), NUMBACNN_DISABLE_PLUGINS="numbacnn-bad")
    assert "command 'bad' of numbacnn-bad 0.3 (numbacnn_bad:bad) is turned off" in done.stderr


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
