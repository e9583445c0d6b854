"""The benchmarks' own machinery: what is timed is what is computed, results are really compared, turns really alternate."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from contest import match
from contest.layer import Convolution

PARTS = ("forward", "data", "weights")


@pytest.mark.parametrize("facts", [(3, 1, 4, 5, 6, 2, False), (3, 2, 1, 8, 7, 1, False), (3, 1, 5, 5, 4, 2, True)], ids=["plain", "strided", "depthwise"])
def test_the_launches_of_a_direction_make_its_whole_result(facts):
    case = Convolution(*facts, parts=PARTS)
    shown = case.show()
    trace, plan = case.plan.trace, case.plan
    ends = {"forward": trace.outputs[0], "data": trace.input_gradients["x0"], "weights": trace.weight_gradients["layer/kernel"]}
    for root in {root for launch in (*plan.prologue, *plan.launches) for root in launch.writes}:
        root.array.view(np.uint8).fill(255)  # NaN
    for part, end in ends.items():  # in this order: the later ones may read what the earlier ones share with them
        case.parts[part]()
        assert np.array_equal(end.real(), shown[part]), part
        case.parts[part]()  # and again by itself
        assert np.array_equal(end.real(), shown[part]), part


def test_results_that_differ_are_refused():
    ones = {"forward": np.ones((2, 3))}
    assert match.agree("x", ones, {"forward": np.ones((2, 3)) + 1e-7}, {"forward": 1e-6}) < 2e-7
    for other in (np.ones((2, 3)) + 1e-3, np.full((2, 3), np.nan), np.ones((3, 2))):
        with pytest.raises(AssertionError):
            match.agree("x", ones, {"forward": other}, {"forward": 1e-6})
    with pytest.raises(AssertionError, match="data"):
        match.agree("x", ones, {"forward": np.ones((2, 3)), "data": np.ones(1)}, {"forward": 1e-6, "data": 1e-6})


def test_a_result_that_is_zero_but_for_rounding_is_measured_by_its_kind():
    mine, theirs = {"gradient a": np.ones(4), "gradient b": np.full(4, 1e-9)}, {"gradient a": np.ones(4), "gradient b": np.full(4, -1e-9)}
    assert match.difference(mine, theirs)["gradient b"] < 1e-6
    assert match.difference({**mine, "gradient b": np.full(4, 0.1)}, theirs)["gradient b"] > 1


def test_entries_run_in_turns():
    log = []

    def contestant(name):
        return SimpleNamespace(times=lambda key, part, steps=1: [log.append((name, steps)) or 0.1] * steps)

    entries = [match.Entry(name, contestant(name), "key") for name in "ab"]
    match.play(entries, 3)
    assert [name for name, _ in log] == list("ab" + "abbaab")
    assert len(entries[0].times) == len(entries[1].times) == 3 * max(1, round(match.TURN / 0.1))
