"""Elementwise layers behind a convolution or a Dense run in its pass and give the same bits; a second process compiles nothing for them."""

import math
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numbacnn as nn
from numbacnn import cache, convolutions, machine_code
from numbacnn.backends import open_backend
from numbacnn.backends.cuda import CUDA
from numbacnn.backends.simulated import Simulated
from numbacnn.plan import Plan
from numbacnn.testing.twins import check_model_twin


@dataclass(frozen=True)
class Bent(nn.Elementwise):
    """A plugin's layer with a field, two numbers a channel that learn and one that does not."""

    power: float = nn.option(0.5, low=0.1, high=2.0)

    left = nn.PerChannel("ones")
    right = nn.PerChannel("ones")
    shift = nn.PerChannel(trainable=False)

    @staticmethod
    def f(x, right, power, left, shift):
        return power * (right * x if x > 0.0 else left * x) + shift

    @staticmethod
    def df(x, right, power, left):
        return power * (right if x > 0.0 else left)


@dataclass(frozen=True)
class Learned(nn.Elementwise):
    """A layer whose number a channel is trained."""

    gain = nn.PerChannel("ones")

    @staticmethod
    def f(x, gain):
        return gain * x

    @staticmethod
    def df(gain):
        return gain

    @staticmethod
    def df_gain(y, gain):
        return y / gain


KINDS = {  # (layer, shape of an image, batch, kernel that must have made it)
    "groups": (nn.Conv2D(6, (3, 2), groups=2, padding="same"), (5, 6, 4), 3, "convolve"),
    "few channels": (nn.Conv2D(17, 3, 2), (9, 8, 3), 2, "convolve"),
    "pointwise": (nn.Conv2D(45, 1), (5, 7, 9), 2, "multiply"),
    "Dense": (nn.Dense(19), (3, 300), 2, "multiply"),
    "Dense, one row": (nn.Dense(131), (37,), 1, "stream"),
    "depthwise": (nn.DepthwiseConv2D(3), (9, 13, 37), 2, "depthwise"),
    "Winograd, early": (nn.Conv2D(35, 3, padding="same"), (18, 15, 33), 2, "winograd_early_4_3"),
    "Winograd, deep": (nn.Conv2D(70, 3), (12, 11, 130), 2, "winograd_deep_4_3"),
    "Winograd, 5 x 5": (nn.Conv2D(34, 5, padding="same"), (9, 12, 35), 2, "winograd_early_2_5"),
    "transposed": (nn.Conv2DTranspose(5, 3, 2), (4, 3, 5), 2, "convolve"),
}
BEHIND = (nn.LeakyReLU(0.1), Bent(0.7), nn.Swish())


def network(layers, shape, seed=0):
    """A model of layers in a row (copies: a layer that is used twice has one set of weights), whose weights are all different."""
    model = nn.Sequential([nn.Input(shape), *map(replace, layers)], seed=seed)
    random = np.random.default_rng(seed)
    model.set_weights([w + 0.3 * random.standard_normal(w.shape) for w in model.get_weights()])
    return model


def planned(model, batch, folding=True, **options):
    weights = {k: v.astype(options.get("dtype", np.float32)) for k, v in model.network.weights().items()}
    return Plan(model.graph, batch, weights, open_backend("cpu"), folding=folding, **options)


def images(shape, batch, seed=0):
    return 2 * np.random.default_rng([seed, 1]).standard_normal((batch, *shape))


def check(layers, shape, batch, **options):
    """Fused and by themselves: equal bits. Returns the plan that fuses."""
    model, x = network(layers, shape), images(shape, batch)
    alone, fused = planned(model, batch, folding=False, **options), planned(model, batch, **options)
    y = alone.run([x]).outputs[0]
    assert np.isfinite(y).all()
    assert np.array_equal(y, fused.run([x]).outputs[0])
    return alone, fused


@pytest.mark.parametrize("kind", KINDS)
def test_every_kernel_gives_the_same_bits(kind):
    layer, shape, batch, kernel = KINDS[kind]
    behind = BEHIND[::2] if kernel == "winograd_early_2_5" else BEHIND  # which takes no weights
    alone, fused = check((layer, *behind), shape, batch)
    assert len(alone.launches) - len(fused.launches) == len(behind)
    assert fused.launches[-1].kernel.__name__.startswith("_".join((kernel, *(type(b).__name__ for b in behind), "")))


def test_weights_behind_a_5_x_5_are_one_launch():
    layer, shape, batch, _ = KINDS["Winograd, 5 x 5"]
    alone, fused = check((layer, *BEHIND), shape, batch)
    assert len(alone.launches) - len(fused.launches) == len(BEHIND) - 1
    assert fused.launches[-1].kernel.__name__.startswith("LeakyReLU_Bent_Swish_")


