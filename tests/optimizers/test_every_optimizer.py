"""Runs over the registry: each optimizer's kernel against its naive oracle, over several groups, weights, steps and ways of clipping."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import fields, registry
from numbacnn.errors import ConfigError
from numbacnn.optimizers.base import Optimizer

EVERY = [(name, example) for name in registry.optimizers for example in registry.optimizers[name].examples()]
CHUNK = 7
SIZES = ((1, 20), (3, 0, 9))  # sizes of the weights, group by group
DECAYS = (1, 0, 1, 1, 1)


class Now:
    """A step that runs launches at once."""

    def __init__(self, optimizer, w, sizes=SIZES, decays=DECAYS):
        self.dtype, self.w, self.g = w.dtype.type, w, np.full_like(w, np.nan)
        self.slot = SimpleNamespace(**{name: np.zeros_like(w) for name in optimizer.slots})
        self.bounds = np.cumsum([0, *(s for group in sizes for s in group)])
        groups = [k for k, group in enumerate(sizes) for _ in group]
        self.segments, self.decays = len(groups), np.array(decays, w.dtype)
        spans = [(b, min(b + CHUNK, e), s) for s, (b, e) in enumerate(zip(self.bounds, self.bounds[1:], strict=False)) for b in range(b, e, CHUNK)]
        self.jobs = np.array([(b, e, s, groups[s]) for b, e, s in spans], np.int64)
        self.rates = np.full((len(sizes), len(optimizer.rates(1.0, 1))), np.nan, w.dtype)

    def new(self, *shape, dtype=None):
        return np.full(shape, np.nan, dtype or self.dtype)

    def constant(self, array):
        return np.asarray(array, self.dtype)

    def run(self, kernel, *inputs, out):
        inputs = [self.dtype(i) if isinstance(i, float) else i for i in inputs]
        kernel(*inputs, *(out if isinstance(out, tuple) else (out,)))


def clip(optimizer, parts):
    """Keras' clipping, a weight at a time or all together."""
    norms = [np.sqrt((p**2).sum()) for p in parts]
    if optimizer.clipnorm:
        return [p * optimizer.clipnorm / max(n, optimizer.clipnorm) for p, n in zip(parts, norms, strict=True)]
    if optimizer.global_clipnorm:
        return [p * optimizer.global_clipnorm / max(np.sqrt(sum(n**2 for n in norms)), optimizer.global_clipnorm) for p in parts]
    return [p if optimizer.clipvalue is None else p.clip(-optimizer.clipvalue, optimizer.clipvalue) for p in parts]


def check(optimizer, dtype, rtol, seed=0, steps=5):
    random = np.random.default_rng(seed)
    flat = random.standard_normal(33).astype(dtype)
    step = Now(optimizer, flat)
    expected = [p.astype(np.float64) for p in np.split(flat, step.bounds[1:-1])]
    states, learning_rates = [{} for _ in expected], (0.05, 0.005)
    groups = [k for k, group in enumerate(SIZES) for _ in group]
    for t in range(1, steps + 1):
        gradient = (random.standard_normal(33) * (0.01 if t == 3 else 1)).astype(dtype)
        step.g[:] = gradient
        step.rates[:] = [optimizer.rates(r, t) for r in learning_rates]
        optimizer.update(step)
        parts = clip(optimizer, np.split(gradient.astype(np.float64), step.bounds[1:-1]))
        for s, g in enumerate(parts):
            rate = learning_rates[groups[s]]
            w = expected[s] * (1 - rate * (optimizer.weight_decay or 0) * DECAYS[s])
            expected[s] = getattr(reference, type(optimizer).__name__)(optimizer, w, g, states[s], rate, t)
        np.testing.assert_allclose(step.w, np.concatenate(expected), rtol=rtol, atol=rtol)
        np.testing.assert_array_equal(step.g, gradient)


