"""The examination finds each fault, by the check that is for it, and survives what plugins do to their process."""

import json

import broken
import pytest

from numbacnn import registry
from numbacnn.errors import ConfigError
from numbacnn.testing.examination import CHECKS, FAILED, OK, SKIPPED, examine, subjects

LAYER = {check.name: check for check in CHECKS["layer"]}
FAULTS = [
    (broken.NoContract, "contract", r"contract: ClassVar\[int\] = 1"),
    (broken.WrongContract, "contract", "written for contract 7, this numbacnn has contract 1"),
    (broken.WrongGradient, "gradients", r"gradient by input 0 along a random direction is .* central differences give"),
    (broken.NoGradient, "gradients", "step.dx"),
    (broken.WrongShape, "shapes", r"made \(4, 5, 3\), but its output_shape\(\) says \(4, 5, 4\)"),
    (broken.CannotBeStored, "configuration", "CannotBeStored.table: fields of type dict cannot be stored"),
    (broken.NoExamples, "configuration", "NoExamples has fields but yields no examples"),
    (broken.ForgetsState, "save and load", "the output is another one after saving and loading"),
    (broken.LosesDigits, "float32 against float64", "float32 differs from float64 by"),
    (broken.LooksAtOthers, "batch of one", "sample 0 alone differs from itself in a batch of two"),
    (broken.NeedsSamples, "empty batch", "ZeroDivisionError"),
    (broken.PastTheEnd, "guard words", "kernel past_the_end writes out of bounds: up to 4 bytes behind its end, layer"),
    (broken.PastTheEndByPointer, "guard words", "kernel past_the_end_by_pointer writes out of bounds: up to 4 bytes behind its end, gradient of x0"),
    (broken.BeforeTheBeginning, "guard words", "kernel before_the_beginning writes out of bounds: up to 4 bytes before its beginning, layer"),
    (broken.ChangesInput, "inputs kept", "kernel changes_input writes what it should only read: x0 is an input"),
    (broken.ForgetsTheLast, "outputs written", "kernel but_the_last does not write its output completely.* 1 of .* elements of layer"),
    (broken.AddsToNothing, "outputs written", "kernel onto .* takes in what stood there before"),
    (broken.Races, "threads", "kernel total lets two of its jobs write the same place"),
    (broken.SumsAcrossJobs, "threads", "kernel total_across .* its jobs in another order give other values"),
    (broken.WrongTwin, "GPU, simulated", "output differs by .* on the GPU"),
    (broken.ComputesWide, "no float64", r"float64 beside float32: .*kernel softened \(broken.py, line \d+: y\[i\] = x\[i\] / \(1.0"),
    (
        broken.ComputesWithIntegers,
        "no float64",
        r"write x.dtype.type.*: kernel one_more \(broken.py, line \d+: q = 1 \+ x\[i\]; line \d+: y\[i\] = .* / x.size\); kernel shared_out .*: dx",
    ),
]
COSTLY = {name for name, check in LAYER.items() if check.costly}


@pytest.fixture
def registered():
    """The broken layers, as if a distribution registered them."""
    found = subjects("broken")
    yield found
    registry.layers.refresh()


@pytest.mark.parametrize(("cls", "name", "words"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_each_fault_is_found_by_its_check(registered, cls, name, words):
    mark = LAYER[name].mark(cls)
    assert mark.mark == FAILED
    assert "\n" not in mark.detail
    with pytest.raises(AssertionError, match=words):  # shows both where they differ
        raise AssertionError(mark.detail)


def test_a_sound_layer_gets_no_failed_mark(registered):
    marks = [check.mark(broken.Sound) for check in LAYER.values() if not check.costly]
    assert [(m.check, m.mark, m.detail) for m in marks if m.mark not in (OK, SKIPPED)] == []
    assert [m.check for m in marks if m.mark == SKIPPED] == ["registered"]


def test_every_check_but_those_that_inform_has_a_fault_that_it_finds():
    assert set(LAYER) - {name for _, name, _ in FAULTS} == {"registered", "bounds", "load in another process", "GPU, compiled", "speed"}


def test_a_plugin_that_ends_or_hangs_its_process_is_a_failed_check_and_no_more():
    heard = []
    reports = examine("crashing", checks={"contract", "shapes"}, timeout=10, heard=lambda subject, check: heard.append((subject.name, check)))
    marks = {(r.subject.name, m.check): m for r in reports for m in r.marks}
    assert marks["Crashes", "shapes"].detail.startswith("the process died of SIGSEGV")
    assert marks["Hangs", "shapes"].detail.startswith("the process was ended: the check took too long")
    assert all(marks[name, "contract"].mark == OK for name in ("Crashes", "Hangs", "Sound"))
    assert marks["Sound", "shapes"].mark == OK
    assert len(heard) == len(marks) == 6


def test_bounds_are_checked_in_a_process_of_its_own():
    reports = {r.subject.name: r.marks[0] for r in examine(broken.__file__, checks={"bounds"})}
    assert reports["PastTheEnd"].mark == FAILED and "kernel past_the_end" in reports["PastTheEnd"].detail and "out of bounds" in reports["PastTheEnd"].detail
    assert reports["PastTheEndByPointer"].mark == OK  # which is what guard words are for
    assert reports["Sound"].mark == OK


def test_a_module_that_cannot_be_imported_is_a_failed_mark(tmp_path):
    file = tmp_path / "cannot_be_imported.py"
    file.write_text("import no_such_module")
    (report,) = examine(str(file))
    assert not report.passed and report.marks[0].check == "import"
    assert report.marks[0].detail == "ModuleNotFoundError: No module named 'no_such_module'"
    assert json.dumps(report.as_dict())


def test_without_hypothesis_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("numbacnn.testing.examination.examining.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install hypothesis"):
        examine("numbacnn")
