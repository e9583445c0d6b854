"""Which layer of a file goes where: by order, by names, by keys, with models in models, with and without the top."""

import numpy as np
import pytest

from numbacnn.store import align
from numbacnn.store.keras.tree import KerasLayer
from numbacnn.store.stored import StoredLayer, StoredWeight

NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def conv(name, filters=4, owner=None, kind="Conv2D"):
    return KerasLayer(name, kind, owner or name, (("kernel", (3, 3, 3, filters)), ("bias", (filters,))))


def norm(name, channels=4, owner=None):
    return KerasLayer(name, "BatchNormalization", owner or name, tuple((n, (channels,)) for n in NORM))


def relu(name):
    return KerasLayer(name, "ReLU", name)


def model(name, *children, kind="Functional"):
    return KerasLayer(name, kind, children=children)


def group(name, *weights, key=None):
    """weights: (name, shape)"""
    return StoredLayer(key or name, name, tuple(StoredWeight(n, s, "float32", lambda: np.zeros(0)) for n, s in weights))


def conv_group(name, filters=4, prefix=None):
    prefix = name if prefix is None else prefix
    return group(name, (f"{prefix}/kernel:0", (3, 3, 3, filters)), (f"{prefix}/bias:0", (filters,)))


def norm_group(name, channels=4):
    return group(name, *((f"{name}/{n}:0", (channels,)) for n in NORM))


def went(matching):
    return {path: stored.name for path, stored in matching.pairs.items()}


def test_the_kth_layer_takes_the_kth():
    tree = (relu("in"), conv("conv2d"), relu("r"), norm("batch_normalization"), conv("conv2d_1"))
    found = align.ordered(tree, [conv_group("conv2d_7"), norm_group("batch_normalization_3"), conv_group("conv2d_8")])
    assert found.complete
    assert went(found)["conv2d/kernel"] == "conv2d_7/kernel:0"
    assert went(found)["conv2d_1/bias"] == "conv2d_8/bias:0"
    assert went(found)["batch_normalization/moving_mean"] == "batch_normalization_3/moving_mean:0"


def test_names_that_keras_makes_say_nothing():
    tree = (conv("conv2d_2"), conv("conv2d_1"))
    stored = [conv_group("conv2d_1"), conv_group("conv2d_2")]
    assert went(align.ordered(tree, stored))["conv2d_2/kernel"] == "conv2d_1/kernel:0"
    assert went(align.ordered(tree, stored, trust_names=True))["conv2d_2/kernel"] == "conv2d_2/kernel:0"


def test_names_of_their_own_decide_where_all_are_there():
    tree = (conv("left"), conv("right"))
    assert went(align.ordered(tree, [conv_group("right"), conv_group("left")]))["left/kernel"] == "left/kernel:0"
    renamed = align.ordered(tree, [conv_group("right"), conv_group("center")])
    assert renamed.complete
    assert went(renamed)["left/kernel"] == "right/kernel:0"


def test_weights_of_a_layer_by_their_last_name_or_in_order():
    tree = (norm("bn"),)
    turned = group("bn", *((f"bn/{n}", (4,)) for n in reversed(NORM)))
    assert went(align.ordered(tree, [turned])) == {f"bn/{n}": f"bn/{n}" for n in NORM}
    old = group("bn", *((f"bn_{n}:0", (4,)) for n in ("g", "b", "m", "s")))
    assert went(align.ordered(tree, [old])) == {"bn/gamma": "bn_g:0", "bn/beta": "bn_b:0", "bn/moving_mean": "bn_m:0", "bn/moving_variance": "bn_s:0"}
    depthwise = (KerasLayer("d", "DepthwiseConv2D", "d", (("depthwise_kernel", (3, 3, 4, 1)), ("bias", (4,)))),)
    assert align.ordered(depthwise, [group("d", ("d/kernel", (3, 3, 4, 1)), ("d/bias", (4,)))]).complete


