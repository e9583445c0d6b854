"""Plugin distributions in a temporary folder on sys.path."""

import shutil
import sys
import textwrap

import pytest

from numbacnn.testing.installed import declare, refresh

HEAD = """
from dataclasses import dataclass
from typing import ClassVar
import numbacnn as nn
from numbacnn.jit import kernel, prange
from numbacnn.layer import Elementwise, Layer, Weight, option
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install("numbacnn-x", "1.0", code, layers={"X": "X"}): a distribution with one module, named like it, and its entry points by group."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def remove(name):
        """Uninstall it."""
        module = name.replace("-", "_")
        sys.modules.pop(module, None)
        for old in folder.glob(f"{module}*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        refresh()

    def put(name, version="1.0", code="", **groups):
        module = name.replace("-", "_")
        remove(name)
        (folder / f"{module}.py").write_text(HEAD + textwrap.dedent(code))
        points = {f"numbacnn.{group}": {n: value if ":" in value else f"{module}:{value}" for n, value in found.items()} for group, found in groups.items()}
        declare(folder, name, version, points)
        refresh()
        return module

    put.remove = remove
    yield put
    monkeypatch.undo()
    for name in set(sys.modules) - before:
        if name.startswith("numbacnn_") and not name.startswith("numbacnn_cli"):
            del sys.modules[name]
    refresh()