@settings(max_examples=25)
@given(data=st.data())
def test_same_bits_for_drawn_shapes(data):
    channels, filters, batch = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 50)), data.draw(st.integers(1, 4))
    shape = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)), channels)
    layer = data.draw(st.sampled_from((nn.Conv2D(filters, 1), nn.Dense(filters), nn.DepthwiseConv2D(3, padding="same"))))
    check((layer, *BEHIND), shape, batch)


@pytest.mark.parametrize("layer", [nn.Swish(), nn.HardSwish(), nn.GELU(), nn.Mish(), nn.ELU(0.7)], ids=lambda layer: type(layer).__name__)
def test_every_layer_gives_the_same_bits(layer):
    _, fused = check((nn.Conv2D(21, 1), nn.Activation("relu6"), layer), (5, 6, 8), 2)
    assert len(fused.launches) == 1


@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize("layer", [nn.Conv2D(1, 1), nn.Conv2D(1, 3, 2), nn.DepthwiseConv2D(3), nn.Dense(1)], ids=lambda layer: type(layer).__name__)
def test_odd_numbers_of_channels(layer, channels):
    last = layer if isinstance(layer, nn.DepthwiseConv2D) else replace(layer, **{"units" if isinstance(layer, nn.Dense) else "filters": channels})
    check((last, *BEHIND), (5, 7, channels if last is layer else 3), 3)


@pytest.mark.parametrize("kind", ["pointwise", "few channels", "Dense, one row", "depthwise", "Winograd, early"])
def test_float64(kind):
    layer, shape, batch, kernel = KINDS[kind]
    alone, fused = check((layer, Bent(0.7)), shape, batch, dtype=np.float64)
    assert len(alone.launches) - len(fused.launches) == 1
    assert fused.launches[-1].kernel.__name__.startswith(f"{kernel}_Bent_")


@dataclass(frozen=True)
class Root(nn.Elementwise):
    """Has an instruction that no other kernel has."""

    gain = nn.PerChannel("ones")

    @staticmethod
    def f(x, gain):
        return gain * math.sqrt(abs(x))

    @staticmethod
    def df(x, gain):
        return 0.5 * gain / math.sqrt(abs(x))


@pytest.mark.parametrize("kind", ["pointwise", "few channels", "Dense, one row", "depthwise"])
def test_functions_with_weights_are_vector_code(kind, monkeypatch):
    """A scalar loop over the tiles takes more time than a pass of its own."""
    codes, inspect = [], machine_code.computes_wide
    monkeypatch.setattr(cache.Entry, "read", lambda self: None)
    monkeypatch.setattr(machine_code, "computes_wide", lambda code: codes.append(code) or inspect(code))
    layer, shape, batch, kernel = KINDS[kind]
    planned(network((layer, Root()), shape), batch)
    roots = [found for code in codes for found in re.findall(r" = .*call [^@]*@llvm.sqrt\.(v?)[0-9a-z]+\(", code)]
    assert "v" in roots
    assert "" not in roots or kernel == "stream"  # a row's end may be no whole vector


def test_behind_an_elementwise_layer():
    layers = (nn.MaxPooling2D(2), nn.Tanh(), *BEHIND, nn.LayerScale(0.3), nn.Sigmoid())
    alone, fused = check((*layers, nn.Flatten()), (5, 6, 17), 2)
    assert len(alone.launches) - len(fused.launches) == len(layers) - 2
    assert [u.node.layer.links() for u in fused.units if u.functions] == [(nn.Tanh(), nn.LeakyReLU(0.1))]


@dataclass(frozen=True)
class Noted(nn.Elementwise):
    """Notes its launches itself, and knows nothing of functions."""

    @staticmethod
    def f(x):
        return -x

    @staticmethod
    def df():
        return -1.0

    def forward(self, step):
        super().forward(step)


def test_an_elementwise_layer_that_notes_its_own_launches_stays_beside():
    alone, fused = check((nn.MaxPooling2D(2), Noted(), Bent()), (4, 4, 3), 2)
    assert len(alone.launches) == len(fused.launches)


def test_behind_a_sum_and_a_scale():
    x = nn.Input((6, 5, 8), name="x")
    y = nn.BatchNormalization(name="bn")(nn.Conv2D(8, 3, padding="same", name="conv")(x))
    model = nn.Model(x, nn.Swish(name="swish")(nn.Add(name="add")([y, x])), seed=0)
    fused, x = planned(model, 2), images((6, 5, 8), 2)
    assert [launch.node for launch in fused.launches] == ["conv"]
    assert fused.units[-1].names == ("conv", "bn", "add", "swish")
    assert np.allclose(fused.run([x]).outputs[0], planned(model, 2, folding=False).run([x]).outputs[0], rtol=1e-5, atol=1e-5)


