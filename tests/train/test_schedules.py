"""Schedules: their factors, by name and as objects."""

import pytest
from little import network, samples

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
