"""The process in which plugins are examined: what they do to it harms nobody else.

It is told on standard input, in JSON: target, checks, names (of what; null: of all), and those (number of the subject, check) that are
done. It answers in lines of JSON: {"subjects": […]}, then for each check {"begin": [number of the subject, check]} and {"mark": {…}}; or
{"error": …} where the target cannot be had.
"""

import json
import os
import sys
import traceback
from typing import Any

from ...errors import PluginError, UnknownNameError
from .kinds import checks_of
from .mark import FAILED, Mark, reason_of
from .subjects import Subject, subjects


def work() -> None:
    """Read the order, examine, answer."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints is no answer
    sys.stdout = sys.stderr
    order = json.loads(sys.stdin.read())

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")

    try:
        found = subjects(order["target"])
    except (UnknownNameError, PluginError) as error:
        answer(error=str(error), known=False)
        return
    except (Exception, SystemExit) as error:
        answer(error=reason_of(error), known=True, trace=traceback.format_exc())
        return
    answer(subjects=[s.as_dict() for s in found])
    done = {tuple(pair) for pair in order["done"]}
    for i, subject in enumerate(found):
        if order["names"] is not None and subject.name not in order["names"]:
            continue
        _examine(i, subject, set(order["checks"]), done, answer)


def _examine(number: int, subject: Subject, wanted: set[str], done: set[tuple], answer: Any) -> None:
    try:
        thing = subject.load()
    except (Exception, SystemExit) as error:
        thing, failure = None, Mark("import", FAILED, reason_of(error), trace=traceback.format_exc())
        if (number, "import") not in done:
            answer(begin=[number, "import"])
            answer(mark=failure.as_dict())
        return
    for check in checks_of(subject.kind):
        if check.name in wanted and (number, check.name) not in done:
            answer(begin=[number, check.name])
            answer(mark=check.mark(thing).as_dict())
