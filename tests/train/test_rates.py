"""Learning rates of groups: forms, errors, and what training makes of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from little import network, samples

import numbacnn as nn
from numbacnn.train.rates import parse, spread

GROUPS = [["stem", "block1"], ["block2"], ["head"]]


@pytest.mark.parametrize(
    ("lr", "expected"),
    [
        (0.1, [0.1, 0.1, 0.1]),
        ([1e-5, 1e-4, 1e-3], [1e-5, 1e-4, 1e-3]),
        ((0.0, 0, 1), [0.0, 0.0, 1.0]),
        (slice(1e-5, 1e-3), [1e-5, 1e-4, 1e-3]),
        (slice(1e-3), [1e-4, 1e-4, 1e-3]),
        (np.float32(0.5), [0.5, 0.5, 0.5]),
    ],
)
def test_forms(lr, expected):
    assert spread(lr, GROUPS) == pytest.approx(expected, rel=1e-12)
    assert spread(lr if not isinstance(lr, (list, tuple)) else lr[-1:], [["all"]]) == pytest.approx(expected[-1:])


def test_far_pictures_let_the_early_layers_learn_more():
    assert spread(slice(1e-5, 1e-3), GROUPS, "far") == pytest.approx([3e-5, 3e-4, 1e-3])
    assert spread([5e-4, 2e-3, 1e-3], GROUPS, "far") == pytest.approx([1e-3, 2e-3, 1e-3])
    assert spread(0.1, GROUPS, "far") == [0.1] * 3
    with pytest.raises(nn.UnknownNameError, match="unknown domain 'fra'; did you mean 'far'"):
        spread(0.1, GROUPS, "fra")


@given(st.floats(1e-9, 1), st.floats(1e-9, 1), st.integers(2, 7))
def test_a_range_is_geometric(low, high, count):
    rates = spread(slice(low, high), [[str(i)] for i in range(count)])
    assert rates[0] == pytest.approx(low) and rates[-1] == high
    assert np.ptp(np.diff(np.log(rates))) < 1e-9


@pytest.mark.parametrize("lr", [[1e-3, 1e-4], "0.1", True, -1, float("nan"), [0.1, None, 0.1], slice(None), slice(1e-5, 1e-3, 2), slice(0.0, 1.0)])
def test_rates_that_cannot_be(lr):
    with pytest.raises(nn.ConfigError, match="lr="):
        spread(lr, GROUPS)


def test_a_wrong_number_of_rates_names_the_groups():
    with pytest.raises(nn.ConfigError, match=r"has 2 rates, but the model has 3 layer groups \(1: stem … block1; 2: block2; 3: head\)"):
        spread([1e-3, 1e-4], GROUPS)


@pytest.mark.parametrize(
    ("text", "expected"), [("1e-3", 1e-3), ("1e-5,1e-4, 1e-3", [1e-5, 1e-4, 1e-3]), ("1e-5:1e-3", slice(1e-5, 1e-3)), (":1e-3", slice(None, 1e-3))]
)
def test_the_shell_s_forms(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "fast", "1e-3,", "1:2:3", "1e-3:", "-1", "inf", "1,nan"])
def test_what_the_shell_must_not_say(text):
    with pytest.raises(nn.ConfigError, match="learning rate"):
        parse(text)


def rates_of(model):
    session = model.session
    return {owner: session.learning_rates[session.groups.get(owner, 0)] for owner in ("block1_conv", "block1_bn", "block2_conv", "predictions")}


def test_compile_takes_all_forms_and_files_keep_them(tmp_path):
    model = network()
    model.compile("adam", "cross_entropy", lr=slice(1e-5, 1e-3))
    expected = {"block1_conv": 1e-5, "block1_bn": 1e-5, "block2_conv": pytest.approx(1e-4), "predictions": 1e-3}
    assert rates_of(model) == expected and model.optimizer.learning_rate == 1e-3
    model.save(tmp_path / "m.h5")
    assert rates_of(nn.load(tmp_path / "m.h5")) == expected
    model.compile("adam", "cross_entropy", learning_rate=[0.1, 0.2, 0.3], groups=[("block1_bn", 0.0)])
    assert rates_of(model) == {"block1_conv": 0.1, "block1_bn": 0.0, "block2_conv": 0.2, "predictions": 0.3}
    model.compile("adam", "cross_entropy", lr=0.25)
    assert set(rates_of(model).values()) == {0.25}
    model.compile("adam", "cross_entropy", lr=slice(1e-5, 1e-3), domain="far")
    assert rates_of(model)["block1_conv"] == pytest.approx(3e-5)
    with pytest.raises(nn.ConfigError, match="two names of one thing"):
        model.compile("adam", "cross_entropy", lr=0.1, learning_rate=0.1)
    with pytest.raises(nn.ConfigError, match="3 layer groups"):
        model.compile("adam", "cross_entropy", lr=[0.1, 0.2])


def test_the_history_has_the_head_s_rate_and_groups_their_own():
    x, y = samples()
    model = network()
    model.compile(nn.SGD(), "cross_entropy", lr=[0.0, 0.05, 0.1])
    before = {h.name: h.get_weights() for h in model.layers if h.specs}
    history = model.fit(x, y, epochs=1, schedule=nn.Step(drop=0.5, at=(0.0,)))
    assert history["learning_rate"] == [0.05]
    moved = {name for name in before if not np.array_equal(before[name][0], model.get_layer(name).get_weights()[0])}
    assert moved == {"block2_conv", "block2_bn", "predictions"}


def test_other_rates_keep_the_optimizer_s_state():
    x, y = samples(8)
    results = []
    for lr in (None, [0.1, 0.1, 0.1], 0.1):
        model = network()
        model.compile(nn.SGD(0.1, momentum=0.9), "cross_entropy")
        model.train_on_batch(x, y)
        if lr is not None:
            model.set_learning_rate(lr)
        model.set_learning_rate([0.05, 0.1, 0.2])
        model.train_on_batch(x, y)
        results.append(model.get_weights())
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
    fresh = network()
    fresh.compile(nn.SGD(0.1, momentum=0.9), "cross_entropy")
    fresh.train_on_batch(x, y)
    fresh.session.clear()
    fresh.set_learning_rate([0.05, 0.1, 0.2])
    fresh.train_on_batch(x, y)
    assert not np.array_equal(fresh.get_weights()[0], results[0][0]), "without the momentum it is another step"
