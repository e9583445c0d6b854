"""Examines all that a distribution or a module brings, in processes of their own: one that dies or hangs is a failed check, and the next goes on behind it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ...errors import PluginError
from .kinds import CHECKS, checks_of
from .mark import FAILED, Mark
from .subjects import Subject

TIMEOUT = 900.0  # seconds for one check
_COMMAND = "from numbacnn.testing.examination.worker import work; work()"


@dataclass
class Report:
    """The marks that one subject got, in the order of the examination."""

    subject: Subject
    marks: list[Mark] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.marks) and all(m.mark != FAILED for m in self.marks)

    def as_dict(self) -> dict[str, Any]:
        return self.subject.as_dict() | {"passed": self.passed, "marks": [m.as_dict() for m in self.marks]}


def examine(
    target: str, *, names: set[str] | None = None, timeout: float = TIMEOUT, heard: Callable[[Subject, str], None] = lambda subject, check: None
) -> list[Report]:
    """The reports on all that `target` (a distribution, a module or its file) brings.

    names: the checks to run (default: all). timeout: seconds that one check may take. heard(subject, check) is told what begins.
    Raises PluginError where there is no such target, or where it is turned off. A module that cannot be imported is a report with a failed mark.
    """
    every = [c for kind in CHECKS for c in checks_of(kind) if names is None or c.name in names]
    reports: list[Report] = []
    for environment in list({tuple(sorted(c.environment.items())): None for c in every}):
        wanted = [c.name for c in every if tuple(sorted(c.environment.items())) == environment]
        _in_one_environment(target, wanted, dict(environment), timeout, heard, reports)
    order = {c.name: i for i, c in enumerate(every)}
    for report in reports:
        report.marks.sort(key=lambda m: order.get(m.check, -1))
    return reports


def _in_one_environment(target: str, wanted: list[str], environment: Mapping[str, str], timeout: float, heard: Callable, reports: list[Report]) -> None:
    """Adds marks to the reports. Processes follow each other until one comes to its end."""
    done: list[tuple[int, str]] = []
    while True:
        begun: tuple[int, str] | None = None
        process = _Process({"target": target, "checks": wanted, "done": done}, environment)
        try:
            for line in process.lines(timeout):
                if "error" in line:
                    if not line["known"]:
                        raise PluginError(line["error"])
                    if not reports:
                        mark = Mark("import", FAILED, line["error"], trace=line["trace"])
                        reports.append(Report(Subject("module", target, target), [mark]))
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
                reports.append(Report(Subject("module", target, target), [Mark("import", FAILED, f"the process {why}")]))
            return
        done.append(begun)
        _add(reports[begun[0]], Mark(begun[1], FAILED, f"the process {why}"))


def _add(report: Report, mark: Mark) -> None:
    if all(m.check != mark.check for m in report.marks):  # an import that fails in each environment is told once
        report.marks.append(mark)


class _Process:
    def __init__(self, order: dict, environment: Mapping[str, str]):
        path = os.pathsep.join(p or os.getcwd() for p in sys.path)
        given = {**os.environ, "PYTHONPATH": path, "NUMBACNN_POISON": "1", **environment}
        given.setdefault("NUMBA_NUM_THREADS", str(max(4, os.cpu_count() or 1)))
        given.pop("NUMBACNN_SERIAL", None)
        self.popen = subprocess.Popen(
            [sys.executable, "-c", _COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=given, text=True, encoding="utf-8"
        )
        self.errors: list[str] = []
        self.ended = self.late = False
        self._lines: queue.SimpleQueue = queue.SimpleQueue()
        self._readers = [threading.Thread(target=f, daemon=True) for f in (self._read, self._read_errors)]
        for thread in self._readers:
            thread.start()
        with suppress(OSError):  # it died at once; `end` tells how
            self.popen.stdin.write(json.dumps(order))
            self.popen.stdin.close()

    def _read(self) -> None:
        for line in self.popen.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        for line in self.popen.stderr:
            self.errors = [*self.errors[-20:], line.strip()]

    def lines(self, timeout: float) -> Iterator[dict]:
        """What it answers, until it ends or says nothing for too long."""
        while True:
            try:
                line = self._lines.get(timeout=timeout)
            except queue.Empty:
                self.late = True
                return
            if line is None:
                self.ended = True
                return
            yield json.loads(line)

    def end(self) -> str:
        """How it ended, "" where all is well."""
        if not self.ended:  # it hangs, or nobody wants to know more
            self.popen.kill()
        code = self.popen.wait()
        for thread in self._readers:
            thread.join(5)
        if self.late:
            return "was ended: the check took too long (--timeout)"
        if code == 0:
            return ""
        last = f": {self.errors[-1]}" if self.errors and self.errors[-1] else ""
        if code < 0:
            return f"died of {signal.Signals(-code).name}, as after a write far out of bounds{last}"
        return f"ended with status {code}{last}"