def launched(model, batch=2, **options):
    return [launch.kernel.__name__.rpartition("_")[0] or launch.kernel.__name__ for launch in planned(model, batch, **options).launches]


def test_a_clamp_alone_stays_a_clamp():
    assert launched(network((nn.Conv2D(21, 1), nn.ReLU()), (5, 6, 8))) == ["multiply"]
    assert launched(network((nn.Conv2D(21, 1), nn.ReLU(), nn.Tanh()), (5, 6, 8))) == ["multiply_clamped_Tanh"]


def test_what_is_read_elsewhere_is_not_fused():
    x = nn.Input((5, 6, 8), name="x")
    y = nn.Conv2D(8, 1, name="conv")(x)
    model = nn.Model(x, nn.Add(name="sum")([nn.Swish(name="swish")(y), y]), seed=0)
    assert [launch.node for launch in planned(model, 2).launches] == ["conv", "swish", "sum"]
    model = network((nn.Conv2D(8, 1, name="conv"), nn.Swish(name="swish")), (5, 6, 8))
    assert len(planned(model, 2, keep=("conv",)).launches) == 2


def test_a_last_sigmoid_is_not_fused_so_that_a_loss_sees_the_logits():
    model = network((nn.Dense(1), nn.Sigmoid()), (4,))
    model.set_weights([np.ones((4, 1)), np.zeros(1)])
    model.compile("sgd", "binary_cross_entropy")
    loss = model.evaluate(np.full((2, 4), 1e3), np.array([0, 1]))["loss"]
    assert loss == pytest.approx(2000)


def trained(model, folding, batch=3, shape=(5, 6, 8), frozen=(), **options):
    owners = frozenset(h.name for h in model.layers if h.name not in frozen)
    plan = planned(model, batch, folding, training=True, trainable=owners, **options)
    y = plan.run([images(shape, batch)], shares=[images(plan.trace.outputs[0].shape[1:], batch, 5)]).outputs[0]
    return plan, y, {p: plan.weight_gradient(p) for p in plan.trace.weight_gradients}


@pytest.mark.parametrize(
    ("layer", "saved"),
    [(nn.LeakyReLU(0.1), 1), (nn.Tanh(), 1), (nn.Sigmoid(), 1), (nn.Swish(), 0), (nn.ELU(), 0)],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Layer) else "",
)
def test_training_fuses_what_is_undone_from_its_output(layer, saved):
    model = network((nn.Conv2D(8, 1, name="a"), layer, nn.Conv2D(3, 1, name="b")), (5, 6, 8))
    (alone, y, dw), (fused, y_fused, dw_fused) = trained(model, False), trained(model, True)
    assert len(alone.launches) - len(fused.launches) == saved
    assert np.array_equal(y, y_fused) and dw.keys() == dw_fused.keys()
    assert all(np.array_equal(dw[p], dw_fused[p]) for p in dw)


def test_a_frozen_base_fuses_everything():
    model = network((nn.Conv2D(8, 1, name="a"), nn.Swish(name="swish"), nn.Conv2D(3, 1, name="b")), (5, 6, 8))
    (alone, y, dw), (fused, y_fused, dw_fused) = (trained(model, folding, frozen=("a",), input_gradients=False) for folding in (False, True))
    assert [u.names for u in fused.units][1:] == [("a", "swish"), ("b",)] and len(alone.units) == 4
    assert np.array_equal(y, y_fused) and all(np.array_equal(dw[p], dw_fused[p]) for p in dw)


def test_training_leaves_layers_with_weights_beside():
    """Their gradients need the value before; an elementwise layer's may need its own output."""
    layers = (nn.Dense(5, name="a"), nn.Tanh(), Learned(name="learned"), nn.LeakyReLU(0.1), nn.Dense(3, name="b"))
    for frozen, names in (((), ()), (("learned",), ()), (("a", "learned"), ("tanh_1", "learned", "leaky_re_lu_1"))):
        model = network(layers, (4,))
        (alone, y, dw), (fused, y_fused, dw_fused) = (trained(model, folding, shape=(4,), frozen=frozen, input_gradients=False) for folding in (False, True))
        assert [u.names[1:] for u in fused.units if any(n.layer.learned() for n in u.functions)] == [names] * bool(names)
        assert len(alone.units) - len(fused.units) == max(len(names), 1)
        assert np.array_equal(y, y_fused) and dw.keys() == dw_fused.keys() and ("learned/gain" in dw) == (not frozen)
        assert all(np.array_equal(dw[p], dw_fused[p]) for p in dw)


