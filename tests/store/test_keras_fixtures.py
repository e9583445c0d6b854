"""Files that Keras 3.15.1 and tf.keras 2.15.1 wrote: whole models, and weights alone that differ from the models'; outputs are Keras' own."""

import functools

import numpy as np
import pytest
from keras_files import NAMES, expected, folder, tolerance
from networks import same, weights

import numbacnn as nn


@functools.cache
def whole(name: str) -> nn.Model:
    """Only to be read."""
    return nn.load(folder() / f"{name}.h5")


def close(model: nn.Model, name: str, which: str) -> None:
    xs = expected(name, "x")
    found = model.predict(xs if len(xs) > 1 else xs[0])
    wanted = expected(name, which)
    found = found if isinstance(found, list) else [found]
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance(name) * np.abs(b).max()


@pytest.mark.parametrize("name", NAMES)
def test_whole_models(name):
    close(whole(name), name, "y")
    again = nn.load(folder() / f"{name}.keras")
    assert same(weights(again), weights(whole(name)))
    close(again, name, "y")


@pytest.mark.parametrize("name", NAMES)
def test_weights_alone(tmp_path, name):
    model = nn.load(folder() / f"{name}.keras")
    model.load_weights(folder() / f"{name}_legacy.h5")
    legacy = weights(model)
    close(model, name, "z")
    assert not same(legacy, weights(whole(name)))
    model.load_weights(folder() / f"{name}.h5")  # a whole file's weights
    assert same(weights(model), weights(whole(name)))
    model.load_weights(folder() / f"{name}.weights.h5")
    assert same(weights(model), legacy)
    model.load_weights(folder() / f"{name}.keras")
    assert same(weights(model), weights(whole(name)))


@pytest.mark.parametrize("name", NAMES)
def test_weights_alone_for_a_model_that_was_saved_here(tmp_path, name):
    """Our own files remember which layers lay in which model, and in which order."""
    nn.load(folder() / f"{name}.h5").save(tmp_path / "ours.h5")
    model, other = nn.load(tmp_path / "ours.h5"), nn.load(folder() / f"{name}.keras")
    other.load_weights(folder() / f"{name}.weights.h5")
    model.load_weights(folder() / f"{name}_legacy.h5")
    assert same(weights(model), weights(other))
    whole(name).save_weights(tmp_path / "x.weights.h5")
    whole(name).save_weights(tmp_path / "x.h5", "legacy_weights")
    for path in ("x.weights.h5", "x.h5"):
        model.load_weights(tmp_path / path)
        assert same(weights(model), weights(whole(name)))
        model.load_weights(folder() / f"{name}.weights.h5")
        assert same(weights(model), weights(other))


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("_k3")])
def test_without_that_names_tell(name):
    model, other = nn.load(folder() / f"{name}.h5"), nn.load(folder() / f"{name}.keras")
    model.keras_layers = None
    for ending in (".weights.h5", "_legacy.h5"):
        other.load_weights(folder() / f"{name}{ending}")
        model.load_weights(folder() / f"{name}{ending}")
        assert same(weights(model), weights(other))


@pytest.mark.parametrize("form", ["keras", "keras_h5"])
@pytest.mark.parametrize("name", NAMES)
def test_written_again(tmp_path, name, form):
    whole(name).save(tmp_path / "again", form)
    model = nn.load(tmp_path / "again")
    close(model, name, "y")
    model.save(tmp_path / "third", form)
    third = nn.load(tmp_path / "third")
    assert same(weights(third), weights(model))


@pytest.mark.parametrize("ending", [".h5", ".keras", ".weights.h5", "_legacy.h5"])
@pytest.mark.parametrize("name", NAMES)
def test_described(name, ending):
    found = nn.describe(folder() / f"{name}{ending}")
    assert found.whole == (ending in (".h5", ".keras"))
    assert found.format == {".h5": "keras_h5", ".keras": "keras", ".weights.h5": "weights_h5", "_legacy.h5": "legacy_weights"}[ending]
    assert found.parameters == whole(name).count_params()
    if ending != ".weights.h5":
        assert found.versions["keras"].startswith("3." if name.endswith("_k3") else "2.")
