"""A 1x1, a depthwise and a 1x1 convolution in one launch: the same bits as three, for all shapes of bands; and when a plan does it."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.backends import open_backend
from numbacnn.convolutions import inverted_residual as rule
from numbacnn.kernels import inverted_residual as kernels
from numbacnn.plan import Plan

# images, height, width, channels, wide channels, window, strides, padding, with the first convolution, with a shortcut
CASES = [
    (2, 9, 7, 5, 24, 3, 1, "same", True, True),
    (1, 12, 5, 3, 33, 3, 2, "same", True, False),
    (9, 5, 6, 4, 20, 5, 1, "same", True, False),
    (2, 11, 11, 17, 40, 5, 2, "valid", True, False),
    (1, 3, 3, 1, 16, 1, 3, "valid", True, False),
    (2, 8, 7, 24, 24, 3, 1, "same", False, True),
    (1, 10, 9, 18, 18, 3, 2, "valid", False, False),
]


def network(case):
    _, height, width, channels, wide, window, strides, padding, expands, shortcut = case
    x = y = nn.Input((height, width, channels), name="x")
    if expands:
        y = nn.Conv2D(wide, 1, use_bias=False, name="expand")(y)
        y = nn.ReLU(max_value=6.0, name="expand_relu")(nn.BatchNormalization(name="expand_bn")(y))
    y = nn.DepthwiseConv2D(window, strides, padding, name="filter")(y)
    y = nn.ReLU(max_value=1.0, name="filter_relu")(nn.BatchNormalization(name="filter_bn")(y))
    y = nn.BatchNormalization(name="project_bn")(nn.Conv2D(channels, 1, name="project")(y))
    model = nn.Model(x, nn.Add(name="sum")([y, x]) if shortcut else y, seed=0)
    random = np.random.default_rng(1)
    for handle in model.layers:
        for name in handle.order():
            handle.put(name, handle.arrays[name] + 0.2 * random.random(handle.arrays[name].shape).astype(np.float32))
    return model


def plan(model, batch, dtype, **options):
    weights = {k: v.astype(dtype) for k, v in model.network.weights().items()}
    return Plan(model.graph, batch, weights, open_backend("cpu"), dtype=dtype, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cache", [1, 4000, 8000, 1 << 20], ids=["rows", "bands", "wide bands", "whole images"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits_as_three_launches(case, cache, dtype, monkeypatch):
    model = network(case)
    x = np.random.default_rng(0).standard_normal((case[0], *case[1:4])).astype(dtype)
    apart = plan(model, case[0], dtype)
    monkeypatch.setattr(rule, "WORTH", 0)
    monkeypatch.setattr(kernels, "CACHE", cache)
    joined = plan(model, case[0], dtype)
    assert kernels_of(joined) in (["inverted_residual"], ["multiply", "inverted_residual"])  # the latter where bands would move more rows than they make
    assert len(joined.launches) == 1 or cache < 1 << 20
    assert [part.node for part in joined.launches[-1].joined][-2:] == ["filter", "project"]
    assert kernels_of(plan(model, case[0], dtype, joining=False)) == kernels_of(apart)
    assert len(apart.launches) == 2 + case[8]
    expected, found = apart.run([x]).outputs[0], joined.run([x]).outputs[0]
    assert np.isfinite(expected).all() and np.array_equal(found, expected)


def test_nan_comes_through(monkeypatch):
    monkeypatch.setattr(rule, "WORTH", 0)
    model = network(CASES[0])
    x = np.zeros((2, 9, 7, 5), np.float32)
    x[1, 4, 3, 2] = np.nan
    y = plan(model, 2, np.float32).run([x]).outputs[0]
    assert np.isfinite(y[0]).all() and np.isnan(y[1, 3:6, 2:5]).all() and np.isfinite(y[1, :3]).all()


def kernels_of(made):
    return [launch.kernel.__name__ for launch in made.launches]


def test_only_where_nobody_else_looks_and_where_it_pays(monkeypatch):
    model = network(CASES[0])
    assert "inverted_residual" not in kernels_of(plan(model, 2, np.float32)), "small images stay in the cache anyway"
    monkeypatch.setattr(rule, "WORTH", 0)
    assert kernels_of(plan(model, 2, np.float32, keep=("expand_relu",))) == ["multiply", "inverted_residual"]
    assert "inverted_residual" not in kernels_of(plan(model, 2, np.float32, keep=("filter_relu",)))
    assert "inverted_residual" not in kernels_of(plan(model, 2, np.float32, folding=False))
    training = plan(model, 2, np.float32, training=True, trainable=frozenset(model.handles))
    assert "inverted_residual" not in kernels_of(training), "backward reads what is between"