def test_a_candidate_that_takes_no_functions_gets_a_launch_beside_it(monkeypatch):
    class Simple:
        name, supports = "simple", staticmethod(lambda problem: None)

        @staticmethod
        def note(step, problem, x, kernel, epilogue, y):
            assert epilogue.function is None
            return convolutions.direct.Direct().note(step, problem, x, kernel, epilogue, y)

    monkeypatch.setattr(convolutions, "PRODUCTS", (Simple(),))
    alone, fused = check((nn.Conv2D(6, (3, 2), groups=2, padding="same"), *BEHIND), (5, 6, 4), 3)
    assert len(alone.launches) == 4 and len(fused.launches) == 2


ON_GPU = {  # (layer, shape of an image, precision, kernel that must have made it)
    "groups": (nn.Conv2D(6, (3, 2), groups=2, padding="same"), (3, 4, 4), "float32", "grouped"),
    "few channels": (nn.Conv2D(17, 3, 2), (5, 4, 3), "float32", "product"),
    "pointwise": (nn.Conv2D(8, 1), (3, 4, 4), "float32", "product"),
    "a sum in parts": (nn.Dense(19), (300,), "float32", "finish_parts"),
    "depthwise": (nn.DepthwiseConv2D(3), (4, 5, 17), "float32", "gpu_depthwise_3x3"),
    "transposed": (nn.Conv2DTranspose(5, 3, 2), (2, 3, 5), "float32", "product"),
    "tf32": (nn.Conv2D(8, 3), (4, 4, 4), "tf32", "tensor_product_tf32"),
    "bf16, odd": (nn.Conv2D(17, 1), (3, 4, 3), "bf16", "tensor_product_bf16"),
}


@pytest.mark.sim
@pytest.mark.parametrize("kind", ON_GPU)
def test_on_a_simulated_gpu(kind):
    layer, shape, precision, kernel = ON_GPU[kind]
    model, x = network((layer, *BEHIND), shape), images(shape, 1)
    plans = [
        Plan(model.graph, 1, model.network.weights(), CUDA(Simulated(backwards)), folding=folding, precision=precision)
        for folding, backwards in ((False, False), (True, False), (True, True))
    ]
    y, *fused = (plan.run([x]).outputs[0] for plan in plans)
    assert np.isfinite(y).all() and all(np.array_equal(y, other) for other in fused)
    assert len(plans[0].launches) - len(plans[1].launches) == len(BEHIND)
    last = plans[1].launches[-1].kernel.__name__
    assert last.startswith(kernel) and "_LeakyReLU_Bent_Swish_" in last
    if precision == "float32":
        check_model_twin(network((layer, nn.Swish(), Learned(), nn.Tanh()), shape), batch=1)


def test_nan_comes_through():
    model = network((nn.Conv2D(21, 1), nn.HardSwish()), (5, 6, 8))
    assert np.isnan(planned(model, 2).run([np.full((2, 5, 6, 8), np.nan)]).outputs[0]).all()


def test_the_second_process_compiles_nothing(tmp_path):
    (tmp_path / "plugin.py").write_text(
        textwrap.dedent("""
        import math
        from dataclasses import dataclass
        import numbacnn as nn

        @dataclass(frozen=True)
        class Softsine(nn.Elementwise):
            amount: float = nn.option(0.5, low=0.1, high=1.0)
            gain = nn.PerChannel("ones")

            @staticmethod
            def f(x, amount, gain):
                return gain * x + amount * math.sin(x)

            @staticmethod
            def df(x, amount, gain):
                return gain + amount * math.cos(x)
        """)
    )
    (tmp_path / "main.py").write_text(
        textwrap.dedent("""
        import hashlib
        import numpy as np
        import numbacnn as nn
        from numbacnn import jit
        from plugin import Softsine
        model = nn.Sequential([nn.Input((40,)), nn.Dense(21), nn.Tanh(), Softsine()], seed=0)
        y = model.predict(np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32))
        print(hashlib.sha256(y.tobytes()).hexdigest(), jit.statistics.compiled, jit.statistics.loaded)
        """)
    )
    path = os.pathsep.join((str(tmp_path), *filter(None, sys.path)))
    env = {**os.environ, "NUMBACNN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": path}
    found = []
    for _ in range(2):
        done = subprocess.run([sys.executable, str(tmp_path / "main.py")], env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    (bits, compiled, loaded), (bits_again, compiled_again, loaded_again) = found
    assert bits == bits_again and (compiled_again, loaded) == ("0", "0") and int(compiled) == int(loaded_again) > 0
