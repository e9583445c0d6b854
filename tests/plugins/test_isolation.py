"""What a plugin does wrong is told with its name, and hurts nobody who does not use it."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
from bystanders import everything_else_works, train

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


def test_a_file_beside_a_plugin_with_its_name(install):
    """`numbacnn plugins check my_layer.py` while an older one is installed."""
    install("numbacnn-a", "1", GOOD, layers={"Twice": "Twice"})
    registry.layers.add(EntryPoint("TWICE", "my_layer:TWICE", "numbacnn.layers"))
    with pytest.raises(PluginError, match=r"offered by numbacnn-a \(numbacnn_a:Twice\) and the module my_layer \(TWICE\): uninstall .*PLUGINS=numbacnn-a$"):
        _ = nn.Twice


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (
            '{"dir_info": {"editable": true}, "url": "file:///home/a%20b/numbacnn-mine"}',
            r"pip install -e '/home/a b/numbacnn-mine' after a change of its entry points",
        ),
        ('{"dir_info": {}, "url": "file:///home/a/numbacnn-mine"}', "pip install --upgrade numbacnn-mine"),
        ("not JSON", "pip install --upgrade numbacnn-mine"),
        (None, "pip install --upgrade numbacnn-mine"),
    ],
)
def test_a_class_that_was_renamed(install, tmp_path, about, said):
    """Who works on a plugin renames its class, and has not installed it again."""
    install("numbacnn-mine", "1", GOOD, layers={"Old": "Old"})
    if about:
        (tmp_path / "site/numbacnn_mine-1.dist-info/direct_url.json").write_text(about)
    with pytest.raises(PluginError, match=rf"no attribute 'Old'; {said}.*, or turn it off with NUMBACNN_DISABLE_PLUGINS=numbacnn-mine"):
        _ = nn.Old


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
