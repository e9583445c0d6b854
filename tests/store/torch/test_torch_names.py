"""PyTorch's names and layouts become ours: by the user's names, by equal names, by published names, by order; or all that differs is told."""

import json
from pathlib import Path

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.errors import ConfigError, FileError
from numbacnn.graph import keras_order
from numbacnn.store.torch import match, read_state_dict, to_weights
from numbacnn.store.torch.layouts import modules
from numbacnn.store.torch.published import modern

FIXTURES = Path(__file__).parent / "fixtures"
RANDOM = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def put(model: nn.Model, weights: dict[str, np.ndarray]) -> nn.Model:
    for path, array in weights.items():
        owner, _, name = path.rpartition("/")
        model.handles[owner].put(name, array)
    return model


def net(names: bool = True) -> nn.Model:
    """The network of fixtures/make.py."""

    def named(name: str) -> dict:
        return {"name": name} if names else {}

    batch = {"epsilon": 1e-5}
    layers = [
        nn.Input((7, 7, 2)),
        nn.Conv2D(4, 3, use_bias=False, **named("conv1")),
        nn.BatchNormalization(**batch, **named("bn1")),
        nn.ReLU(),
        nn.DepthwiseConv2D((3, 2), depth_multiplier=2, **named("depthwise")),
        nn.PReLU(shared_axes=(1, 2), **named("act")),
        nn.Conv2D(6, 1, groups=2, **named("grouped")),
        nn.GroupNormalization(3, epsilon=1e-5, **named("norm")),
        nn.Conv2DTranspose(3, 2, 2, **named("up")),
        nn.Flatten(),
        nn.Dense(3, **named("fc1")),
        nn.BatchNormalization(**batch, **named("bn2")),
        nn.ReLU(),
        nn.Dense(2, **named("fc2")),
    ]
    return nn.Sequential(layers, seed=0)


@pytest.mark.parametrize("file", ["net.pth", "net_stream.pth"])
@pytest.mark.parametrize("way", ["equal names", "order", "a dict", "a function"])
def test_every_kind_of_layer_computes_what_pytorch_computes(file, way):
    model, state = net(way == "equal names"), read_state_dict(FIXTURES / file)
    owners = [h.name for h in model.layers if h.specs]
    theirs = ["conv1", "bn1", "depthwise", "act", "grouped", "norm", "up", "fc1", "bn2", "fc2"]
    given = {"a dict": dict(zip(owners, theirs, strict=True)), "a function": dict(zip(owners, theirs, strict=True)).get}.get(way)
    found = match(state, model.graph, given)
    assert found.problems == [] and found.how == (way if given is None else "the given names")
    assert all(a.dtype == np.float32 and a.flags.c_contiguous for a in found.weights.values())
    shown = json.loads((FIXTURES / "net.json").read_text())
    y = put(model, found.weights).predict(np.array(shown["x"], np.float32))
    np.testing.assert_allclose(y, shown["y"], atol=1e-5 * np.abs(shown["y"]).max())


# ---- layouts


def test_dense_behind_flatten():
    """Whatever stands between the two: activations, dropout, normalization, sums, other features beside."""
    image, other = nn.Input((3, 2, 4)), nn.Input((5,))
    y = nn.Flatten()(image)
    y = nn.Dropout(0.5)(nn.ReLU()(nn.BatchNormalization(name="bn")(y)))
    y = nn.Add()([y, nn.Identity()(y)])
    y = nn.Dense(3, use_bias=False, name="fc")(nn.Concatenate()([other, y]))
    graph = nn.Model([image, other], nn.Dense(2, use_bias=False, name="last")(y), seed=0).graph
    state = {f"bn.{n}": drawn(24) for n in ("weight", "bias", "running_mean", "running_var")}
    state |= {"fc.weight": drawn(3, 29), "last.weight": drawn(2, 3)}
    found, x, o = to_weights(state, graph), drawn(2, 3, 2, 4), drawn(2, 5)
    normalized = x.reshape(2, -1) * found["bn/gamma"] + found["bn/beta"] - found["bn/moving_mean"] * found["bn/moving_variance"]
    y = np.concatenate([o, 2 * np.maximum(normalized, 0)], 1) @ found["fc/kernel"] @ found["last/kernel"]
    theirs = x.transpose(0, 3, 1, 2).reshape(2, -1) * state["bn.weight"] + state["bn.bias"] - state["bn.running_mean"] * state["bn.running_var"]
    wanted = np.concatenate([o, 2 * np.maximum(theirs, 0)], 1) @ state["fc.weight"].T @ state["last.weight"].T
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)


