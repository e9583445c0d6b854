"""One check, and the mark that something got in it."""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

OK, FAILED, SLOW, SKIPPED = "ok", "failed", "slow", "skipped"


class Skip(Exception):
    """Raised by a check that has nothing to look at; says why."""


class Slow(Exception):
    """Raised by a check that finds nothing wrong, but something slow; says how slow."""


@dataclass(frozen=True)
class Check:
    """A part of the examination.

    run          takes what is examined, returns a few words; raises where something is wrong (anything), Skip or Slow
    costly       compiles anew, starts processes or measures: for `numbacnn plugins check` and the nightly tests
    environment  variables that its process needs from the start
    """

    name: str
    run: Callable[[Any], str]
    costly: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def mark(self, thing: Any) -> "Mark":
        """Run it; whatever it raises becomes a mark."""
        start = time.perf_counter()
        try:
            mark, detail, trace = OK, self.run(thing) or "", ""
        except Skip as reason:
            mark, detail, trace = SKIPPED, str(reason), ""
        except Slow as reason:
            mark, detail, trace = SLOW, str(reason), ""
        except Exception as error:
            mark, detail, trace = FAILED, reason_of(error), traceback.format_exc()
        return Mark(self.name, mark, detail, round(time.perf_counter() - start, 3), trace)


def reason_of(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    text = text if len(text) < 600 else f"{text[:600]}…"
    return text if isinstance(error, AssertionError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


@dataclass(frozen=True)
class Mark:
    """What a check found; detail in one line; trace: the traceback of what failed."""

    check: str
    mark: Literal["ok", "failed", "slow", "skipped"]
    detail: str = ""
    seconds: float = 0.0
    trace: str = ""

    def as_dict(self, traces: bool = True) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if traces or name != "trace"}
