"""Cutting, new heads, freezing and layer groups."""

from types import SimpleNamespace

import numpy as np
import pytest
from little import network, same, samples

import numbacnn as nn


def squeezed():
    """Squeeze-and-excitation in the body, and the head of keras.applications' MobileNetV3: pooled with axes kept, then convolutions."""
    x = nn.Input((4, 4, 3))
    y = nn.Conv2D(4, 3, padding="same", name="conv")(x)
    s = nn.Conv2D(4, 1, activation="sigmoid", name="excite")(nn.GlobalAveragePooling2D(keepdims=True, name="squeeze")(y))
    y = nn.ReLU(name="last_relu")(nn.Multiply(name="scale")([y, s]))
    y = nn.Conv2D(5, 1, name="wide")(nn.GlobalAveragePooling2D(keepdims=True, name="pool")(y))
    return nn.Model(x, nn.Flatten(name="flat")(nn.Conv2D(2, 1, name="logits")(y)), seed=0)


def flattened():
    x = nn.Input((4, 4, 3))
    y = nn.MaxPooling2D(2, name="pool")(nn.Conv2D(4, 3, padding="same", name="conv")(x))
    return nn.Model(x, nn.Dense(2, name="out")(nn.Dense(6, name="fc1")(nn.Flatten(name="flat")(y))), seed=0)


def test_cut_ends_with_that_layer_and_shares_weights():
    model = network()
    model.preprocess, model.classes, model.splits = nn.Preprocess((6, 6)), ("a", "b", "c"), ("block2", "predictions")
    base = model.cut("avg_pool")
    assert base.output_shape == (None, 4) and [h.name for h in base.layers][-1] == "avg_pool"
    assert base.get_layer("block1_conv") is model.get_layer("block1_conv")
    assert (base.preprocess, base.classes, base.splits) == (model.preprocess, None, ("block2",))
    x, _ = samples(5)
    features = base.predict(x)
    head = model.get_layer("predictions").get_weights()
    assert np.allclose(features @ head[0] + head[1], model.predict(x), atol=1e-6)
    assert model.cut("block1").output_shape == (None, 6, 6, 4), "a prefix means its last layer"
    assert model.cut("predictions").classes == ("a", "b", "c")
    with pytest.raises(nn.UnknownNameError, match="did you mean 'avg_pool'"):
        model.cut("avg_poll")
    by_hand = nn.Model(base.input, nn.Dense(2, name="mine")(base.output), seed=1)
    assert np.array_equal(by_hand.get_layer("block2_conv").weights["kernel"], model.get_layer("block2_conv").weights["kernel"])


def test_cut_after_loading_and_inside_bigger_models(tmp_path):
    model = network()
    model.save(tmp_path / "m.h5")
    x, _ = samples(4)
    assert np.array_equal(nn.load(tmp_path / "m.h5").cut("avg_pool").predict(x), model.cut("avg_pool").predict(x))
    source = nn.Input((6, 6, 2))
    outer = nn.Model(source, nn.Dense(2, name="two")(model(source)), seed=1)
    assert np.array_equal(outer.cut("model/avg_pool").predict(x), model.cut("avg_pool").predict(x))
    a, b = nn.Input((6, 6, 2), name="a"), nn.Input((6, 6, 2), name="b")
    both = nn.Model([b, a], nn.Subtract()([nn.Conv2D(2, 3, name="left")(a), nn.Conv2D(2, 3, name="right")(b)]), seed=0)
    assert both.cut("left").inputs == [a]
    assert np.array_equal(both.predict([x, 2 * x]), both.cut("left").predict(2 * x) - both.cut("right").predict(x)), "inputs in the order of the model's"


@pytest.mark.parametrize(("make", "last"), [(network, "block2_relu"), (squeezed, "last_relu"), (flattened, "pool")])
def test_a_new_head_goes_on_from_the_last_feature_map(make, last):
    model = make()
    new = model.with_head(4, seed=1)
    assert new.get_layer("head_avg").input is model.get_layer(last).output
    assert new.output_shape == (None, 4) and new.layer_groups()[-1] == ["head"]
    shape = new.input_shape[1:]
    features = model.cut(last).predict(np.ones((2, *shape)))
    head = new.get_layer("head").get_weights()
    assert np.allclose(features.mean((1, 2)) @ head[0] + head[1], new.predict(np.ones((2, *shape))), atol=1e-6)


