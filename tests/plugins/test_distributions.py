"""The distributions of plugins/: each passes its own tests and the examination of `numbacnn plugins check`."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from numbacnn import registry
from numbacnn.contract import CONTRACT
from numbacnn.points import is_built_in, plain
from numbacnn.testing.installed import declare

FOLDER = Path(__file__).resolve().parents[2] / "plugins"
PROJECTS = {file.parent: tomllib.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*/pyproject.toml"))}
each = pytest.mark.parametrize("folder", PROJECTS, ids=[folder.name for folder in PROJECTS])


@pytest.fixture
def child(tmp_path):
    """child(code, cwd): Python's result where all distributions of plugins/ are installed."""
    for about in (p["project"] for p in PROJECTS.values()):
        declare(tmp_path, about["name"], about["version"], about["entry-points"])

    def run(code, cwd=FOLDER):
        path = os.pathsep.join(map(str, (tmp_path, *PROJECTS, FOLDER.parent, os.environ.get("PYTHONPATH", ""))))
        environment = {**os.environ, "PYTHONPATH": path, "NUMBACNN_SERIAL": "1"}
        return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, timeout=1800)

    return run


def test_they_are_there():
    assert [folder.name for folder in PROJECTS] == ["numbacnn-blurpool", "numbacnn-lion", "numbacnn-mish", "numbacnn-sobel", "numbacnn-squeeze-excite"]


@each
def test_each_is_a_whole_distribution(folder):
    project, tool = PROJECTS[folder]["project"], PROJECTS[folder]["tool"]["setuptools"]
    assert project["name"] == folder.name and (folder / project["readme"]).is_file()
    assert {f.stem for f in folder.glob("*.py")} == set(tool["py-modules"])  # what a wheel holds
    assert list(folder.glob("tests/test_*.py"))
    for group, points in project["entry-points"].items():
        (found,) = (r for r in registry.ALL if r.group == group)
        taken = {plain(p.name) for p in found.every if is_built_in(p)}
        for name, value in points.items():
            module, _, thing = value.partition(":")
            assert plain(name) not in taken
            source = (folder / f"{module}.py").read_text(encoding="utf-8")
            assert re.search(rf"^class {thing}\(.*?^    contract: ClassVar\[int\] = {CONTRACT} ", source, re.DOTALL | re.MULTILINE)


@each
def test_each_passes_its_own_tests(folder, child):
    done = child("import pytest; raise SystemExit(pytest.main(['-q', '-p', 'no:cacheprovider']))", folder)
    assert done.returncode == 0 and " passed" in done.stdout and "skipped" not in done.stdout, done.stdout + done.stderr


def test_together_they_are_listed_and_work(child):
    done = child("from numbacnn_cli.main import main; raise SystemExit(main(['plugins', 'list', '--json']))")
    assert done.returncode == 0, done.stderr
    assert {(row["distribution"], row["name"], row["cuda"], row["state"]) for row in json.loads(done.stdout)} == {
        ("numbacnn-blurpool", "BlurPool2D", True, "ok"),
        ("numbacnn-lion", "Lion", True, "ok"),
        ("numbacnn-mish", "ChannelMish", True, "ok"),
        ("numbacnn-sobel", "Sobel", True, "ok"),
        ("numbacnn-squeeze-excite", "SqueezeExcite", True, "ok"),
    }


@pytest.mark.slow
@each
def test_each_passes_the_examination(folder, child):
    done = child(f"from numbacnn_cli.main import main; raise SystemExit(main(['plugins', 'check', {folder.name!r}, '--json']))")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] and [s["distribution"] for s in found["subjects"]] == [folder.name]
