"""Files of models with plugins in them: what they tell of these, and what happens where these are missing, older, broken or turned off."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from numbacnn_cli.main import main

import numbacnn as nn
from numbacnn.errors import ConfigError, FileError, PluginError
from numbacnn.store import native
from numbacnn.store.origins import MissingPluginWarning, PluginVersionWarning, older

LAYER = """
@kernel
def halve(x, w, y):
    for i in prange(y.shape[0]):
        for c in range(y.shape[1]):
            y[i, c] = x[i, 2 * c] * w[c]

@kernel
def unhalve(dy, w, dx):
    for i in prange(dx.shape[0]):
        for c in range(dx.shape[1]):
            dx[i, c] = dy[i, c // 2] * w[c // 2] if c % 2 == 0 else 0

@kernel(parallel=False)
def sums(x, dy, dw):
    for c in range(dw.size):
        dw[c] = 0
        for i in range(dy.shape[0]):
            dw[c] += dy[i, c] * x[i, 2 * c]

@dataclass(frozen=True)
class Halve(Layer):
    contract: ClassVar[int] = 1

    def output_shape(self, x):
        return (x[0] // 2,)

    def weights(self, x):
        return {"w": Weight((x[0] // 2,), "ones")}

    def forward(self, step):
        step.run(halve, step.x, step.w.w, out=step.y)

    def backward(self, step):
        step.run(unhalve, step.dy, step.w.w, out=step.dx)
        step.run(sums, step.x, step.dy, out=step.dw.w)
"""
OTHERS = """
from numbacnn.augmentations.light import Light
from numbacnn.losses.mse import MeanSquaredError
from numbacnn.metrics.accuracy import Accuracy
from numbacnn.optimizers.sgd import SGD

class MyLoss(MeanSquaredError): pass
class MyOptimizer(SGD): pass
class MyMetric(Accuracy): pass
class MyAugmentation(Light): pass
"""
X = np.ones((2, 6), np.float32)


@pytest.fixture
def stored(install, tmp_path):
    """A model with a plugin's layer, used twice, in a file that numbacnn-halve 1.2 wrote."""
    install("numbacnn-halve", "1.2", LAYER, layers={"Halve": "Halve"})
    model = nn.Sequential([nn.Input((6,)), nn.Dense(8, name="a"), nn.Halve(name="half"), nn.Dense(3, name="b")], seed=0)
    model.save(tmp_path / "m.h5")
    return tmp_path / "m.h5", model.predict(X)


def test_files_name_what_they_need(install, tmp_path):
    install("numbacnn-many", "2.1", OTHERS, losses={"my_loss": "MyLoss"}, optimizers={"MyOptimizer": "MyOptimizer"}, metrics={"my_metric": "MyMetric"})
    model = nn.Sequential([nn.Input((6,)), nn.Dense(3)])
    model.compile(nn.MyOptimizer(0.1), "my_loss", metrics=["my_metric", "accuracy"])
    model.save(tmp_path / "m.h5")
    found, own = native.read(tmp_path / "m.h5").versions, {"distribution": "numbacnn-many", "version": "2.1"}
    assert (found["losses"], found["optimizers"], found["metrics"]["my_metric"]) == ({"my_loss": own}, {"MyOptimizer": own}, own)
    assert found["metrics"]["acc"]["distribution"] == found["layers"]["Dense"]["distribution"] == "numbacnn"
    again = nn.load(tmp_path / "m.h5")
    assert again.optimizer == nn.MyOptimizer(0.1)


def test_the_layer_is_there(stored):
    path, y = stored
    np.testing.assert_array_equal(nn.load(path).predict(X), y)


def test_the_layer_is_missing(stored, install):
    path, _ = stored
    install.remove("numbacnn-halve")
    said = r"m\.h5: layer 'Halve' is not installed; the file says that it comes from numbacnn-halve 1\.2: if you trust that, pip install 'numbacnn-halve>=1\.2'"
    with pytest.raises(FileError, match=said):
        nn.load(path)
    with pytest.warns(MissingPluginWarning, match=said):
        model = nn.load(path, allow_missing=True)
    assert model.graph.shapes() == {"input_1": (6,), "a": (8,), "half": (4,), "b": (3,)}
    assert {n: h.count_params() for n, h in model.handles.items()} == {"input_1": 0, "a": 56, "half": 4, "b": 15}
    with pytest.raises(PluginError, match="pip install 'numbacnn-halve"):
        model.predict(X)
    with pytest.raises(ConfigError, match="without one of its plugins cannot be saved"):
        model.save(path)
    assert nn.describe(path).parameters == 75


def test_summary_shows_the_rest(stored, install, capfd):
    path, _ = stored
    install.remove("numbacnn-halve")
    assert main(["summary", str(path)]) == 2
    assert "pip install 'numbacnn-halve>=1.2'" in capfd.readouterr().err
    with pytest.warns(MissingPluginWarning, match="layer 'Halve' is not installed"):
        assert main(["summary", str(path), "--allow-missing"]) == 0
    out = capfd.readouterr().out
    assert "half (Halve, not installed)" in out and "75 parameters" in out
    assert main(["summary", "small", "--allow-missing"]) == 2
    assert "--allow-missing is for model files" in capfd.readouterr().err


def test_it_is_installed_but_lacks_the_layer(stored, install):
    path, _ = stored
    install("numbacnn-halve", "1.0", "", layers={})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginVersionWarning)
        with pytest.raises(FileError, match=r"layer 'Halve' comes from numbacnn-halve 1\.2; numbacnn-halve 1\.0 is installed, .*'numbacnn-halve>=1\.2'"):
            nn.load(path)
    install("numbacnn-halve", "2.0", "", layers={})
    with pytest.raises(FileError, match=r"2\.0 is installed, which has none: pip install 'numbacnn-halve==1\.2'"):
        nn.load(path)


def test_it_is_broken_or_turned_off(stored, install, monkeypatch):
    path, _ = stored
    install("numbacnn-halve", "1.2", "1/0", layers={"Halve": "Halve"})
    with pytest.raises(FileError, match=r"m\.h5: layer 'Halve' of numbacnn-halve 1\.2 .* cannot be imported: ZeroDivisionError"):
        nn.load(path)
    monkeypatch.setenv("NUMBACNN_DISABLE_PLUGINS", "1")
    install("numbacnn-halve", "1.2", LAYER, layers={"Halve": "Halve"})
    with pytest.raises(PluginError, match=r"m\.h5: .* is turned off: NUMBACNN_DISABLE_PLUGINS is '1'"):
        nn.load(path)
    with pytest.warns(MissingPluginWarning, match="is turned off"):
        assert nn.load(path, allow_missing=True).graph.shapes()["half"] == (4,)


def test_an_older_one_is_told_and_a_newer_one_is_not(stored, install):
    path, y = stored
    install("numbacnn-halve", "1.1.9", LAYER, layers={"Halve": "Halve"})
    said = r"m\.h5 was written with numbacnn-halve 1\.2, but numbacnn-halve 1\.1\.9 is installed, which is older: pip install --upgrade 'numbacnn-halve>=1\.2'"
    with pytest.warns(PluginVersionWarning, match=said):
        model = nn.load(path)
    np.testing.assert_array_equal(model.predict(X), y)
    install("numbacnn-halve", "1.10", LAYER, layers={"Halve": "Halve"})
    nn.load(path)


def test_in_the_shell_a_warning_is_one_line(stored, install, tmp_path):
    path, _ = stored
    install.remove("numbacnn-halve")
    code = f"import sys; from numbacnn_cli.main import main; sys.exit(main(['summary', {str(path)!r}, '--allow-missing']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "half (Halve, not installed)" in done.stdout
    assert done.stderr.startswith("numbacnn: warning: ") and "pip install 'numbacnn-halve>=1.2'" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("group", ["losses", "optimizers", "metrics"])
def test_what_compile_needs_is_missing(install, tmp_path, group):
    name = {"losses": "my_loss", "optimizers": "MyOptimizer", "metrics": "my_metric"}[group]
    install("numbacnn-many", "2.1", OTHERS, **{group: {name: {"losses": "MyLoss", "optimizers": "MyOptimizer", "metrics": "MyMetric"}[group]}})
    model = nn.Sequential([nn.Input((6,)), nn.Dense(3)], seed=0)
    chosen = {"optimizers": "SGD", "losses": "mse", "metrics": "accuracy"} | {group: name}
    model.compile(chosen["optimizers"], chosen["losses"], metrics=[chosen["metrics"]])
    model.save(tmp_path / "m.h5")
    install.remove("numbacnn-many")
    said = rf"m\.h5: {group[:-1].replace('losse', 'loss')} '{name}' is not installed; .* numbacnn-many 2\.1: .*pip install 'numbacnn-many>=2\.1'"
    with pytest.raises(FileError, match=said):
        nn.load(tmp_path / "m.h5")
    with pytest.warns(MissingPluginWarning, match=said):
        again = nn.load(tmp_path / "m.h5", allow_missing=True)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(ConfigError, match="not compiled"):
        again.fit(X, X[:, :3])


def test_the_augmentation_of_a_run_is_missing(install, tmp_path, capfd, monkeypatch):
    from PIL import Image

    install("numbacnn-many", "2.1", OTHERS, augmentations={"mine": "MyAugmentation"})
    for label, level in (("dark", 10), ("bright", 200)):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for n in range(5):
            Image.new("RGB", (8, 8), (level + n, level, n)).save(tmp_path / "pictures" / label / f"{n}.png")
    fit = ["fit", str(tmp_path / "pictures"), "--out", str(tmp_path / "run"), "--model", "small", "--size", "8", "--quiet", "--batch-size", "4"]
    assert main([*fit, "--epochs", "1", "--augment", "mine"]) == 0
    install.remove("numbacnn-many")
    capfd.readouterr()
    assert main(["fit", str(tmp_path / "pictures"), "--out", str(tmp_path / "run"), "--resume", "--epochs", "2", "--quiet"]) == 2
    assert "augmentation 'mine' is not installed; the file says that it comes from numbacnn-many 2.1" in capfd.readouterr().err
    assert nn.load(tmp_path / "run").classes == ("bright", "dark")  # to predict, none is needed


def test_a_hostile_shape(stored, install, tmp_path):
    import json

    import h5py

    path, _ = stored
    install.remove("numbacnn-halve")
    for value, said in (([4, -1], "shapes holds"), ("x", "shapes holds"), ([1e3], "shapes holds"), (None, "does not say what shape")):
        with h5py.File(path, "r+") as file:
            graph = json.loads(file["graph"][()])
            graph["shapes"]["half"] = value
            del file["graph"]
            file["graph"] = np.bytes_(json.dumps(graph).encode())
        with warnings.catch_warnings(), pytest.raises(FileError, match=said):
            warnings.simplefilter("ignore", MissingPluginWarning)
            nn.load(path, allow_missing=True)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1.0", "1.1"),
        ("1.9", "1.10"),
        ("0.9", "1"),
        ("1.0rc1", "1.0"),
        ("1.0.dev3", "1.0a1"),
        ("1.0a1", "1.0b1"),
        ("1.0", "1.0.post1"),
        ("9", "1!0"),
        ("1.0rc1", "1.0rc2"),
    ],
)
def test_order_of_versions(a, b):
    assert older(a, b) and not older(b, a)


def test_versions_that_are_equal_or_unknown():
    assert not older("1.0", "1") and not older("1", "1.0.0") and not older("1.0+local", "1.0")
    assert not older("what", "1") and not older("1", "what")
