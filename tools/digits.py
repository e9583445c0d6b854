"""Writes scikit-learn's digits, 1,797 handwritten digits of 8x8 pixels, as PNG files, a folder for each digit."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write(folder: Path) -> int:
    """Write the images and return how many there are."""
    data = load_digits()
    for index, (pixels, label) in enumerate(zip(data.images, data.target, strict=True)):
        path = folder / str(label) / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(pixels * (255 / 16)).astype(np.uint8)).save(path)
    return len(data.images)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(f"{write(target)} images in {target}")
