"""Small folders of pictures, and the command line run inside this process."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numbacnn_cli.main import main
from PIL import Image

import numbacnn as nn


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def numbacnn(capfd, tmp_path, monkeypatch):
    """Call it like the command; runs/ lands in tmp_path."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Done:
        capfd.readouterr()
        status = main([str(a) for a in args])
        return Done(status, *capfd.readouterr())

    return run


def write_images(folder: Path, counts: dict[str, int], side: int = 8) -> Path:
    """A folder for each class; the classes differ in brightness."""
    random = np.random.default_rng(0)
    for i, (label, count) in enumerate(counts.items()):
        (folder / label).mkdir(parents=True)
        for n in range(count):
            pixels = 60 * i + random.integers(0, 50, (side, side, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{n:02}.png")
    return folder


@pytest.fixture
def pictures(tmp_path) -> Path:
    """24 pictures in three classes, and a file that is none."""
    folder = write_images(tmp_path / "pictures", {"dark": 8, "middle": 8, "bright": 8})
    (folder / "dark" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """(RUN, pictures): one run that tests only read."""
    root = tmp_path_factory.mktemp("trained")
    folder = write_images(root / "pictures", {"dark": 8, "middle": 8, "bright": 8})
    assert main(["fit", str(folder), "--out", str(root / "run"), "--model", "small", "--size", "8", "--epochs", "2", "--batch-size", "8", "--quiet"]) == 0
    return root / "run", folder


@pytest.fixture
def spoilt(trained, tmp_path) -> Path:
    """A model file whose last layer's weights are NaN."""
    model = nn.load(trained[0])
    model.set_weights([*model.get_weights()[:-1], np.full_like(model.get_weights()[-1], np.nan)])
    model.save(tmp_path / "spoilt.h5")
    return tmp_path / "spoilt.h5"
