"""A contestant's own side: reads requests, one JSON line each, from stdin and answers on stdout.

    {"do": "prepare", "key": …, "kind": …, "spec": {…}}   make a case
    {"do": "show", "key": …, "file": …}                   write what it computes, an .npz file
    {"do": "run", "key": …, "part": …, "steps": n}        -> {"times": seconds of each of n steps}, after some untimed ones
    {"do": "drop", "key": …}                              forget the case
    {"do": "facts"}                                       -> versions and threads;   {"do": "memory"} -> {"peak": bytes}

A failure answers {"error": the traceback}. This file needs nothing but NumPy: the peers' environment has no numbacnn.
"""

import gc
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

WARM = 0.05  # seconds of untimed steps before timed ones: threads that slept share a core at first, until the system moves one of them


class Case(Protocol):
    """What there is to measure.

    parts   by name, what one timed step of each does; the first is the default
    show()  what the case computes, by name, in numbacnn's layouts; it is called before any step has run
    note    optional: how the case is done
    """

    parts: dict[str, Callable[[], Any]]

    def show(self) -> dict[str, np.ndarray]: ...


def serve(kinds: dict[str, Callable[..., Case]], facts: Callable[[], dict]) -> None:
    """Answer until stdin ends. `kinds` make cases from a request's spec."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not come between
    cases: dict[str, Case] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = _answer(request, cases, kinds, facts)
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=replies, flush=True)


def _answer(request: dict, cases: dict[str, Case], kinds: dict[str, Callable[..., Case]], facts: Callable[[], dict]) -> dict:
    key = request.get("key", "")
    match request["do"]:
        case "prepare":
            cases[key] = kinds[request["kind"]](**request["spec"])
            return {"parts": list(cases[key].parts), "note": getattr(cases[key], "note", "")}
        case "show":
            np.savez(request["file"], **cases[key].show())
            return {}
        case "run":
            parts = cases[key].parts
            return {"times": _times(parts[request.get("part") or next(iter(parts))], request["steps"])}
        case "drop":
            del cases[key]
            gc.collect()
            return {}
        case "facts":
            return facts()
        case "memory":
            return {"peak": _peak_memory()}
    raise ValueError(f"no such request: {request}")


def _times(step: Callable[[], Any], steps: int) -> list[float]:
    end = time.perf_counter() + WARM
    step()  # fills the caches that another contestant emptied
    while time.perf_counter() < end:
        step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def _peak_memory() -> int:
    """The most bytes that this process held in memory; Linux' own figure where it is there: ru_maxrss begins with the parent's."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
