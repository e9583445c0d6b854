"""When a loss is not finite: which layer was the first to go bad."""

from typing import Any

import numpy as np

from .network import Network

WAY_OUT = "A smaller learning rate usually helps, or clipping (global_clipnorm=1)."


def diagnose(session: Any, network: Network, xs: list, targets: list, shares: list) -> str:
    """Says which layer of the network gave the first value that is not finite, for this batch of a training session."""
    for i, x in enumerate(xs):
        if not np.isfinite(x).all():
            return f"the loss is not finite because input {network.graph.inputs[i]!r} holds NaN or infinity: check the data."
    for owner, handle in network.handles.items():
        for name, array in handle.arrays.items():
            if not np.isfinite(array).all():
                return f"the loss is not finite; layer {owner!r} went bad first: its weight {name} is NaN or infinite. {WAY_OUT}"
    names = [n.name for n in network.graph.nodes]
    with network.lock:  # the plan keeps every layer's output: nobody else wants it
        plan = network.make([x.shape for x in xs], network.choices, training=True, losses=session.losses, keep=tuple(names), folding=False)
        result = plan.run(xs, targets, shares, (session.seed, session.step))
    for name in names:
        value = plan.value(name)
        if not np.isfinite(value).all():
            return f"the loss is not finite; layer {name!r} went bad first: its output holds NaN or infinity. {WAY_OUT}"
    if result.is_finite:
        return "the loss was not finite, but is now for the same batch: its arrays have been changed since. To learn more, give each batch arrays of its own."
    shown = ", ".join(f"{float(np.nanmax(np.abs(o))):.3g}" for o in result.outputs)
    return f"the loss is not finite although every layer's output is (largest: {shown}): check the targets. {WAY_OUT}"