def nested_group(name="base"):
    """As Keras writes it when all is trained: what is trained first, then the statistics, in one flat list."""
    trained = [("conv/kernel", (3, 3, 3, 4)), ("conv/bias", (4,)), ("bn/gamma", (4,)), ("bn/beta", (4,)), ("last/kernel", (3, 3, 3, 4)), ("last/bias", (4,))]
    return group(name, *trained, ("bn/moving_mean", (4,)), ("bn/moving_variance", (4,)))


NESTED = (relu("in"), model("base", relu("i"), conv("conv", owner="base/conv"), norm("bn", owner="base/bn"), conv("last", owner="base/last")), conv("head", 7))
FLAT = (relu("in"), conv("base/conv"), norm("base/bn"), conv("base/last"), conv("head", 7))


@pytest.mark.parametrize("tree", [NESTED, FLAT], ids=["nested", "flat"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_model_in_the_model_by_the_names_of_its_weights(tree, frozen):
    stored = nested_group()
    if frozen:  # a frozen layer's weights stand behind all that are trained
        stored = group("base", *sorted(((w.name, w.shape) for w in stored.weights), key=lambda item: item[0].startswith("conv/")))
    found = align.ordered(tree, [stored, conv_group("head", 7)])
    assert found.complete
    assert went(found) == {
        **{f"base/conv/{n}": f"conv/{n}" for n in ("kernel", "bias")},
        **{f"base/bn/{n}": f"bn/{n}" for n in NORM},
        **{f"base/last/{n}": f"last/{n}" for n in ("kernel", "bias")},
        **{f"head/{n}": f"head/{n}:0" for n in ("kernel", "bias")},
    }


def test_a_model_in_the_model_with_made_names_by_order():
    tree = (model("functional", conv("conv2d", owner="functional/conv2d"), conv("conv2d_1", 5, owner="functional/conv2d_1")),)
    stored = group("model_3", *((f"conv2d_{i}/{n}", s) for i, c in ((8, 4), (9, 5)) for n, s in (("kernel", (3, 3, 3, c)), ("bias", (c,)))))
    found = align.ordered(tree, [stored])
    assert found.complete
    assert went(found)["functional/conv2d_1/kernel"] == "conv2d_9/kernel"


def test_everything_that_does_not_fit_is_listed_at_once():
    tree = (conv("a"), conv("b", 5), conv("c"))
    found = align.ordered(tree, [conv_group("a"), conv_group("b"), group("c", ("c/kernel", (3, 3, 3, 4)))])
    assert found.missing == ["c/bias (4,)"]
    assert set(went(found)) == {"a/kernel", "a/bias"}
    assert found.misfits == [
        "b/kernel is (3, 3, 3, 5) in the model, (3, 3, 3, 4) in the file (b/kernel:0)",
        "b/bias is (5,) in the model, (4,) in the file (b/bias:0)",
    ]
    shorter = align.ordered((conv("a"),), [group("x", ("x/kernel", (3, 3, 3, 4)))])
    assert (shorter.missing, shorter.extra, shorter.pairs) == (["a/bias (4,)"], [], {})
    assert align.ordered((conv("a"),), [group("x", *((n, (1,)) for n in "pqr"))]).extra == ["x/r (1,)"]


BASE = [conv_group("stem"), norm_group("bn"), conv_group("deep", 6)]


def test_with_and_without_the_top():
    tree = (conv("stem"), norm("bn"), conv("deep", 6))
    more = align.ordered(tree, [*BASE, conv_group("predictions", 9)])
    assert len(more.pairs) == 8 and more.extra == ["predictions/kernel:0 (3, 3, 3, 9)", "predictions/bias:0 (9,)"]
    less = align.ordered((*tree, conv("predictions", 9)), BASE)
    assert len(less.pairs) == 8 and less.missing == ["predictions/kernel (3, 3, 3, 9)", "predictions/bias (9,)"]
    made = (conv("conv2d_4"), norm("batch_normalization_2"), conv("conv2d_5", 6), conv("dense_1", 9, kind="Dense"), conv("dense_2", 9, kind="Dense"))
    assert set(went(align.ordered(made, BASE))) == {
        *(f"conv2d_{i}/{n}" for i in (4, 5) for n in ("kernel", "bias")),
        *(f"batch_normalization_2/{n}" for n in NORM),
    }


def test_by_name_leaves_out_what_only_one_side_has():
    tree = (conv("other"), conv("deep", 6), norm("bn"))
    found = align.named(tree, BASE)
    assert found.complete
    assert set(went(found)) == {"deep/kernel", "deep/bias", *(f"bn/{n}" for n in NORM)}
    assert align.named((conv("deep", 7),), BASE).misfits
    assert went(align.named(FLAT, [nested_group(), conv_group("else")]))["base/last/kernel"] == "last/kernel"


def keys(*layers):
    """(key, name of the layer, shapes)"""
    return [StoredLayer(k, name, tuple(StoredWeight(str(i), s, "float32", lambda: np.zeros(0)) for i, s in enumerate(shapes))) for k, name, shapes in layers]


CONV, WIDE = [(3, 3, 3, 4), (4,)], [(3, 3, 3, 7), (7,)]


def test_keys_count_layers_of_a_class():
    tree = (relu("r"), conv("x"), KerasLayer("+", "Conv2D", is_operation=True), conv("y"), conv("z", 7))
    found = align.by_key(tree, keys(("conv2d_2", None, WIDE), ("conv2d", None, CONV), ("conv2d_1", None, CONV)))
    assert found.complete
    assert {p: s.shape for p, s in found.pairs.items()}["z/kernel"] == (3, 3, 3, 7)
    missing = align.by_key(tree, keys(("conv2d", None, CONV), ("conv2d_1", None, CONV), ("dense", None, [(4, 2)])))
    assert missing.missing == ["z/kernel (3, 3, 3, 7)", "z/bias (7,)"] and missing.extra == ["dense/0 (4, 2)"]


BN = [(4,)] * 4
NESTED_KEYS = [("functional/layers/conv2d", "base/conv", CONV), ("functional/layers/batch_normalization", "base/bn", BN)]
NESTED_KEYS += [("functional/layers/conv2d_1", "base/last", CONV), ("conv2d", "head", WIDE)]


def test_keys_of_models_in_models():
    assert align.by_key(NESTED, keys(*NESTED_KEYS)).complete
    by_their_names = align.by_key(FLAT, keys(*NESTED_KEYS))
    assert by_their_names.complete and set(by_their_names.pairs) == set(align.by_key(NESTED, keys(*NESTED_KEYS)).pairs)
    nameless = keys(*((key, None, shapes) for key, _, shapes in NESTED_KEYS))
    assert not align.by_key(FLAT, nameless).complete  # which convolution is which cannot be told
    assert align.by_key(FLAT[:-1], nameless[:-1]).complete  # only one order is possible
    assert align.named_keys(FLAT, nameless) is None
    assert set(went(align.named_keys((norm("base/bn"), conv("new")), keys(*NESTED_KEYS)))) == {f"base/bn/{n}" for n in NORM}


def test_a_layer_that_two_models_share_is_stored_once():
    shared = conv("shared")
    tree = (model("a", shared), model("b", shared))
    assert align.by_key(tree, keys(("functional/layers/conv2d", None, CONV))).complete


def test_quantized_weights_are_refused():
    stored = StoredLayer("a", "a", (StoredWeight("a/kernel", (3, 3, 3, 4), "int8", lambda: None), StoredWeight("a/bias", (4,), "float32", lambda: None)))
    assert align.ordered((conv("a"),), [stored]).misfits == ["a/kernel: a/kernel holds int8, not floats (a quantized model: save it before it is quantized)"]
