"""`numbacnn plugins new`: names, and that what it writes passes its own tests."""

import os
import subprocess
import sys
import tomllib

import pytest
from numbacnn_cli.main import main
from numbacnn_cli.plugins.kinds import FOLDER, kinds
from numbacnn_cli.plugins.names import parse

from numbacnn.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "distribution", "module", "cls", "kebab"),
    [
        ("mish2", "numbacnn-mish2", "numbacnn_mish2", "Mish2", "mish2"),
        ("squeeze-excite", "numbacnn-squeeze-excite", "numbacnn_squeeze_excite", "SqueezeExcite", "squeeze-excite"),
        ("squeeze_excite", "numbacnn-squeeze-excite", "numbacnn_squeeze_excite", "SqueezeExcite", "squeeze-excite"),
        ("numbacnn-squeeze-excite", "numbacnn-squeeze-excite", "numbacnn_squeeze_excite", "SqueezeExcite", "squeeze-excite"),
        ("SqueezeExcite", "numbacnn-squeeze-excite", "numbacnn_squeeze_excite", "SqueezeExcite", "squeeze-excite"),
        ("GRN", "numbacnn-grn", "numbacnn_grn", "GRN", "grn"),
        ("BlurPool2D", "numbacnn-blur-pool2-d", "numbacnn_blur_pool2_d", "BlurPool2D", "blur-pool2-d"),
        ("BLUR-pool", "numbacnn-blur-pool", "numbacnn_blur_pool", "BlurPool", "blur-pool"),
    ],
)
def test_names(given, distribution, module, cls, kebab):
    names = parse(given)
    assert (names.distribution, names.module, names.cls, names.kebab) == (distribution, module, cls, kebab)


@pytest.mark.parametrize("given", ["", "2d-pool", "a b", "a--b", "-a", "a-", "a.b", "a/b", "../a", "ä", "a" * 41, "numbacnn-", "numbacnn-2", "$a"])
def test_no_names(given):
    with pytest.raises(ConfigError, match=r"cannot name a plugin: give .* such as squeeze-excite"):
        parse(given)


@pytest.mark.parametrize("given", ["class", "None", "lambda", "numbacnn"])
def test_words_of_python_and_numbacnn(given):
    with pytest.raises(ConfigError, match="add another one, such as my-"):
        parse(given)


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args):
        status = main(["plugins", "new", *map(str, args)])
        return status, *capfd.readouterr()

    return run


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["conv2d"], "numbacnn has layer Conv2D already: choose another one, such as my-conv2d"),
        (["adam", "--kind", "optimizer"], "numbacnn has optimizer Adam already"),
        (["log-cosh", "--kind", "layr"], "unknown kind 'layr'; did you mean 'layer'?"),
        (["model"], "numbacnn.Model is something else already"),
        (["fit", "--kind", "command"], "numbacnn has command fit already"),
        (["click", "--kind", "command"], "numbacnn_click.py needs the name click for something else: choose another one, such as my-click"),
        (["block", "--kind", "model"], "needs the name block for something else"),
        (["Image", "--kind", "augmentation"], "tests/test_image.py needs the name Image"),
        (["relu", "--kind", "loss"], "numbacnn has layer ReLU already"),
        (["click"], None),
        (["a b"], "'a b' cannot name a plugin"),
    ],
)
def test_what_is_refused(run, args, said, tmp_path):
    status, _, err = run(*args)
    if said is None:
        assert status == 0
        return
    assert status == 2 and said in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_installed(run, install):
    install("numbacnn-mine", "0.7")
    assert "distribution numbacnn-mine 0.7 is installed already: choose another one, such as my-mine, or pip uninstall numbacnn-mine" in run("mine")[2]
    install("numbacnn-other", "0.7", layers={"Mine2": "Mine2"})
    assert "numbacnn-other has layer Mine2 already" in run("mine2")[2]


def test_nothing_is_overwritten(run, tmp_path):
    assert run("mine", "--into", "here/there")[0] == 0
    module = tmp_path / "here/there/numbacnn-mine/numbacnn_mine.py"
    module.write_text("precious")
    status, _, err = run("mine", "--into", "here/there")
    assert status == 2 and "here/there/numbacnn-mine is there already: choose another name, or another place with --into" in err
    assert module.read_text() == "precious"
    (tmp_path / "file").touch()
    assert run("mine", "--into", "file")[0] == 2


def test_all_files_or_none(run, tmp_path, monkeypatch):
    def files(self, names, needed):
        return {"pyproject.toml": "x", "module.py": 5}

    monkeypatch.setattr(type(kinds()["layer"]), "files", files)
    with pytest.raises(TypeError):
        run("mine")
    assert list(tmp_path.iterdir()) == []


def test_every_folder_is_a_kind():
    assert set(kinds()) == {f.name for f in FOLDER.iterdir()} - {"common"}
    assert list(kinds()) == ["layer", "elementwise", "loss", "optimizer", "metric", "model", "augmentation", "command"]


def write(kind, name, folder):
    assert main(["plugins", "new", name, "--kind", kind, "--into", str(folder)]) == 0
    return next(folder.glob("numbacnn-*"))


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("name", ["BlurPool2D", "x", "a-rather-long-name-that-still-is-a-name-1"[:40].rstrip("-")])
def test_every_file_is_whole(kind, name, tmp_path):
    folder = write(kind, name, tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == folder.name
    ((group, points),) = project["entry-points"].items()
    ((_, value),) = points.items()
    module, _, thing = value.partition(":")
    assert group == f"numbacnn.{kinds()[kind].group}"
    for path in (folder / f"{module}.py", *folder.glob("tests/*.py")):
        compile(path.read_text(), path, "exec")
    assert f" {thing}(" in (folder / f"{module}.py").read_text()
    assert "$" not in "".join(p.read_text() for p in folder.rglob("*") if p.is_file())


def passes(folder):
    environment = {**os.environ, "NUMBACNN_SERIAL": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0 and " passed" in done.stdout and "skipped" not in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("kind", [k if k in ("layer", "elementwise") else pytest.param(k, marks=pytest.mark.slow) for k in kinds()])
def test_it_passes_its_own_tests(kind, tmp_path):
    passes(write(kind, "written-by-a-test", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds())
def test_its_tests_find_a_mistake(kind, tmp_path):
    """Each example with one thing changed fails its own tests."""
    changes = {
        "layer": ("- back)", "+ back)"),
        "elementwise": ("return 0.5 * (x + root) / root", "return 0.51 * (x + root) / root"),
        "loss": ("math.tanh(", "math.sin("),
        "optimizer": ("-rate if m < 0", "-rate if m < -0.1"),
        "metric": ("(sure * self.bins)", "(sure * self.bins / 2)"),
        "model": ("return nn.Dense(classes, ", "return nn.Dense(classes + 1, "),
        "augmentation": ("90 * np.floor(4", "45 * np.floor(1"),
        "command": ("sum(counts.values()) /", "1.0 /"),
    }
    folder = write(kind, "written-by-a-test", tmp_path)
    module = next(folder.glob("*.py"))
    old, changed = changes[kind]
    assert module.read_text().count(old) == 1
    module.write_text(module.read_text().replace(old, changed))
    with pytest.raises(AssertionError, match="failed"):
        passes(folder)