def test_dense_in_front_of_an_image():
    """A generator's first layers: Linear, PReLU, view(N, C, H, W), Conv2d."""
    layers = [nn.Input((5,)), nn.Dense(24, name="fc"), nn.PReLU(name="act"), nn.Reshape((2, 3, 4)), nn.Conv2D(1, 1, use_bias=False, name="conv")]
    state = {"fc.weight": drawn(24, 5), "fc.bias": drawn(24), "act.weight": drawn(24), "conv.weight": drawn(1, 4, 1, 1)}
    found, x = to_weights(state, nn.Sequential(layers, seed=0).graph), drawn(2, 5)
    y = x @ found["fc/kernel"] + found["fc/bias"]
    y = np.where(y > 0, y, y * found["act/alpha"]).reshape(2, 2, 3, 4) @ found["conv/kernel"][0, 0]
    theirs = x @ state["fc.weight"].T + state["fc.bias"]
    image = np.where(theirs > 0, theirs, theirs * state["act.weight"]).reshape(2, 4, 2, 3)
    np.testing.assert_allclose(y, np.einsum("nchw,oc->nhwo", image, state["conv.weight"][:, :, 0, 0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 4), (3, 2, 1)])
def test_flatten_that_changes_no_order(shape):
    model = nn.Sequential([nn.Input(shape), nn.Flatten(), nn.Dense(2, name="fc")], seed=0)
    state = {"fc.weight": drawn(2, int(np.prod(shape))), "fc.bias": drawn(2)}
    np.testing.assert_array_equal(to_weights(state, model.graph)["fc/kernel"], state["fc.weight"].T)


def test_dense_behind_global_pooling_keeps_its_order():
    model = nn.Sequential([nn.Input((3, 2, 4)), nn.GlobalAveragePooling2D(), nn.Dense(2, name="fc")], seed=0)
    state = {"fc.weight": drawn(2, 4), "fc.bias": drawn(2)}
    np.testing.assert_array_equal(to_weights(state, model.graph)["fc/kernel"], state["fc.weight"].T)


def test_a_separable_convolution_is_two_modules():
    model = nn.Sequential([nn.Input((4, 4, 3)), nn.SeparableConv2D(5, 3, depth_multiplier=2, name="mix")], seed=0)
    state = {"a.weight": drawn(6, 1, 3, 3), "b.weight": drawn(5, 6, 1, 1), "b.bias": drawn(5)}
    by_order, by_names = to_weights(state, model.graph), to_weights(state, model.graph, {"mix": ("a", "b.")})
    for path, wanted in {
        "mix/depthwise_kernel": state["a.weight"].reshape(3, 2, 3, 3).transpose(2, 3, 0, 1),
        "mix/pointwise_kernel": state["b.weight"].transpose(2, 3, 1, 0),
        "mix/bias": state["b.bias"],
    }.items():
        np.testing.assert_array_equal(by_order[path], wanted)
        np.testing.assert_array_equal(by_names[path], wanted)
    with pytest.raises(ConfigError, match="mix='a' must be a tuple of 2 modules' names"):
        to_weights(state, model.graph, {"mix": "a"})


def test_layers_without_a_counterpart_have_their_own_names():
    model = nn.Sequential([nn.Input((2, 2, 3)), nn.Normalization(name="norm"), nn.LayerNormalization(name="layer")], seed=0)
    state = {"norm.mean": drawn(3), "norm.variance": drawn(3), "norm.count": np.array(7, np.int64), "layer.weight": drawn(3), "layer.bias": drawn(3)}
    found = to_weights(state, model.graph)
    assert found["norm/count"].shape == () and found["norm/count"] == 7
    np.testing.assert_array_equal(found["layer/gamma"], state["layer.weight"])


def test_numbers_of_other_types():
    model = nn.Sequential([nn.Input((3,)), nn.Dense(1, use_bias=False, name="fc")], seed=0)
    found = to_weights({"fc.weight": np.array([[1.5, 1e300, -1e300]])}, model.graph)
    assert found["fc/kernel"].ravel().tolist() == [1.5, np.inf, -np.inf]


# ---- what is looked for where


def pair(**options) -> nn.Model:
    layers = [nn.Input((4, 4, 1)), nn.Conv2D(2, 3, name="first", **options), nn.Flatten(), nn.Dense(3, name="last/head")]
    return nn.Sequential(layers, seed=0)


