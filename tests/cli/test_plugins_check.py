"""`numbacnn plugins check`: table, JSON, exit status. What the checks find is tested in tests/testing/test_examination.py."""

import json

import pytest

from numbacnn.testing.installed import declare, refresh

LAYERS = """
from dataclasses import dataclass
from typing import ClassVar
from numbacnn.layer import Elementwise

@dataclass(frozen=True)
class Twice(Elementwise):
    contract: ClassVar[int] = 1

    @staticmethod
    def f(x):
        return 2.0 * x

    @staticmethod
    def df(x):
        return 2.0

@dataclass(frozen=True)
class Silent(Elementwise):
    @staticmethod
    def f(x):
        return 2.0 * x

    @staticmethod
    def df(x):
        return 1.0
"""
CHEAP = ("--only", "registered", "--only", "contract", "--only", "gradients")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A distribution with a sound layer, an alias of it, one with two faults, and a loss that cannot be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "numbacnn_twice.py").write_text(LAYERS)
    layers = {"Twice": "numbacnn_twice:Twice", "a_twin": "numbacnn_twice:Twice", "Silent": "numbacnn_twice:Silent"}
    declare(tmp_path, "numbacnn-twice", "1.5", {"numbacnn.layers": layers, "numbacnn.losses": {"gone": "numbacnn_gone:Loss"}})
    refresh()
    yield "numbacnn_Twice"  # as pip sees it, that is the same name
    monkeypatch.undo()
    refresh()


def test_marks_as_json_and_as_a_table(plugin, numbacnn):
    done = numbacnn("plugins", "check", plugin, "--json", *CHEAP)
    found = json.loads(done.out)
    assert done.status == 1 and found["passed"] is False and found["target"] == plugin
    subjects = {s["name"]: s for s in found["subjects"]}
    assert {n: (s["kind"], s["distribution"], s["version"], s["passed"]) for n, s in subjects.items()} == {
        "Twice": ("layer", "numbacnn-twice", "1.5", True),
        "Silent": ("layer", "numbacnn-twice", "1.5", False),
        "gone": ("loss", "numbacnn-twice", "1.5", False),
    }
    marks = {(n, m["check"]): m for n, s in subjects.items() for m in s["marks"]}
    assert {key: m["mark"] for key, m in marks.items()} == {
        ("Twice", "registered"): "ok",
        ("Twice", "contract"): "ok",
        ("Twice", "gradients"): "ok",
        ("Silent", "registered"): "ok",
        ("Silent", "contract"): "failed",
        ("Silent", "gradients"): "failed",
        ("gone", "import"): "failed",
    }
    assert marks["gone", "import"]["detail"] == "ModuleNotFoundError: No module named 'numbacnn_gone'"
    assert set(marks["Twice", "registered"]) == {"check", "mark", "detail", "seconds"}
    assert marks["Twice", "registered"]["detail"] == "Twice of numbacnn-twice 1.5"

    table = numbacnn("plugins", "check", plugin, *CHEAP)
    assert table.status == 1 and all(m["detail"] in table.out for m in marks.values())
    assert table.out.splitlines()[-1] == "failed: Silent: contract; Silent: gradients; gone: import"
    assert "Traceback" not in table.out + table.err


def test_one_that_passes_and_tracebacks_where_they_are_wanted(plugin, numbacnn):
    done = numbacnn("plugins", "check", plugin, "--name", "Twice", *CHEAP)
    assert done.status == 0 and done.out.splitlines()[-1] == "passed" and "Silent" not in done.out
    done = numbacnn("plugins", "check", plugin, "--name", "gone", "--verbose", *CHEAP)
    assert done.status == 1 and "Traceback (most recent call last)" in done.out
    done = numbacnn("plugins", "check", plugin, "--name", "nobody", *CHEAP)
    assert done.status == 1 and done.out.splitlines()[-1] == "failed: there is nothing to examine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("numbacnn-no-such",), "unknown plugin distribution or module 'numbacnn-no-such'"),
        (("numbacnn-twice", "--only", "gradient"), "unknown check 'gradient'; did you mean 'gradients'?"),
    ],
)
def test_bad_input_is_one_line(plugin, numbacnn, arguments, words):
    done = numbacnn("plugins", "check", *arguments)
    assert done.status == 2 and words in done.err and "Traceback" not in done.err


def test_one_that_is_turned_off(plugin, numbacnn, monkeypatch):
    monkeypatch.setenv("NUMBACNN_DISABLE_PLUGINS", "numbacnn-twice")
    done = numbacnn("plugins", "check", "numbacnn-twice")
    assert done.status == 2 and "numbacnn-twice is turned off by NUMBACNN_DISABLE_PLUGINS" in done.err
