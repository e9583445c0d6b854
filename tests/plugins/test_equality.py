"""Copies of built-in layers, installed as a plugin, are as good: the same launches, fused and joined alike, and the same bits.

What they cost in time is benchmarks/plugin_equality.py's to say, which makes the copies in the same way.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite.binding.object_file import ObjectFileRef

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from copies import copier
from copies.network import inverted_residual, kit, model, network, trained

import numbacnn as nn
from numbacnn import registry
from numbacnn.backends import open_backend
from numbacnn.cache import Entry
from numbacnn.convolutions import inverted_residual as rule
from numbacnn.plan import Plan
from numbacnn.plan.buffer import Buffer

BATCH, SHAPE, CHANNELS, CLASSES = 3, (8, 6, 16), 16, 3
FROZEN = ("stem", "block1_expand", "block1_expand_bn", "block1_filter", "block1_filter_bn", "block1_project", "block1_project_bn")


@pytest.fixture(scope="module", autouse=True)
def copies(tmp_path_factory):
    with copier.installed(tmp_path_factory.mktemp("copies")):
        yield


def test_the_copies_are_a_plugin_s_and_the_text_is_the_built_in_ones():
    for name in copier.LAYERS:
        built_in, copy = registry.layers[name], registry.layers[copier.PREFIX + name]
        assert registry.origin(copy) == f"numbacnn-copies {nn.__version__} ({copy.__module__}:{copier.PREFIX}{name})" and not registry.origin(built_in)
        assert not issubclass(copy, built_in) and not issubclass(built_in, copy)
        assert copy.contract == 1
        text, own = (Path(sys.modules[c.__module__].__file__).read_text().splitlines() for c in (copy, built_in))
        changed = set(text) - set(own)
        assert changed and all(copier.PREFIX in line or line.lstrip().startswith("from numbacnn.") or line == "    contract = 1" for line in changed)


def test_imports_become_absolute_and_the_contract_stands_behind_the_docstring():
    source = 'from . import c\nfrom .d import e\nfrom ..f.g import h\nimport ij\n\nclass Some:\n    """Some thing,\n    Something."""\n\n    x = Some\n'
    assert copier.copied(source, "a.b", "Some", "Mine") == (
        "from a.b import c\nfrom a.b.d import e\nfrom a.f.g import h\nimport ij\n\n"
        'class Mine:\n    """Mine thing,\n    Something."""\n\n    contract = 1\n\n    x = Mine\n'
    )


def both(shape, body, **options):
    """Plans of the same network, of built-in layers and of copies."""
    made = []
    for prefix in ("", copier.PREFIX):
        net = model(kit(prefix), shape, body, jitter=0.3)
        names = {type(n.layer).__name__ for n in net.graph.nodes}
        assert {prefix + name for name in copier.LAYERS} <= names and ("ReLU" in names) == (not prefix)
        trainable = frozenset(n for n in net.handles if n not in options.get("frozen", ())) if options.get("training") else frozenset()
        given = {k: v for k, v in options.items() if k != "frozen"}
        made.append(Plan(net.graph, BATCH, net.network.weights(), open_backend("cpu"), trainable=trainable, **given))
    return made


def launches(plan):
    """Who notes which launch, and how many launches it does the work of."""
    return [(launch.node, len(launch.joined)) for launch in (*plan.prologue, *plan.launches)]


MODES = {
    "rest": {},
    "rest, unfused": {"folding": False},
    "training": {"training": True},
    "training, unfused": {"training": True, "folding": False},
    "training, computed again": {"training": True, "checkpointing": True},
    "half frozen": {"training": True, "frozen": FROZEN},
}


@pytest.mark.parametrize("mode", MODES)
def test_the_same_launches_and_the_same_bits(mode):
    options = MODES[mode]
    plans = both(SHAPE, lambda layers, x: network(layers, x, CHANNELS, CLASSES), **options)
    assert launches(plans[0]) == launches(plans[1])
    x = np.random.default_rng(3).standard_normal((BATCH, *SHAPE)).astype(np.float32)
    shares = [np.linspace(-1, 1, BATCH * CLASSES, dtype=np.float32).reshape(BATCH, CLASSES)] if options.get("training") else ()
    results = [plan.run([x], shares=shares, clock=(5, 1)).outputs[0] for plan in plans]
    assert np.isfinite(results[0]).all() and np.array_equal(*results)
    gradients = [{path: plan.weight_gradient(path) for path in plan.trace.weight_gradients} for plan in plans]
    assert gradients[0].keys() == gradients[1].keys() and bool(gradients[0]) == bool(options.get("training"))
    assert all(np.array_equal(g, gradients[1][path]) for path, g in gradients[0].items())
    assert all(np.any(g) for path, g in gradients[0].items())
    if options.get("training"):
        assert np.array_equal(*(plan.input_gradient("x") for plan in plans))


def instructions(launch):
    """The machine code of a launch's kernel, as it lies in the cache."""
    arguments = tuple(a.real() if isinstance(a, Buffer) else a for a in (*launch.args, *launch.out))
    _, code = Entry(launch.kernel.func, launch.kernel.signature(arguments), launch.kernel.source[0]).read()
    return b"".join(section.data() for section in ObjectFileRef.from_data(code).sections() if section.is_text())


@pytest.mark.parametrize("mode", MODES)
def test_the_same_machine_code(mode):
    """So they take the same time, whatever else the machine does."""
    ours, theirs = ((*p.prologue, *p.launches) for p in both(SHAPE, lambda *a: network(*a, CHANNELS, CLASSES), **MODES[mode]))
    own = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.kernel is not b.kernel]
    assert own and all(instructions(a) and instructions(a) == instructions(b) for a, b in own)


@pytest.mark.parametrize("mode", ["rest", "training"])
def test_fused_they_take_fewer_launches(mode):
    """Else equal launches would say nothing."""
    fused, apart = (both(SHAPE, lambda *a: network(*a, CHANNELS, CLASSES), **MODES[m])[1] for m in (mode, f"{mode}, unfused"))
    assert len(fused.launches) + 10 <= len(apart.launches)


def test_a_copied_depthwise_convolution_joins_its_neighbours(monkeypatch):
    monkeypatch.setattr(rule, "WORTH", 0)
    shape = (9, 7, 5)
    plans = both(shape, lambda layers, x: inverted_residual(layers, x, 24, 5, 1, "block"))
    assert launches(plans[0]) == launches(plans[1])
    assert [[launch.kernel.__name__ for launch in plan.launches] for plan in plans] == [["inverted_residual"]] * 2
    x = np.random.default_rng(4).standard_normal((BATCH, *shape)).astype(np.float32)
    assert np.array_equal(*(plan.run([x]).outputs[0] for plan in plans))


def test_they_train_to_the_same_bits():
    (ours, losses), (theirs, others) = (trained(kit(prefix), SHAPE, CHANNELS, CLASSES, epochs=3) for prefix in ("", copier.PREFIX))
    assert losses == others and losses[-1] < 0.7 * losses[0]
    before = model(kit(), SHAPE, lambda *a: network(*a, CHANNELS, CLASSES)).get_weights()
    pairs = list(zip(before, ours.get_weights(), theirs.get_weights(), strict=True))
    assert all(np.array_equal(a, b) and not np.array_equal(a, start) for start, a, b in pairs)
