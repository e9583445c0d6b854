"""Schedules: their factors, by name and as objects."""

from dataclasses import replace

import pytest
from little import network, same, samples

import numbacnn as nn
from numbacnn.train import schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 1, 0.5: 1, 1: 1}),
        ("cosine", {0: 1, 0.5: 0.5, 1: 0}),
        ("one_cycle", {0: 1 / 25, 0.25: 1, 0.625: (1 + 1e-5) / 2, 1: 1e-5}),
        ("step", {0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1: 0.01}),
        (nn.Step(0.5, (0.1, 0.2, 0.3)), {0.05: 1, 0.15: 0.5, 0.25: 0.25, 0.9: 0.125}),
        ("warm_up", {0: 0, 0.05: 0.5, 0.1: 1, 0.55: 0.5, 1: 0}),
        (nn.WarmUp(0.2, "constant", start=0.5), {0: 0.5, 0.1: 0.75, 0.2: 1, 0.7: 1}),
        (nn.WarmUp(0.5, nn.WarmUp(0.5, "step")), {0.25: 0.5, 0.5: 0, 0.625: 0.5, 0.75: 1, 0.875: 0.1}),
        (schedules.Phases(((0.25, nn.Cosine()), (1.0, nn.Step(0.1, (0.5,))))), {0: 1, 0.125: 0.5, 0.25: 1, 0.6: 1, 0.625: 0.1, 1: 0.1}),
    ],
)
def test_factors(schedule, expected):
    made = schedules.get(schedule)
    assert {p: made.factor(p) for p in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("one_cycle", {0: None, 0.5: None}),
        (nn.OneCycle(moms=(0.95, 0.85, 0.9)), {0: 0.95, 0.125: 0.9, 0.25: 0.85, 0.625: 0.875, 1: 0.9}),
        (nn.WarmUp(0.5, nn.OneCycle(0.5, moms=[0.9, 0.8, 0.9])), {0: 0.9, 0.5: 0.9, 0.75: 0.8, 1: 0.9}),
        (schedules.Phases(((0.5, nn.Cosine()), (1.0, nn.OneCycle(0.5, moms=(0.9, 0.8, 0.9))))), {0.2: None, 0.5: 0.9, 0.75: 0.8, 1: 0.9}),
    ],
)
def test_momentums(schedule, expected):
    made = schedules.get(schedule)
    assert {p: made.momentum(p) for p in expected} == {p: m if m is None else pytest.approx(m) for p, m in expected.items()}


class Momentums(nn.Callback):
    """What each step's update was told."""

    def __init__(self):
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(self.model.session.momentum)


@pytest.mark.parametrize("optimizer", [nn.Adam(0.01), nn.AdamW(0.01), nn.SGD(0.01, momentum=0.9), nn.RMSprop(0.01, momentum=0.9)])
def test_momentum_goes_down_and_up_while_the_rate_goes_up_and_down(optimizer):
    """The same as training each step with an optimizer of that momentum, without a new plan for any."""
    x, y = samples()
    watch, plans, weights = Momentums(), [], []
    for way in ("cycle", "steps", "off"):
        model = network(normalized=False)
        model.compile(optimizer, "cross_entropy")
        if way == "steps":
            own = optimizer.momentum_name
            for i, moved in enumerate(watch.seen):
                model.session.optimizer = replace(optimizer, **{own: moved})
                model.session.factor = nn.OneCycle(0.5).factor(i / 4)
                model.train_on_batch(x, y)
        else:
            moms = {} if way == "cycle" else {"moms": None}
            model.fit_one_cycle([(x, y)] * 4, epochs=1, start=0.5, callbacks=[watch] if way == "cycle" else None, **moms)
            plans.append(sum(kind.startswith("train") for kind, *_ in model.network._plans))
        weights.append(model.get_weights())
        assert model.session.momentum is None
    assert watch.seen == pytest.approx([0.95, 0.9, 0.85, 0.9])
    assert same(weights[0], weights[1]) and not same(weights[0], weights[2]) and plans == [1, 1]


def test_what_has_no_momentum_gets_none():
    x, y = samples()
    weights = []
    for moms in ((0.95, 0.85, 0.95), None):
        model = network(normalized=False)
        model.compile("sgd", "cross_entropy")
        model.fit_one_cycle([(x, y)] * 4, epochs=1, moms=moms)
        weights.append(model.get_weights())
    assert same(*weights)


@pytest.mark.parametrize("moms", [(0.9, 0.8), (0.9, 0.8, 1.0), 0.9, (0.9, "x", 0.9)])
def test_momentums_that_cannot_be(moms):
    with pytest.raises(nn.ConfigError, match="moms="):
        network().fit_one_cycle([samples()], moms=moms)


@pytest.mark.parametrize("make", [lambda: nn.Step(0), lambda: nn.Step(0.1, (2,)), lambda: nn.WarmUp(1.0), lambda: nn.WarmUp(start=2), lambda: nn.OneCycle(1)])
def test_schedules_that_cannot_be(make):
    with pytest.raises(nn.ConfigError):
        make()


def test_unknown_names():
    with pytest.raises(nn.UnknownNameError, match="did you mean 'cosine'"):
        schedules.get("cosin")
    with pytest.raises(nn.UnknownNameError, match="unknown schedule 'linear'"):
        nn.WarmUp(then="linear")


def test_fit_one_cycle_goes_up_and_down():
    x, y = samples()
    model = network(normalized=False)
    model.compile("sgd", "cross_entropy")
    history = model.fit_one_cycle([(x, y)] * 4, [(x, y)], epochs=2, lr=slice(1e-3, 1e-2), start=0.5)
    assert history["learning_rate"] == pytest.approx([1e-2 * (1 / 25 + (1 - 1 / 25) * 0.853553), 1e-2 * 0.146456], rel=1e-3)
    assert len(history["valid_loss"]) == 2 and model.session.learning_rates == pytest.approx([1e-2, 1e-3, 1e-3 * 10**0.5])
    assert model.session.learning_rate == 1e-2, "the schedule ends with the fit"
