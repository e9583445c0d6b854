"""Where the time of a plan goes: seconds, operations and bytes of each layer's part of a step, and the machine's peak beside them."""

import time
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rich import box
from rich.table import Table

from ..kernels import peak
from ..plan import Plan
from ..plan.measure import time_launches


@dataclass
class Part:
    """What one layer does in one phase of a step ("forward", "backward", "update"), by one algorithm where there was a choice."""

    node: str
    phase: str
    choice: Any
    kernels: list[str] = field(default_factory=list)
    seconds: float = 0.0
    operations: float = 0.0  # additions and multiplications of the plain sum, whatever the algorithm saves
    nbytes: int = 0

    @property
    def what(self) -> str:
        """The phase, and of a convolution's backward which gradient."""
        if self.choice is None or self.phase != "backward":
            return self.phase
        return {"product": "gradient by input", "weights": "gradient by weights"}[self.choice.kind]


def parts(plan: Plan, repeats: int = 5) -> list[Part]:
    """The parts of a plan that has run once, in order, each with the time that its launches take within the whole step."""
    timed = zip(plan.launches, time_launches(plan, repeats), strict=True)
    made = []
    for (node, phase, _), group in groupby(timed, key=lambda item: (item[0].node, item[0].phase, id(item[0].choice))):
        members = list(group)
        part = Part(" + ".join(launch.node for launch in members[0][0].joined) or node, phase, members[0][0].choice)
        part.operations = sum(2.0 * launch.choice.problem.multiply_adds for launch in members[0][0].joined)
        for launch, seconds in members:
            part.kernels.append(launch.kernel.__name__)
            part.seconds += seconds
            part.nbytes += launch.nbytes
        made.append(part)
    _count_operations(plan, made)
    return made


def _count_operations(plan: Plan, made: list[Part]) -> None:
    inputs = {n.name: [plan.shapes[i] for i in n.inputs] for n in plan.graph.nodes}
    for part in made:
        if part.operations:
            continue
        if part.choice is not None:
            part.operations = 2.0 * part.choice.problem.multiply_adds
        elif part.node in inputs and inputs[part.node] and part.phase in ("forward", "backward"):
            once = 2.0 * plan.batch * plan.graph[part.node].layer.multiply_adds(*inputs[part.node])
            part.operations = once * (2 if part.phase == "backward" else 1)  # gradients by the input and by the weights


def machine_peak(backend: Any, repeats: int = 5) -> float | None:
    """Floating-point operations a second of the CPU's tile loop, all threads together; None on devices that it says nothing about."""
    if backend.separate:
        return None
    arrays = peak.operands()
    call = backend.bind(peak.multiply_adds, arrays)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        backend.run([call])
        best = min(best, time.perf_counter() - start)
    return peak.operations(arrays[-1]) / best


def profile_table(made: list[Part], top: float | None, title: str) -> Table:
    """A row a part: time, operations, rate, share of the peak, bytes."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("layer", "what", "kernels"):
        table.add_column(column, overflow="fold")
    for column in ("ms", "GFLOP", "GFLOP/s", "of peak", "MB", "GB/s"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("algorithm (refused: why)", overflow="fold")
    for part in made:
        table.add_row(part.node, part.what, " ".join(part.kernels), *figures(part, top), _reasons(part.choice))
    return table


def figures(part: Part, top: float | None) -> tuple[str, ...]:
    """ms, GFLOP, GFLOP/s, share of the peak, MB, GB/s."""
    rate = part.operations / part.seconds
    work = (f"{part.operations / 1e9:.3f}", f"{rate / 1e9:.1f}", f"{rate / top:.0%}" if top else "") if part.operations else ("", "", "")
    return f"{1e3 * part.seconds:.3f}", *work, f"{part.nbytes / 1e6:.2f}", f"{part.nbytes / part.seconds / 1e9:.1f}"


def _reasons(choice: Any) -> str:
    if choice is None:
        return ""
    refused = "; ".join(f"{name}: {why}" for name, why in choice.refused.items())
    return choice.name + (f" ({refused})" if refused else "")