def pair_state(first: str = "first", last: str = "last.head") -> dict[str, np.ndarray]:
    return {f"{first}.weight": drawn(2, 1, 3, 3), f"{first}.bias": drawn(2), f"{last}.weight": drawn(3, 8), f"{last}.bias": drawn(3)}


def test_names_that_are_equal_but_for_separators():
    state = pair_state()
    backwards = dict(reversed(state.items()))  # then order would be wrong
    found = match(backwards | {"first.num_batches_tracked": np.array(3), "first._extra_state": np.zeros(1)}, pair().graph)
    assert found.problems == [] and found.how == "equal names"
    np.testing.assert_array_equal(found.weights["first/bias"], state["first.bias"])


def test_given_names_and_own_names_together():
    found = match(pair_state("features.0"), pair().graph, {"first": "features.0"})
    assert found.problems == [] and set(found.weights) == {"first/kernel", "first/bias", "last/head/kernel", "last/head/bias"}
    found = match(pair_state("features.0"), pair().graph, lambda owner: "features.0" if owner == "first" else None)
    assert found.problems == []


def test_the_model_itself_may_be_the_module():
    model = nn.Sequential([nn.Input((3,)), nn.Dense(2, name="fc")], seed=0)
    state = {"weight": drawn(2, 3), "bias": drawn(2)}
    assert match(state, model.graph).problems == [] == match(state, model.graph, {"fc": ""}).problems


def test_by_order_of_either_sort():
    """PyTorch lists branches as they were written, one behind the other: as our graph does, or as Keras sorts layers."""
    x = nn.Input((4, 4, 1))
    left = nn.Conv2D(2, 1, name="l2")(nn.Conv2D(3, 1, name="l1")(x))
    right = nn.Conv2D(2, 3, padding="same", name="r2")(nn.Conv2D(5, 1, name="r1")(x))
    graph = nn.Model(x, nn.Add()([left, right]), seed=0).graph
    shapes = {"l1": (3, 1, 1, 1), "l2": (2, 3, 1, 1), "r1": (5, 1, 1, 1), "r2": (2, 5, 3, 3)}
    for order in (("l1", "l2", "r1", "r2"), tuple(o for o in keras_order(graph) if o in shapes)):
        state = {f"{n}.{w}": drawn(*(shapes[o] if w == "weight" else shapes[o][:1])) for n, o in enumerate(order) for w in ("weight", "bias")}
        found = match(state, graph)
        assert found.how == "order" and found.problems == []
        for number, owner in enumerate(order):
            np.testing.assert_array_equal(found.weights[f"{owner}/bias"], state[f"{number}.bias"])
    assert order != ("l1", "l2", "r1", "r2")


def test_everything_that_differs_is_told_at_once():
    model, state = pair(), pair_state("a", "b")
    state["b.weight"] = drawn(3, 7)
    del state["a.bias"]
    state |= {"c.weight": drawn(4), "c.bias": drawn(4)}
    with pytest.raises(FileError) as caught:
        to_weights(state, model.graph, {"first": "a", "last/head": "b"})
    for part in (
        "matched by the given names",
        "first/bias is missing (there is no a.bias)",
        "b.weight has shape (3, 7), last/head/kernel needs (3, 8)",
        "c.weight belongs to no layer; c.bias belongs to no layer",
    ):
        assert part in str(caught.value)
    found = match(state, model.graph, {"first": "a", "last/head": "b"})
    assert set(found.weights) == {"first/kernel", "last/head/bias"}
    assert found.shapes == {"last/head/kernel": ("b.weight", (3, 7), (3, 8))}
    with pytest.raises(ConfigError, match=r"^m\.pth: the weights do not fit"):
        to_weights({}, model.graph, fail=lambda reason: ConfigError(f"m.pth: {reason}"))


def test_by_order_tells_what_differs():
    with pytest.raises(FileError) as caught:
        to_weights(pair_state("a", "b") | {"b.weight": drawn(5, 8), "b.bias": drawn(5)}, pair().graph)
    assert "matched by order" in str(caught.value)
    assert "b.weight has shape (5, 8), last/head/kernel needs (3, 8); b.bias has shape (5,), last/head/bias needs (3,)" in str(caught.value)
    found = match(pair_state("a", "b") | {"c.weight": drawn(9)}, pair().graph)
    assert len(found.weights) == 4 and found.extra == ("c.weight",)


