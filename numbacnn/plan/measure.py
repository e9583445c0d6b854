"""Where the time of a plan goes, launch by launch, and which algorithms are the fastest."""

import time
from collections.abc import Callable

from .plan import Plan


def time_launches(plan: Plan, repeats: int = 5) -> list[float]:
    """Seconds of each of plan.launches in order, the smallest of several rounds through all of them (so that caches are as in a step)."""
    if plan.stale:
        plan.backend.run(plan.early)
        plan.stale = False
    best = [float("inf")] * len(plan.calls)
    for _ in range(repeats):
        for i, call in enumerate(plan.calls):
            start = time.perf_counter()
            plan.backend.run([call])
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def tune(make: Callable[[dict[str, str]], Plan], repeats: int = 5) -> dict[str, dict[str, float]]:
    """Seconds of every algorithm for every problem of a plan: {key: {name: seconds}}, only where there is a choice.

    make(preferred) gives the plan with those algorithms; each is measured within the whole plan, with the caches as they are there.
    """
    able = {c.key: c.able for c in make({}).choices}
    seconds: dict[str, dict[str, float]] = {key: {} for key, names in able.items() if len(names) > 1}
    for i in range(max((len(able[key]) for key in seconds), default=0)):
        plan = make({key: able[key][min(i, len(able[key]) - 1)] for key in seconds})
        totals: dict[tuple[str, str], float] = {}
        nodes: dict[tuple[str, str], set[str]] = {}
        for launch, spent in zip(plan.launches, time_launches(plan, repeats), strict=True):
            if launch.choice is not None and launch.choice.key in seconds:
                at = launch.choice.key, launch.choice.name
                totals[at] = totals.get(at, 0.0) + spent
                nodes.setdefault(at, set()).add(launch.node)
        for (key, name), total in totals.items():
            mean = total / len(nodes[key, name])
            seconds[key][name] = min(mean, seconds[key].get(name, mean))
    return seconds


def fastest(seconds: dict[str, dict[str, float]]) -> dict[str, str]:
    """The fastest algorithm for each problem; where nothing was measured (its launches were not needed) none."""
    return {key: min(times, key=times.__getitem__) for key, times in seconds.items() if times}
