"""as_installed: entry points count without pip."""

import sys

import pytest

from numbacnn import registry
from numbacnn.testing import as_installed
from numbacnn.testing.installed import refresh

PROJECT = """
[project]
name = "numbacnn-here"
version = "0.4"
[project.entry-points."numbacnn.layers"]
Here = "numbacnn_here:Here"
"""
MODULE = """
from dataclasses import dataclass
from numbacnn import Elementwise
@dataclass(frozen=True)
class Here(Elementwise):
    f = staticmethod(lambda x: x)
    df = staticmethod(lambda x: 1.0)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "numbacnn_here.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    monkeypatch.undo()
    sys.modules.pop("numbacnn_here", None)
    refresh()


def test_it_counts_from_then_on(folder):
    assert "Here" not in registry.layers
    as_installed(folder / "tests" / "test_here.py")
    assert registry.layers["Here"].__module__ == "numbacnn_here"
    assert registry.origin(registry.layers["Here"]) == "numbacnn-here 0.4 (numbacnn_here:Here)"
    before = list(sys.path)
    as_installed(folder)  # it is there already
    assert sys.path == before


def test_no_project_above(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds a pyproject\.toml"):
        as_installed(tmp_path / "nothing")
