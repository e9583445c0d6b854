"""Examines all that a distribution or a module brings, in processes of their own: one that dies or hangs is a failed check, and the next goes on behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from ...errors import ConfigError, PluginError
from .kinds import CHECKS, checks_of
from .mark import FAILED, Mark
from .process import Process
from .subjects import Subject

TIMEOUT = 900.0  # seconds for one check


@dataclass
class Report:
    """The marks that one subject got, in the order of the examination."""

    subject: Subject
    marks: list[Mark] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.marks) and all(m.mark != FAILED for m in self.marks)

    def as_dict(self, traces: bool = False) -> dict[str, Any]:
        """JSON-able; traces: also the tracebacks of what failed."""
        return self.subject.as_dict() | {"passed": self.passed, "marks": [m.as_dict(traces) for m in self.marks]}


def examine(
    target: str,
    *,
    checks: set[str] | None = None,
    names: set[str] | None = None,
    timeout: float = TIMEOUT,
    heard: Callable[[Subject, str], None] = lambda subject, check: None,
) -> list[Report]:
    """The reports on all that `target` (a distribution, a module or its file) brings.

    checks, names: only these checks, of what has one of these names. timeout: seconds that one check may take.
    heard(subject, check) is told what begins.
    Raises PluginError where there is no such target, or where it is turned off, ConfigError without hypothesis. A module that cannot be
    imported is a report with a failed mark.
    """
    if find_spec("hypothesis") is None:
        raise ConfigError("the examination draws configurations with hypothesis, which is not installed: pip install hypothesis")
    every = [c for kind in CHECKS for c in checks_of(kind) if checks is None or c.name in checks]
    reports: list[Report] = []
    for environment in dict.fromkeys(tuple(sorted(c.environment.items())) for c in every):
        wanted = list(dict.fromkeys(c.name for c in every if tuple(sorted(c.environment.items())) == environment))
        order = {"target": target, "checks": wanted, "names": None if names is None else sorted(names)}
        _in_one_environment(order, dict(environment), timeout, heard, reports)
    for report in reports:
        places = {c.name: i for i, c in enumerate(checks_of(report.subject.kind))}
        report.marks.sort(key=lambda m: places.get(m.check, -1))
    return [r for r in reports if r.marks]


def _in_one_environment(order: dict, environment: Mapping[str, str], timeout: float, heard: Callable, reports: list[Report]) -> None:
    """Adds marks to the reports. Processes follow each other until one comes to its end."""
    module = Subject("module", order["target"], order["target"])
    done: list[tuple[int, str]] = []
    while True:
        begun: tuple[int, str] | None = None
        process = Process(order | {"done": done}, environment)
        try:
            for line in process.lines(timeout):
                if "error" in line:
                    if not line["known"]:
                        raise PluginError(line["error"])
                    if not reports:
                        reports.append(Report(module, [Mark("import", FAILED, line["error"], trace=line["trace"])]))
                    return
                if "subjects" in line:
                    reports.extend(Report(Subject(**s)) for s in line["subjects"][len(reports) :])
                elif "begin" in line:
                    begun = tuple(line["begin"])
                    heard(reports[begun[0]].subject, begun[1])
                else:
                    done.append(begun)
                    _add(reports[begun[0]], Mark(**line["mark"]))
                    begun = None
        finally:
            why = process.end()
        if begun is None:
            if why and not reports:
                reports.append(Report(module, [Mark("import", FAILED, f"the process {why}")]))
            return
        done.append(begun)
        _add(reports[begun[0]], Mark(begun[1], FAILED, f"the process {why}"))


def _add(report: Report, mark: Mark) -> None:
    if all(m.check != mark.check for m in report.marks):  # an import that fails in each environment is told once
        report.marks.append(mark)
