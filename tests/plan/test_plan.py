"""Every pass leaves the result as it is: with or without folding, memory reuse, frozen layers; on a network with everything."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.backends import open_backend
from numbacnn.plan import Flat, Layout, Plan

FROZEN = ("conv1", "bn1", "conv2", "bn2", "conv3", "conv4")


def network(seed=0):
    x = nn.Input((8, 8, 3), name="image")
    y = nn.Conv2D(8, 3, name="conv1")(nn.ZeroPadding2D(((1, 1), (0, 2)), name="pad")(x))
    y = a = nn.ReLU(name="relu1")(nn.BatchNormalization(name="bn1")(y))
    y = nn.BatchNormalization(name="bn2")(nn.Conv2D(8, 3, padding="same", use_bias=False, name="conv2")(y))
    y = nn.ReLU(max_value=6.0, name="relu2")(nn.Add(name="add")([y, a]))
    y = nn.Add(name="add2")([nn.Conv2D(8, 3, padding="same", name="conv3")(y), y])
    y = nn.ReLU(name="relu3")(nn.Add(name="add3")([y, nn.Conv2D(8, 1, name="conv4")(y)]))
    y = nn.Concatenate(name="cat")([nn.Swish(name="swish")(y), y])
    y = nn.Dropout(0.3, name="drop")(nn.MaxPooling2D(2, name="pool")(y))
    y = nn.Dense(5, activation="tanh", kernel_regularizer="l2", name="dense")(nn.Flatten(name="flat")(y))
    model = nn.Model(x, y, seed=seed)
    generator = np.random.default_rng(1)
    for handle in model.layers:  # running statistics that a fold cannot hide behind, and outputs that don't saturate
        for name in handle.order():
            array = handle.arrays[name]
            handle.put(name, 0.3 * array + (0.1 if array.ndim == 1 else 0.01) * generator.random(array.shape).astype(np.float32))
    return model


def images(batch=4):
    return np.random.default_rng(2).standard_normal((batch, 8, 8, 3)).astype(np.float32)


def plan(model, *, training=True, frozen=(), **options):
    trainable = frozenset(h.name for h in model.layers if h.name not in frozen)
    weights = {k: v.astype(options.get("dtype", np.float32)) for k, v in model.network.weights().items()}
    return Plan(model.graph, 4, weights, open_backend("cpu"), training=training, trainable=trainable, **options)


def run(made, training=True):
    result = made.run([images()], shares=[np.ones((4, 5))] if training else (), clock=(7, 3))
    gradients = {p: made.weight_gradient(p) for p in made.trace.weight_gradients} if training else {}
    return result.outputs[0], gradients


def test_reuse_and_folding_change_nothing_in_training():
    model = network()
    expected = run(plan(model, folding=False, reuse=False))
    for folding in (False, True):
        for reuse in (False, True):
            y, gradients = run(plan(model, folding=folding, reuse=reuse))
            assert np.allclose(y, expected[0], rtol=1e-5, atol=1e-6) if folding else np.array_equal(y, expected[0])
            for path, g in gradients.items():
                assert np.allclose(g, expected[1][path], rtol=1e-5, atol=1e-6), path


def test_memory_is_shared():
    model = network()
    assert plan(model, reuse=True).arena_bytes < 0.7 * plan(model, reuse=False).arena_bytes


def test_folding_for_inference():
    model = network()
    plain, folded = plan(model, training=False, folding=False), plan(model, training=False)
    assert len(folded.launches) < len(plain.launches)
    assert {"relu1", "bn1"} <= {n for u in folded.units for n in u.names[1:]}
    assert np.allclose(run(plain, False)[0], run(folded, False)[0], rtol=1e-4, atol=1e-5)
    assert not {b.node for b in folded.launches} & {"drop", "flat"}, "layers that do nothing have no launches"


def test_the_whole_network_s_gradient():
    model = network()
    made = plan(model, dtype=np.float64)
    weights = made.arrays
    saved = {k: v.copy() for k, v in weights.items()}
    dy = np.random.default_rng(5).standard_normal((4, 5))

    def loss(path=None, scale=0.0, direction=0.0):
        for k, v in saved.items():
            weights[k][...] = v
        if path:
            weights[path] += scale * direction
        made.stale = True
        result = made.run([images()], shares=[dy], clock=(7, 3))
        return float((result.outputs[0] * dy).sum()) + result.penalty

    loss()
    exact = {p: made.weight_gradient(p) for p in made.trace.weight_gradients}
    assert set(exact) == {f"{h.name}/{n}" for h in model.layers for n, s in h.specs.items() if s.trainable}
    for path, gradient in exact.items():
        direction = np.random.default_rng(6).standard_normal(gradient.shape)
        numeric = (loss(path, 1e-6, direction) - loss(path, -1e-6, direction)) / 2e-6
        analytic = float((gradient * direction).sum())
        assert abs(numeric - analytic) <= 1e-6 * max(abs(numeric), np.linalg.norm(gradient), 1), path


def test_frozen_layers_cost_nothing():
    model = network()
    whole = plan(model)
    half = plan(model, frozen=FROZEN, input_gradients=False)
    assert set(half.trace.weight_gradients) == {"dense/kernel", "dense/bias"}
    assert len(half.launches) < 0.75 * len(whole.launches)
    assert not any("backward" in launch.kernel.__name__ for launch in half.launches if launch.node in ("conv1", "conv2", "pool", "swish"))
    assert "conv1" in {launch.node for launch in half.prologue}, "a frozen convolution's packing is hoisted"
    y, gradients = run(half)
    frozen_bn = run(plan(model, frozen=FROZEN, folding=False))
    assert np.allclose(y, frozen_bn[0], rtol=1e-5, atol=1e-6)
    assert np.allclose(gradients["dense/kernel"], frozen_bn[1]["dense/kernel"], rtol=1e-4, atol=1e-5)


def test_packing_is_hoisted_and_made_again():
    model = network()
    made = plan(model, training=False)
    assert made.prologue, "packed and folded weights are computed once"
    before = run(made, False)[0]
    made.arrays["conv1/kernel"] *= 2
    assert np.array_equal(run(made, False)[0], before), "nobody said that weights changed"
    made.stale = True
    assert not np.allclose(run(made, False)[0], before)


def test_a_shared_layer_sums_its_gradients():
    x = nn.Input((4, 4, 3))
    conv = nn.Conv2D(3, 3, padding="same", name="shared")
    model = nn.Model(x, conv(conv(x)), seed=0)
    made = Plan(
        model.graph,
        2,
        {k: v.astype(np.float64) for k, v in model.network.weights().items()},
        open_backend("cpu"),
        training=True,
        trainable=frozenset({"shared"}),
        dtype=np.float64,
    )
    data = np.random.default_rng(0).standard_normal((2, 4, 4, 3))

    def loss():
        made.stale = True
        return float(made.run([data], shares=[np.ones((2, 4, 4, 3))]).outputs[0].sum())

    loss()
    for path in ("shared/kernel", "shared/bias"):
        gradient = made.weight_gradient(path)
        direction = np.random.default_rng(6).standard_normal(gradient.shape)
        start = made.arrays[path].copy()
        values = []
        for scale in (1e-5, -1e-5):
            made.arrays[path][...] = start + scale * direction
            values.append(loss())
        made.arrays[path][...] = start
        loss()
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


def test_an_optimizer_runs_in_the_same_plan():
    model = network()
    specs = {f"{h.name}/{n}": s for h in model.layers for n, s in h.specs.items()}
    layout = Layout.of([(p, s.shape, 0, True) for p, s in specs.items() if s.trainable], 1)
    optimizer = nn.SGD(learning_rate=0.1)
    flat = Flat(layout, optimizer.slots)
    weights = model.network.weights()
    for segment in layout.segments:
        flat.view(segment)[...] = weights[segment.path]
        weights[segment.path] = flat.view(segment)
    start = {p: weights[p].copy() for p in weights}
    _, gradients = run(plan(model, reuse=False))
    made = Plan(model.graph, 4, weights, open_backend("cpu"), training=True, trainable=frozenset(h.name for h in model.layers), optimizer=optimizer, flat=flat)
    made.run([images()], shares=[np.ones((4, 5))], clock=(7, 3), rates=[optimizer.rates(0.1, 1)])
    for segment in layout.segments:
        expected = start[segment.path] - np.float32(0.1) * gradients[segment.path]
        assert np.allclose(flat.view(segment), expected, rtol=1e-5, atol=1e-6), segment.path


def test_layout_keeps_groups_together():
    layout = Layout.of([("a", (5,), 1, True), ("b", (3, 4), 0, False), ("c", (40_000,), 1, True)], 2)
    assert [s.path for s in layout.segments] == ["b", "a", "c"]
    jobs = layout.jobs()
    assert (jobs[:, 1] - jobs[:, 0] <= 16_384).all() and jobs[:, 3].tolist() == sorted(jobs[:, 3])
    assert layout.decays().tolist() == [0.0, 1.0, 1.0]
    assert sum(b - a for a, b, *_ in jobs) == 5 + 12 + 40_000


def test_inputs_come_in_the_order_of_the_model_s_inputs():
    """Not in that of the layers, which follows the calls."""
    a, b = nn.Input((3,), name="a"), nn.Input((3,), name="b")
    model = nn.Model([b, a], nn.Subtract()([a, b]))
    assert [n.name for n in model.graph.nodes[:2]] == ["a", "b"]
    first, second = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    assert np.array_equal(model.predict([first, second]), second - first)
