"""How long images take from files to batches: `python benchmarks/data.py [FOLDER]` prints JSON.

FOLDER holds a folder of images for each class (default: the clip-art pictures beside the checkout, where they are there).
Times depend on what else the machine does: the load average is printed with them.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from numbacnn.data.batches import Dataset, image_folder
from numbacnn.data.folder import Images
from numbacnn.data.preprocess import Preprocess
from numbacnn.data.split import split


def main(folder: str) -> None:
    """Scan, split, first epoch (decoding), second epoch (from memory), and milliseconds a batch of 32 for each augmentation."""
    found = {"load": os.getloadavg()[0]}
    start = time.perf_counter()
    train, _ = image_folder(folder, size=64)
    found["scan_s"] = time.perf_counter() - start
    start = time.perf_counter()
    split(train.paths, train.labels.tolist(), 0.2, 0)
    found["split_s"] = time.perf_counter() - start
    for name in ("decode_epoch_s", "cached_epoch_s"):
        start = time.perf_counter()
        for _ in train.epoch(0):
            pass
        found[name] = time.perf_counter() - start
    found["images"] = train.images
    for size in (64, 224):
        for augment in ("none", "light", "full"):
            found[f"batch_{size}_{augment}_ms"] = batch_milliseconds(size, augment)
    print(json.dumps({k: round(v, 3) for k, v in found.items()}, indent=2))


def batch_milliseconds(size: int, augment: str, batch: int = 32, repeats: int = 30) -> float:
    """Median time of one batch from decoded images."""
    images = Images(("a",), [Path()] * batch, [0] * batch)
    dataset = Dataset(images, Preprocess(size), batch, augment)
    dataset._pixels[:] = np.random.default_rng(0).integers(0, 256, dataset._pixels.shape)
    dataset._decoded[:] = True
    times = []
    for epoch in range(repeats):
        start = time.perf_counter()
        list(dataset.epoch(epoch))
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    clipart = Path(__file__).resolve().parents[2] / "shared" / "data" / "clipart"
    if len(sys.argv) > 1 or clipart.is_dir():
        main(sys.argv[1] if len(sys.argv) > 1 else str(clipart))
    else:
        print(f"no FOLDER is given and {clipart} is not here: nothing is measured")
