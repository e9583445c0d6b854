"""Which call a tensor means, and in which order calls are made."""

import heapq
from dataclasses import replace

from .calls import Tensor, replaced, tensors_in
from .checks import Fail, within
from .parse import ParsedModel


def settle(model: ParsedModel, fail: Fail) -> None:
    """Count all calls from 0, check what they name, and put them in order; the same in the models inside."""
    for entry in model.entries.values():
        if entry.model is not None:
            settle(entry.model, within(fail, f"model {entry.name!r}"))
    firsts = _first_calls(model, fail)
    for entry in model.entries.values():
        inside = entry.within(fail)
        if not entry.outputs_of:
            raise inside("it is called on nothing: a layer without inbound_nodes, other than an input, is in no graph")
        for call in entry.calls:
            call.args, call.options = replaced([call.args, call.options], lambda t, inside=inside: _counted(t, firsts.get(t.layer, (0, 0))[0], model, inside))
    model.outputs = [_counted(t, firsts.get(t.layer, (0, 0))[1], model, fail) for t in model.outputs]
    for _, tensor in model.inputs:
        if tensor.layer not in model.entries or model.entries[tensor.layer].class_name not in ("", "InputLayer"):
            raise fail(f"input_layers names {tensor.layer!r}, which is no InputLayer of the model")
    if len({tensor.layer for _, tensor in model.inputs}) != len(model.inputs):
        raise fail("input_layers names a layer twice")
    known = {tensor.layer for _, tensor in model.inputs}
    if loose := [e.name for e in model.entries.values() if e.class_name == "InputLayer" and e.name not in known]:
        raise fail(f"InputLayer {loose[0]!r} is not among input_layers: its values would come from nowhere")
    model.order = _ordered(model, fail)


def _first_calls(model: ParsedModel, fail: Fail) -> dict[str, tuple[int, int]]:
    """The numbers that stand for the first call of each model in the model: among the calls of layers, and in output_layers.

    Keras counts calls of models from 0 or from 1, since a model that was built has been called once by itself: tf.keras 2 from 1
    where the model knew its input, and from 0 where it did not; Keras 3 from 0 among calls, and for Functionals from 1 in output_layers.
    Every call is read by somebody, so the lowest number that occurs in a file of tf.keras 2 is the first call.
    """
    read: dict[str, set[int]] = {}
    for tensor in tensors_in([[c.args, c.options] for e in model.entries.values() for c in e.calls]):
        read.setdefault(tensor.layer, set()).add(tensor.call)
    listed = any(e.listed for e in model.entries.values())
    firsts = {}
    for name, entry in model.entries.items():
        if entry.model is None:
            continue
        ends, count = {t.call for t in model.outputs if t.layer == name}, len(entry.calls)
        firsts[name] = 0, int(not entry.model.sequential and bool(ends) and not (count == 1 and ends == {0}))
        if listed:
            found = read.get(name, set()) | ends
            if found and min(found) == 1 and max(found) < count:
                raise entry.within(fail)(f"it is called {count} times, but calls {sorted(found)} are read: which these are cannot be told")
            firsts[name] = (min(1, min(found)),) * 2 if found else (0, 0)
    return firsts


def _counted(tensor: Tensor, first: int, model: ParsedModel, fail: Fail) -> Tensor:
    """The tensor with its call counted from 0, if there is such a call."""
    entry, call = model.entries.get(tensor.layer), tensor.call - first
    if entry is None:
        raise fail(f"{tensor.layer!r} is read, but there is no layer of that name")
    if not 0 <= call < entry.outputs_of:
        raise fail(f"call {tensor.call} of layer {tensor.layer!r} is read, but it is called {entry.outputs_of} time(s)")
    if tensor.index and entry.model is None:
        raise fail(f"output {tensor.index} of layer {tensor.layer!r} is read, but it has one")
    return replace(tensor, call=call)


def _ordered(model: ParsedModel, fail: Fail) -> list[tuple[str, int]]:
    """Every (layer, call) behind those that it reads, otherwise as the file lists the layers."""
    places = {name: i for i, name in enumerate(model.entries)}
    names = list(model.entries)
    waits: dict[tuple[int, int], int] = {}
    readers: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for name, entry in model.entries.items():
        for number in range(entry.outputs_of):
            key = (places[name], number)
            call = entry.calls[number] if number < len(entry.calls) else None
            sources = {(places[t.layer], t.call) for t in tensors_in([call.args, call.options])} if call else set()
            waits[key] = len(sources)
            for source in sources:
                readers.setdefault(source, []).append(key)
    ready = [key for key, count in waits.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        key = heapq.heappop(ready)
        order.append((names[key[0]], key[1]))
        for reader in readers.get(key, ()):
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(waits):
        done = set(order)
        stuck = [names[i] for i, n in waits if (names[i], n) not in done][:5]
        raise fail(f"layers {', '.join(map(repr, stuck))} wait for each other: the graph has a loop")
    return order