def test_heads_of_all_kinds():
    model = network()
    model.preprocess = nn.Preprocess((6, 6))
    new = model.with_head(["cat", "dog"], pooling="concat", hidden=[7, 5], dropout=0.4, seed=1)
    names = ["head_avg", "head_max", "head_concat", "head_bn1", "head_dropout1", "head_dense1", "head_bn2", "head_dropout2", "head_dense2"]
    names += ["head_bn3", "head_dropout", "head"]
    assert [h.name for h in new.layers][-len(names) :] == names
    assert (new.classes, new.preprocess, new.splits) == (("cat", "dog"), model.preprocess, ("block2_conv", "head_avg"))
    assert new.layer_groups() == [
        ["block1_conv", "block1_bn"],
        ["block2_conv", "block2_bn"],
        ["head_bn1", "head_dense1", "head_bn2", "head_dense2", "head_bn3", "head"],
    ]
    rates = [new.get_layer(n).layer.rate for n in ("head_dropout1", "head_dropout")]
    assert rates == [0.2, 0.4] and [new.get_layer(f"head_dense{i}").layer.units for i in (1, 2)] == [7, 5]
    x, _ = samples(3)
    maps = model.cut("block2_relu").predict(x)
    assert np.allclose(new.cut("head_concat").predict(x), np.concatenate([maps.mean((1, 2)), maps.max((1, 2))], 1), atol=1e-6)
    again = new.with_head(3, seed=2)
    assert not {"head_dense1", "head_max"} & set(again.handles) and again.output_shape == (None, 3) and again.splits == ("block2_conv", "head_avg")
    assert same([again.get_layer("block1_conv").get_weights()[0]], [model.get_layer("block1_conv").get_weights()[0]])
    assert again.get_layer("head") is not new.get_layer("head")
    assert model.with_head(2, pooling="max", seed=0).get_layer("head_max").input is model.get_layer("block2_relu").output


@pytest.mark.parametrize(
    ("name", "last"), [("small", "stage4b_relu"), ("resnet18", "stage4_block2_out"), ("mobilenet_v2", "out_relu"), ("efficientnet_lite0", "top_activation")]
)
def test_registered_models_get_heads(name, last):
    model = nn.build(name, (32, 32, 3), 5, seed=0)
    new = model.with_head(["a", "b"], pooling="concat", seed=0)
    assert new.get_layer("head_max").input is model.get_layer(last).output
    early, late, head = new.layer_groups()
    assert head == ["head"] and late[-1] == model.layer_groups()[1][-1]
    assert late[0].startswith(model.splits[0]) if model.splits else abs(len(early) - len(late)) <= 1
    assert "predictions" not in new.handles and new.name == name


def test_an_architecture_says_where_its_pooling_is(monkeypatch):
    monkeypatch.setitem(nn.build.__globals__["registry"].models._loaded, "small", SimpleNamespace(pool="squeeze"))
    model = squeezed()
    assert model.with_head(2, seed=0).get_layer("head_avg").input is model.get_layer("last_relu").output
    model.name = "small"
    assert model.with_head(2, seed=0).get_layer("head_avg").input is model.get_layer("conv").output


def test_splits_go_on_to_the_new_head():
    model = network()
    model.splits = ("block2", "predictions")
    assert model.with_head(2, seed=0).splits == ("block2", "head_avg")


def test_a_sequential_model_gets_a_head():
    layers = [nn.Input((6, 6, 2)), nn.Conv2D(4, 3, activation="relu", name="conv"), nn.GlobalAveragePooling2D(), nn.Dense(3, name="old")]
    model = nn.Sequential(layers, seed=0)
    new = model.with_head(2, seed=0)
    assert type(new) is nn.Model and [h.name for h in new.layers if h.specs] == ["conv", "head"]
    new.freeze(until="conv")
    assert not model.get_layer("conv").trainable, "one layer, in two models"


def test_a_model_that_ends_in_a_feature_map_gets_a_head():
    base = network().cut("block2_relu")
    assert base.with_head(2, hidden=3, seed=0).layer_groups()[-1] == ["head_bn1", "head_dense1", "head_bn2", "head"]


def test_a_name_that_is_taken():
    x = nn.Input((4, 4, 3))
    model = nn.Model(x, nn.GlobalMaxPooling2D()(nn.Conv2D(2, 3, name="head_conv")(x)), seed=0)
    assert model.with_head(2, seed=0).splits[-1] == "head_new_avg"


