"""A frozen base in training: it works as at inference, is folded, keeps nothing, and backward ends behind it."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.backends import open_backend
from numbacnn.plan import Flat, Layout, Plan


def network():
    x = y = nn.Input((8, 8, 3), name="image")
    y = nn.Dropout(0.5, name="input_drop")(y)
    for i in range(4):
        z = nn.BatchNormalization(name=f"bn{i}")(nn.Conv2D(8, 3, padding="same", use_bias=False, name=f"conv{i}")(y))
        z = nn.ReLU(name=f"relu{i}")(z)
        y = nn.Add(name=f"add{i}")([nn.Dropout(0.5, name=f"drop{i}")(z), y]) if i else z
    y = nn.ReLU(name="top_relu")(nn.BatchNormalization(name="top_bn")(nn.Conv2D(8, 1, use_bias=False, name="top_conv")(y)))
    y = nn.Dropout(0.5, name="top_drop")(nn.GlobalAveragePooling2D(name="pool")(y))
    model = nn.Model(x, nn.Dense(5, name="dense")(y), seed=0)
    random = np.random.default_rng(1)
    for handle in model.layers:
        for name in handle.order():
            handle.put(name, handle.arrays[name] + 0.1 * random.random(handle.arrays[name].shape).astype(np.float32))
    return model


IMAGES = np.random.default_rng(2).standard_normal((4, 8, 8, 3)).astype(np.float32)


def plan(model, **options):
    trainable = frozenset(h.name for h in model.layers if h.trainable)
    options = {"training": True, "input_gradients": False} | options
    return Plan(model.graph, 4, model.network.weights(), open_backend("cpu"), trainable=trainable, **options)


def run(made, training=True):
    y = made.run([IMAGES], shares=[np.linspace(-1, 1, 20).reshape(4, 5)] if training else (), clock=(7, 3)).outputs[0]
    return y, {path: made.weight_gradient(path) for path in made.trace.weight_gradients}


def test_the_base_works_as_at_inference():
    model = network()
    model.freeze(until="pool")
    made = plan(model)
    y, gradients = run(made)
    features = model.cut("pool").predict(IMAGES)
    kernel, bias = model.get_layer("dense").get_weights()
    dropped = gradients["dense/kernel"] == 0
    assert not np.allclose(y, features @ kernel + bias, atol=1e-3), "the dropout of what is trained is at work"
    expected = plan(model, folding=False, reuse=False)
    z, unfolded = run(expected)
    assert np.allclose(y, z, rtol=1e-4, atol=1e-5)
    for path, gradient in gradients.items():
        assert np.allclose(gradient, unfolded[path], rtol=1e-4, atol=1e-5)
    assert np.isfinite(gradients["dense/kernel"]).all() and set(gradients) == {"dense/kernel", "dense/bias"} and dropped.mean() < 0.5
    assert {launch.node for launch in made.launches}.isdisjoint({f"drop{i}" for i in range(4)} | {"input_drop"} | {f"bn{i}" for i in range(4)} | {"top_bn"})


def test_launches_and_memory_fall():
    """Forward: no more launches than inference has, and no more memory; backward: that of the head alone."""
    model = network()
    whole = plan(model)
    rest = plan(model, training=False)
    model.freeze(until="pool")
    made = plan(model)
    forward = [launch for launch in made.launches if launch.phase == "forward"]
    backward = [launch for launch in made.launches if launch.phase == "backward"]
    assert len(forward) == len(rest.launches) + 1, "and the head's dropout"
    assert {launch.node for launch in backward} <= {"dense"} and len(backward) < 3
    assert len(made.launches) < 0.25 * len(whole.launches)
    assert made.arena_bytes < 0.3 * whole.arena_bytes and made.arena_bytes < 1.1 * rest.arena_bytes
    assert len(made.prologue) == len(rest.prologue)


def test_half_of_it_frozen():
    model = network()
    model.freeze(until="add2")
    before = model.get_weights()
    made, plain = plan(model), plan(model, folding=False, reuse=False)
    assert {"conv0", "conv1", "conv2"}.isdisjoint(launch.node for launch in made.launches if launch.phase == "backward")
    assert "conv3" in {launch.node for launch in made.launches if launch.phase == "backward"}
    (y, gradients), (z, expected) = run(made), run(plain)
    assert np.allclose(y, z, rtol=1e-4, atol=1e-5)
    for path, gradient in gradients.items():
        assert np.allclose(gradient, expected[path], rtol=1e-3, atol=1e-5), path
    for frozen, (owner, name) in zip(before, ((h.name, n) for h in model.layers for n in h.order()), strict=True):
        assert np.array_equal(frozen, model.get_layer(owner).arrays[name]) == (owner not in ("bn3", "top_bn") or not name.startswith("moving")), (
            "statistics of what is trained move"
        )


def test_a_frozen_layer_behind_a_trained_one_lets_gradients_through():
    model = network()
    model.freeze()
    model.get_layer("conv1").trainable = True
    made = plan(model)
    assert not made.still.passive & {"conv1", "bn1", "drop1", "conv2", "dense"} and made.still.passive >= {"image", "conv0", "bn0", "relu0"}
    assert "drop1" not in made.still.resting and "input_drop" in made.still.resting
    (_, gradients), (_, expected) = run(made), run(plan(model, folding=False, reuse=False))
    assert np.allclose(gradients["conv1/kernel"], expected["conv1/kernel"], rtol=1e-4, atol=1e-5) and np.abs(gradients["conv1/kernel"]).max() > 1e-3


def test_a_shortcut_from_what_is_trained_into_a_folded_unit():
    """The sum is computed with the frozen convolution before it; its other operand still gets its gradient."""
    x = nn.Input((5, 5, 3), name="image")
    left = nn.Conv2D(4, 1, name="trained")(x)
    right = nn.BatchNormalization(name="bn")(nn.Conv2D(4, 3, padding="same", name="frozen")(x))
    model = nn.Model(x, nn.ReLU(name="relu")(nn.Add(name="add")([left, right])), seed=0)
    model.get_layer("frozen").trainable = model.get_layer("bn").trainable = False
    images, shares = np.random.default_rng(0).standard_normal((2, 5, 5, 3)).astype(np.float32), np.random.default_rng(1).standard_normal((2, 5, 5, 4))
    results = []
    for folding in (True, False):
        made = Plan(
            model.graph,
            2,
            model.network.weights(),
            open_backend("cpu"),
            training=True,
            trainable=frozenset({"trained"}),
            input_gradients=False,
            folding=folding,
        )
        results.append((made.run([images], shares=[shares]).outputs[0], made.weight_gradient("trained/kernel")))
        if folding:
            assert any(u.node.name == "frozen" and u.names == ("frozen", "bn", "add", "relu") for u in made.units)
    assert all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(*results, strict=True))


def test_who_asks_for_the_gradient_by_the_input_gets_it():
    model = network()
    model.freeze(until="pool")
    made = plan(model, input_gradients=True)
    run(made)
    assert np.abs(made.input_gradient("image")).max() > 0 and not made.still.passive


@pytest.mark.parametrize("several", [True, False])
def test_an_update_takes_the_mean_of_gathered_gradients(several):
    model = network()
    specs = {f"{h.name}/{n}": s for h in model.layers for n, s in h.specs.items()}
    optimizer = nn.SGD(learning_rate=0.1, global_clipnorm=1e6)
    layout = Layout.of([(p, s.shape, 0, True) for p, s in specs.items() if s.trainable], 1)
    flat, weights = Flat(layout, optimizer.slots), model.network.weights()
    _, gradients = run(plan(model))
    start = {p: w.copy() for p, w in weights.items()}
    for segment in layout.segments:
        flat.view(segment)[...] = weights[segment.path]
        weights[segment.path] = flat.view(segment)
    made = Plan(model.graph, 4, weights, open_backend("cpu"), training=True, trainable=frozenset(model.handles), optimizer=optimizer, flat=flat, gathering=True)
    flat.sums[...] = np.nan  # what an earlier group left behind

    def step(gather):
        made.run([IMAGES], shares=[np.linspace(-1, 1, 20).reshape(4, 5)], clock=(7, 3), rates=[optimizer.rates(0.1, 1)], gather=gather)

    if several:
        step((4.0, 0.0, 0.0))
        assert all(np.array_equal(weights[s.path], start[s.path]) for s in layout.segments), "no update yet"
        step((4.0, 1.0, 1 / 8))
    else:
        step((4.0, 0.0, 1 / 4))
    for segment in layout.segments:
        expected = start[segment.path] - np.float32(0.1) * gradients[segment.path]
        assert np.allclose(weights[segment.path], expected, rtol=1e-4, atol=1e-5), segment.path