@pytest.mark.parametrize(("name", "optimizer"), EVERY, ids=[f"{n}-{i}" for i, (n, _) in enumerate(EVERY)])
def test_oracle(name, optimizer):
    check(optimizer, np.float64, 1e-12)
    check(optimizer, np.float32, 3e-6)
    assert registry.optimizers.name_of(type(optimizer)) == name
    assert fields.build(type(optimizer), fields.to_json(optimizer)) == optimizer


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_drawn_configurations(data):
    cls = registry.optimizers[data.draw(st.sampled_from(sorted(registry.optimizers)))]
    share, small = st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([1e-7, 1e-2])
    draws = {"momentum": share, "rho": st.sampled_from([0.5, 0.9]), "beta_1": share, "beta_2": share, "epsilon": small}
    flags = {n: st.booleans() for n in ("nesterov", "centered", "amsgrad")}
    own = {n: data.draw(s) for n, s in {**draws, **flags}.items() if n in fields.kinds(cls)}
    way = data.draw(st.sampled_from(["clipnorm", "global_clipnorm", "clipvalue", None]))
    optimizer = cls(**own, weight_decay=data.draw(st.sampled_from([None, 0.0, 0.1])), **({way: data.draw(st.floats(0.01, 10))} if way else {}))
    check(optimizer, np.float64, 1e-9, data.draw(st.integers(0, 99)))


def test_the_first_step_of_adam_is_the_learning_rate():
    optimizer = registry.optimizers["adam"]()
    w = np.zeros(33, np.float32)
    step = Now(optimizer, w)
    step.g[:], step.rates[:] = np.linspace(-5, 5, 33) + 0.01, optimizer.rates(0.001, 1)
    optimizer.update(step)
    np.testing.assert_allclose(w, -0.001 * np.sign(step.g), rtol=1e-3)


def test_many_equal_gradients_do_not_make_a_centered_variance_negative():
    optimizer = registry.optimizers["RMSprop"](centered=True)
    step = Now(optimizer, np.zeros(33, np.float32))
    for t in range(1, 300):
        step.g[:], step.rates[:] = np.linspace(100, 1000, 33), optimizer.rates(0.001, t)
        optimizer.update(step)
    assert np.isfinite(step.w).all()


@pytest.mark.parametrize("clipping", [{}, {"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 1.0}])
def test_nan_is_not_hidden(clipping):
    optimizer = registry.optimizers["adam"](**clipping)
    step = Now(optimizer, np.zeros(33, np.float32))
    step.g[:], step.rates[:] = 1.0, optimizer.rates(0.001, 1)
    step.g[4] = math.nan
    optimizer.update(step)
    assert np.isnan(step.w[4])


def test_norm_of_large_float32_gradients():
    optimizer = registry.optimizers["SGD"](global_clipnorm=2.0)
    step = Now(optimizer, np.zeros(33, np.float32))
    step.g[:], step.rates[:] = 1e30, optimizer.rates(1.0, 1)  # the squares overflow float32
    optimizer.update(step)
    assert np.linalg.norm(step.w.astype(np.float64)) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("SGD", {"clipnorm": 1, "clipvalue": 1}, "clipnorm and clipvalue are given: at most one"),
        ("SGD", {"clipnorm": 0}, "clipnorm=0 must be greater than 0"),
        ("SGD", {"learning_rate": -1}, "learning_rate=-1 must be at least 0"),
        ("SGD", {"learning_rate": math.nan}, "learning_rate=nan"),
        ("SGD", {"learning_rate": "fast"}, "learning_rate='fast'"),
        ("SGD", {"momentum": 1.0}, "momentum=1.0 must be at least 0 and less than 1"),
        ("Adam", {"beta_1": 1.0}, "beta_1=1.0"),
        ("RMSprop", {"rho": 2}, "rho=2"),
        ("AdamW", {"weight_decay": -0.1}, "weight_decay=-0.1"),
    ],
)
def test_bad_arguments(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        registry.optimizers[name](**arguments)


def test_defaults_are_those_of_keras():
    sgd, rmsprop, adam, adamw = (registry.optimizers[n]() for n in ("SGD", "RMSprop", "Adam", "AdamW"))
    assert (sgd.learning_rate, sgd.momentum, sgd.nesterov, sgd.slots) == (0.01, 0.0, False, ())
    assert (rmsprop.learning_rate, rmsprop.rho, rmsprop.momentum, rmsprop.epsilon, rmsprop.centered) == (0.001, 0.9, 0.0, 1e-7, False)
    assert (adam.learning_rate, adam.beta_1, adam.beta_2, adam.epsilon, adam.amsgrad, adam.weight_decay) == (0.001, 0.9, 0.999, 1e-7, False, None)
    assert replace(adamw, weight_decay=None).rates(0.1, 3) == adam.rates(0.1, 3) and adamw.weight_decay == 0.004
    assert (rmsprop.slots, adam.slots) == (("velocity",), ("momentum", "velocity"))
    assert all(issubclass(registry.optimizers[n], Optimizer) for n in registry.optimizers)
