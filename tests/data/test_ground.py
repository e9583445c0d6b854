"""Pictures on a white ground are told from photographs by their edges."""

import numpy as np
import pytest
from PIL import Image

from numbacnn.data.ground import on_white


def pictures(folder, edges):
    """A picture for each edge color; None is a file that is no picture, "clear" a transparent one."""
    random, paths = np.random.default_rng(0), []
    for i, edge in enumerate(edges):
        path = folder / f"{i}.png"
        paths.append(path)
        if edge is None:
            path.write_bytes(b"no picture")
            continue
        pixels = np.full((40, 60, 4), 255 if edge == "clear" else edge, np.uint8)
        pixels[..., 3] = 0 if edge == "clear" else 255
        pixels[10:30, 10:50, :3] = random.integers(0, 255, (20, 40, 3))
        pixels[10:30, 10:50, 3] = 255
        Image.fromarray(pixels).save(path)
    return paths


@pytest.mark.parametrize(
    ("edges", "answer"),
    [
        ([255, 250, "clear"], True),
        ([255, 255, 120], True),
        ([255, 120, 30], False),
        ([255, 120], False),
        ([255, None, None], True),
        ([None], False),
        ([], False),
    ],
)
def test_most_edges_decide(tmp_path, edges, answer):
    assert on_white(pictures(tmp_path, edges)) is answer


def test_a_white_sky_is_no_white_ground(tmp_path):
    pixels = np.full((40, 60, 3), 90, np.uint8)
    pixels[:20] = 255
    Image.fromarray(pixels).save(tmp_path / "sky.png")
    assert on_white([tmp_path / "sky.png"]) is False
