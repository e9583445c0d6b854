import pytest
from numbacnn_cli.layers import rows

from numbacnn import registry
from numbacnn.errors import PluginError


def test_all_layers_are_listed(numbacnn):
    done = numbacnn("layers")
    assert done.status == 0
    assert all(name in done.out for name in registry.layers)
    found = {row.name: row for row in rows()}
    assert found["SiLU"].state == "as Swish"
    assert found["Conv2D"].state == "ok"
    assert (found["Conv2D"].distribution, found["Conv2D"].version) == ("numbacnn", registry.version(registry.layers.point("Conv2D")))
    assert found["Conv2D"].cpu
    assert not any(row.broken for row in found.values())


class Broken:
    name, value, group = "Wavelet", "plugin:Wavelet", "numbacnn.layers"

    class dist:
        read_text = staticmethod(lambda name: None)
        name, version = "numbacnn-wavelet", "0.3"

    def load(self):
        raise ModuleNotFoundError("No module named 'pywavelets'")


def test_a_broken_plugin_is_listed_with_its_reason(numbacnn, monkeypatch):
    monkeypatch.setitem(registry.layers.__dict__, "points", dict(registry.layers.points) | {"Wavelet": [Broken()]})
    with pytest.raises(PluginError):
        registry.layers["Wavelet"]
    done = numbacnn("layers")
    assert done.status == 0
    (line,) = [line for line in done.out.splitlines() if "Wavelet" in line]
    assert "numbacnn-wavelet" in line
    assert "No module named 'pywavelets'" in line
    assert "Conv2D" in done.out