def test_names_that_cannot_be_used():
    for names, message in (
        ({"second": "a"}, "no layers with weights named 'second' \\(known: first, last/head\\)"),
        ({"first": 3}, "first=3 must be a module's name"),
        (lambda owner: ("a", "b"), r"first=\('a', 'b'\) must be a module's name; last/head="),
    ):
        with pytest.raises(ConfigError, match=message):
            to_weights(pair_state(), pair().graph, names)


# ---- published names


def resnet(block: str, repeats: tuple[int, ...]) -> list[str]:
    names = ["conv1", "bn1"]
    for stage, count in enumerate(repeats, 1):
        for number in range(count):
            names += [f"layer{stage}.{number}.{kind}{i}" for i in range(1, 4 if block == "bottleneck" else 3) for kind in ("conv", "bn")]
            if number == 0 and (stage > 1 or block == "bottleneck"):
                names += [f"layer{stage}.0.downsample.{i}" for i in (0, 1)]
    return [*names, "fc"]


def mobilenet() -> list[str]:
    names = ["features.0.0", "features.0.1", *(f"features.1.conv.{i}" for i in ("0.0", "0.1", "1", "2"))]
    for number in range(2, 18):
        names += [f"features.{number}.conv.{i}" for i in ("0.0", "0.1", "1.0", "1.1", "2", "3")]
    return [*names, "features.18.0", "features.18.1", "classifier.1"]


def densenet() -> list[str]:
    names = ["features.conv0", "features.norm0"]
    for block, count in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, count + 1):
            names += [f"features.denseblock{block}.denselayer{layer}.{i}" for i in ("norm1", "conv1", "norm2", "conv2")]
        if block < 4:
            names += [f"features.transition{block}.{i}" for i in ("norm", "conv")]
    return [*names, "features.norm5", "classifier"]


def vgg() -> list[str]:
    return [*(f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)), *(f"classifier.{i}" for i in (0, 3, 6))]


def efficientnet() -> list[str]:
    names = ["_conv_stem", "_bn0"]
    for number in range(16):
        parts = ("_expand_conv", "_bn0") if number else ()
        names += [f"_blocks.{number}.{i}" for i in (*parts, "_depthwise_conv", "_bn1", "_project_conv", "_bn2")]
    return [*names, "_conv_head", "_bn1", "_fc"]


PUBLISHED = {
    "resnet18": resnet("basic", (2, 2, 2, 2)),
    "resnet34": resnet("basic", (3, 4, 6, 3)),
    "resnet50": resnet("bottleneck", (3, 4, 6, 3)),
    "mobilenet_v2": mobilenet(),
    "vgg16": vgg(),
    "densenet121": densenet(),
    "efficientnet_lite0": efficientnet(),
}
HERE = [name for name in PUBLISHED if name in nn.registry.models]


@pytest.mark.parametrize("name", HERE)
def test_published_names(name):
    """Each module is put where order puts it too, whatever its place in the file, before or behind a prefix; a head of other size is told."""
    graph = nn.build(name, (32, 32, 3), classes=7, seed=0).graph
    ours = {owner: parts[0] for owner, parts in modules(graph).items()}
    assert len(ours) == len(PUBLISHED[name])
    by_order = dict(zip(ours, PUBLISHED[name], strict=True))
    state, values = {}, {}
    for number, (owner, module) in enumerate(by_order.items()):
        for weight, place in ours[owner].items():
            state[f"{module}.{weight}"] = np.full(place.theirs, number, np.float32)
            values[place.path] = number
    chance = np.random.default_rng(0)
    for prefix in ("", "model.", "net.backbone."):
        shuffled = {f"{prefix}{k}": state[k] for k in chance.permutation(list(state))}
        found = match(shuffled, graph)
        assert found.problems == [] and name[:5] in found.how
        assert {path: a.flat[0] for path, a in found.weights.items()} == values
    head = PUBLISHED[name][-1]
    state |= {f"{head}.weight": np.zeros((1000, state[f"{head}.weight"].shape[1]), np.float32), f"{head}.bias": np.zeros(1000, np.float32)}
    found = match(state, graph)
    assert set(found.shapes) == {"predictions/kernel", "predictions/bias"} and not found.missing and not found.extra
    assert len(found.weights) == len(values) - 2


def test_names_of_old_densenet_files():
    new = "features.denseblock1.denselayer2.norm1.weight"
    assert modern("features.denseblock1.denselayer2.norm.1.weight") == new == modern(new)
    assert modern("features.1.conv.1.0.weight") == "features.1.conv.1.0.weight"
