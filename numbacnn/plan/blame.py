"""Whose fault an error is: what a plugin's layer does wrong, in describing its work or in its kernels, is told with the plugin's name.

Errors of built-in layers pass as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .. import registry
from ..errors import ConfigError, NumbacnnError, PluginError
from ..graph import Node
from .buffer import Buffer, Launch


def _plugin_in(thing: Any) -> tuple[Any, str]:
    """(the plugin's layer, where it comes from): the thing itself or, of layers that run in one pass, the first that is a plugin's; "" if there is none."""
    links = getattr(thing, "links", None)
    for link in (thing, *(links() if links else ())):
        if found := registry.origin(link):
            return link, found
    return thing, ""


def _told(what: str, thing: Any) -> tuple[str, str]:
    """(what it is and where it comes from, what to do about it); nothing to do where it is built in."""
    thing, found = _plugin_in(thing)
    if not found:
        return f"{what} ({type(thing).__name__})", ""
    owner = found.partition(" ")[0]
    return f"{what} ({type(thing).__name__} of {found})", f"; tell the plugin's author (`numbacnn plugins check {owner}` examines it), or go on without it"


@contextmanager
def describing(what: str, thing: Any) -> Iterator[None]:
    """Around the code of a layer, loss or optimizer: what a plugin's raises becomes a PluginError that names it."""
    try:
        yield
    except NumbacnnError:
        raise
    except Exception as error:
        told, way_out = _told(what, thing)
        if not way_out:
            raise
        raise PluginError(f"{told} failed: {type(error).__name__}: {error}{way_out}") from error


@contextmanager
def compiling(plan: Any) -> Iterator[None]:
    """Around binding: where a kernel of a plugin's layer is the one that does not compile, PluginError says so."""
    try:
        yield
    except NumbacnnError:
        raise
    except Exception as error:
        for launch in (*plan.prologue, *plan.launches):
            told, way_out = _kernel(plan, launch)
            if way_out:
                try:
                    plan.backend.bind(launch.kernel, [a.real() if isinstance(a, Buffer) else a for a in (*launch.args, *launch.out)])
                except Exception as own:
                    raise PluginError(f"{told} cannot be compiled: {type(own).__name__}: {own}{way_out}") from error
        raise


@contextmanager
def running(plan: Any) -> Iterator[None]:
    """Around a replay: a kernel that raises (IndexError where NUMBA_BOUNDSCHECK=1 watches) is told with its layer."""
    try:
        yield
    except NumbacnnError:
        raise
    except Exception as error:
        pairs = zip((*plan.prologue, *plan.launches), (*plan.early, *plan.calls), strict=True)
        failed = next((launch for launch, call in pairs if call is getattr(error, "launch", None)), None)
        if failed is not None:
            told, way_out = _kernel(plan, failed)
            if way_out:
                raise PluginError(f"{told} failed: {type(error).__name__}: {error}{way_out}") from error
        raise


def _kernel(plan: Any, launch: Launch) -> tuple[str, str]:
    layers = {unit.node.name: unit.node.layer for unit in plan.units}
    what = f"layer {launch.node!r}" if launch.node in layers else launch.node
    return _told(f"kernel {launch.kernel.__name__} of {what}", (layers | plan.trace.things).get(launch.node))


# ---- what a layer forgot


def check_output(node: Node, step: Any, recorder: Any, shape: tuple, kind: str = "layer") -> None:
    """Raise ConfigError where forward made no step.y, or one of another shape than output_shape() says."""
    right = step.y.shape == (recorder.batch, *shape)
    if right and recorder.has(step.y):
        return
    told, way_out = _told(f"{kind} {node.name!r}", node.layer)
    if not right:
        raise ConfigError(f"{told} made {step.y.shape[1:]}, but its output_shape() says {shape}{way_out}")
    raise ConfigError(f"{told} made no output: its forward() must note a launch that writes step.y{way_out}")


def check_gradients(node: Node, step: Any, recorder: Any, wanted: Sequence[bool], kind: str = "layer") -> None:
    """Raise ConfigError where backward gave no gradient by an input that wants one: without it, everything before the layer would silently stay as it is."""
    for i, (gradient, due) in enumerate(zip(step.dxs, wanted, strict=True)):
        if due and (gradient is None or not recorder.has(gradient)):
            told, way_out = _told(f"{kind} {node.name!r}", node.layer)
            name = "step.dx" if i == 0 else f"step.grad({i})"
            raise ConfigError(f"{told} gave no gradient by its input: its backward() must note a launch that writes {name}{way_out}")


def check_weight_gradient(node: Node, path: str, uses: Sequence[Buffer], recorder: Any) -> None:
    """Raise ConfigError where no backward gave the gradient of a weight that is trained."""
    if not uses or not all(map(recorder.has, uses)):
        told, way_out = _told(f"layer {node.name!r}", node.layer)
        name = path.removeprefix(f"{node.owner}/")
        raise ConfigError(f"{told} gave no gradient of its weight {name!r}: its backward() must note a launch that writes step.dw.{name}{way_out}")
