"""What a launch costs the host: `python benchmarks/launches.py [--quick]`

Launches on so few numbers that nothing else takes time: microseconds each, on one thread and shared out to all threads; and of a whole training
step what is spent outside of its launches (checking the batch, loss and metrics, the optimizer's rates).
"""

import time
from collections.abc import Callable

import numpy as np
from contest.report import console, finish, options, table

import numbacnn as nn
from numbacnn import launch
from numbacnn.plan import kernels

LAUNCHES = 100


def best(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    given = options("launches", __doc__, rounds=200)
    numbers = [np.zeros(16, np.float32) for _ in range(3)]
    shared = [kernels.add.bind(*numbers) for _ in range(LAUNCHES)]
    alone = [kernels.add.bind(*numbers).alone() for _ in range(LAUNCHES)]
    rows = []
    for name, calls, threads in (("on one thread", alone, 1), (f"shared out to {given.threads} threads", shared, given.threads)):
        took = best(lambda calls=calls, threads=threads: launch.replay(calls, threads), given.rounds)
        rows.append({"name": f"a launch {name}", "microseconds": 1e6 * took / LAUNCHES})
    x = nn.Input((8,))
    model = nn.Model(x, nn.Dense(2)(x), seed=0)
    model.compile("sgd", "cross_entropy", metrics=["accuracy"], threads=given.threads)
    batch, labels = np.ones((1, 8), np.float32), np.zeros(1, int)
    step = best(lambda: model.train_on_batch(batch, labels), given.rounds)
    plan = model.session.plan([batch])
    inside = best(lambda: model.network.backend.run(plan.calls), given.rounds)
    rows.append({"name": "a training step, outside of its launches", "microseconds": 1e6 * (step - inside)})
    shown = table("host time", ("what", "µs"))
    for row in rows:
        shown.add_row(row["name"], f"{row['microseconds']:.2f}")
    console.print(shown)
    finish(given.json, None, (), rows)


if __name__ == "__main__":
    main()
