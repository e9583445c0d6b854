import json

import pytest
from numbacnn_cli.plugins.listing import rows

from numbacnn.testing.installed import declare, refresh

LAYER = """
from dataclasses import dataclass
from numbacnn.layer import Elementwise
@dataclass(frozen=True)
class Twice(Elementwise):
    f = staticmethod(lambda x: 2.0 * x)
    df = staticmethod(lambda x: 2.0)
"""

VECTORS = (
    LAYER.replace("Twice", "Thrice")
    + """
from numbacnn.jit import kernel
@kernel(vector=True)
def thrice(x, y):
    pass
"""
)


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A good layer, a broken loss, a layer with a taken name, one that is turned off, and a distribution whose entry points are damaged."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, code, group, points in (
        ("numbacnn-twice", LAYER, "layers", {"Twice": "numbacnn_twice:Twice", "re_lu": "numbacnn_twice:Twice"}),
        ("numbacnn-broken", "import no_such_module", "losses", {"broken": "numbacnn_broken:Broken"}),
        ("numbacnn-vectors", VECTORS, "layers", {"Thrice": "numbacnn_vectors:Thrice"}),
        ("numbacnn-off", LAYER, "layers", {"Off": "numbacnn_off:Twice"}),
    ):
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(code)
        declare(tmp_path, name, "1.5", {f"numbacnn.{group}": points})
    (declare(tmp_path, "numbacnn-damaged", "0.1", {}) / "entry_points.txt").write_text("[numbacnn.layers]\nWithout value\n")
    monkeypatch.setenv("NUMBACNN_DISABLE_PLUGINS", "numbacnn-off")
    refresh()
    yield
    monkeypatch.undo()
    refresh()


def test_every_plugin_has_its_state(plugins):
    found = {(r.kind, r.name): r for r in rows()}
    assert {r.distribution for r in found.values()} >= {"numbacnn-twice", "numbacnn-broken", "numbacnn-off", "numbacnn-damaged"}
    good = found["layer", "Twice"]
    assert (good.distribution, good.version, good.cpu, good.cuda, good.state) == ("numbacnn-twice", "1.5", True, True, "ok")
    assert (found["layer", "Thrice"].cpu, found["layer", "Thrice"].cuda) == (True, False)  # its kernel is made of the CPU's vectors
    assert found["layer", "re_lu"].state == "not used: numbacnn has layer ReLU of its own; the entry point needs another name"
    assert "No module named 'no_such_module'" in found["loss", "broken"].state
    assert found["layer", "Off"].state == "turned off by NUMBACNN_DISABLE_PLUGINS"
    assert found["?", "?"].distribution == "numbacnn-damaged" and "entry_points.txt is damaged" in found["?", "?"].state


def test_table_and_json_say_the_same(plugins, numbacnn):
    listed = json.loads(numbacnn("plugins", "list", "--json").out)
    assert {(r["kind"], r["name"]) for r in listed} == {(r.kind, r.name) for r in rows()}
    table = numbacnn("plugins", "list")
    assert table.status == 0 and all(r["state"] in table.out and r["distribution"] in table.out for r in listed)
    everything = json.loads(numbacnn("plugins", "list", "--json", "--all").out)
    assert {r["name"] for r in everything} > {"Conv2D", "Adam", "cross_entropy", "fit"} and all(
        r["state"] == "ok" for r in everything if r["distribution"] == "numbacnn"
    )


def test_layers_marks_those_of_plugins(plugins, numbacnn):
    assert "from the plugin numbacnn-twice 1.5: Twice" in numbacnn("layers").out


def test_there_are_none(numbacnn, monkeypatch):
    from numbacnn import points

    monkeypatch.setattr(points, "is_built_in", lambda point: True)
    assert "No plugins are installed" in numbacnn("plugins", "list").out
    assert "unknown command 'plugins lst'; did you mean 'plugins list'?" in numbacnn("plugins", "lst").err
