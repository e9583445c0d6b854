"""Whether pictures stand on a white ground, as drawings and catalogues do: then nothing has to be cut away to make them square."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from .decode import decode
from .preprocess import Preprocess
from .workers import workers

SAMPLE = 100  # pictures that are looked at, evenly over all
SIDE = 32  # pixels that they are made small to
WHITE, EDGE = 245, 0.75  # a pixel is white from here on; a picture stands on white where so much of its edge is


def on_white(paths: Sequence[Path]) -> bool:
    """Whether most of the pictures have a white edge (transparent pixels count as white). Files that cannot be read do not count."""
    some = paths[:: max(1, len(paths) // SAMPLE)][:SAMPLE]
    with workers() as pool:
        found = [answer for answer in pool.map(_stands_on_white, some) if answer is not None]
    return sum(found) * 2 > len(found)


def _stands_on_white(path: Path) -> bool | None:
    try:
        pixels = decode(path, Preprocess((SIDE, SIDE), "gray"))[..., 0]
    except DataError:
        return None
    edge = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    return bool(np.mean(edge >= WHITE) >= EDGE)