def test_heads_that_cannot_be():
    model = network()
    for classes in (0, True, "ab", ["a", "a"], []):
        with pytest.raises(nn.ConfigError, match=r"classes=.* must be a number of at least 1, or different names"):
            model.with_head(classes)
    with pytest.raises(nn.UnknownNameError, match="unknown pooling 'average'"):
        model.with_head(2, pooling="average")
    x = nn.Input((4,))
    with pytest.raises(nn.ConfigError, match="no layer is found where a feature map becomes a vector"):
        nn.Model(x, nn.Dense(2)(x), seed=0).with_head(3)
    a, b = nn.Input((4, 4, 1)), nn.Input((4, 4, 1))
    pool = nn.GlobalAveragePooling2D()
    two = nn.Model([a, b], nn.Concatenate()([pool(nn.Conv2D(2, 3)(a)), pool(nn.Conv2D(2, 3)(b))]), seed=0)
    with pytest.raises(nn.ConfigError, match="no layer is found where a feature map"):
        two.with_head(3)


def trained(model):
    return [h.name for h in model.layers if h.specs and h.trainable]


def test_freezing_by_name_and_prefix():
    model = network()
    model.freeze(until="block1")
    assert trained(model) == ["block2_conv", "block2_bn", "predictions"]
    model.freeze()
    assert trained(model) == [] and not model.trainable
    model.unfreeze(from_="block2_bn")
    assert trained(model) == ["block2_bn", "predictions"]
    model.get_layer("block1_conv").trainable = True
    model.freeze(until="avg_pool")
    assert trained(model) == ["predictions"]
    for call in (model.freeze, model.unfreeze):
        with pytest.raises(nn.UnknownNameError, match="did you mean 'block2_bn'"):
            call("block2_bm")
    assert trained(model) == ["predictions"]
    model.unfreeze()
    assert len(trained(model)) == 5


def test_a_number_at_the_end_of_a_prefix_is_whole():
    x = y = nn.Input((4,))
    for i in (1, 2, 10, 11):
        y = nn.Dense(4, name=f"block_{i}_dense")(y)
    model = nn.Model(x, y, seed=0)
    model.freeze(until="block_1")
    assert trained(model) == ["block_2_dense", "block_10_dense", "block_11_dense"]
    with pytest.raises(nn.UnknownNameError):
        model.freeze(until="block_3")


@pytest.mark.parametrize("keep", [True, False])
def test_frozen_weights_and_statistics_stay_bit_for_bit(keep):
    x, y = samples()
    model = network()
    model.freeze(until="block1")
    model.compile("adam", "cross_entropy")
    before = {h.name: h.get_weights() for h in model.layers}
    model.fit(x, y, epochs=2, batch_size=8, keep_features=keep)
    for handle in model.layers:
        if handle.specs:
            assert same(before[handle.name], handle.get_weights()) == handle.name.startswith("block1")


def test_the_summary_says_what_is_trained(capsys):
    model = network()
    model.freeze(until="block1")
    model.summary()
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "frozen" in lines["block1_conv"] and "frozen" in lines["block1_bn"]
    assert "group 2" in lines["block2_conv"] and "group 3" in lines["predictions"] and "frozen" not in lines["block2_relu"]


def test_groups_by_splits_travel_with_files(tmp_path):
    model = network()
    model.splits = ("block1_bn", "block2", "predictions")
    expected = [["block1_conv"], ["block1_bn"], ["block2_conv", "block2_bn"], ["predictions"]]
    assert model.layer_groups() == expected
    model.save(tmp_path / "m.h5")
    assert nn.load(tmp_path / "m.h5").layer_groups() == expected
    model.splits = ("predictions", "block2")
    with pytest.raises(nn.ConfigError, match="from the input to the output"):
        model.layer_groups()
    model.splits = ("block9",)
    with pytest.raises(nn.UnknownNameError, match="block9"):
        model.layer_groups()


def test_groups_without_splits():
    assert network(normalized=False).layer_groups() == [["block1_conv"], ["block2_conv"], ["predictions"]]
    assert flattened().layer_groups() == [["conv"], ["fc1", "out"]]
    x = nn.Input((4,))
    assert nn.Model(x, nn.Dense(2, name="b")(nn.Dense(2, name="a")(x)), seed=0).layer_groups() == [["a"], ["b"]]
    assert nn.build("small", (16, 16, 3), 2, seed=0).layer_groups()[-1] == ["predictions"]
