"""A file -> uint8 pixels of the size and color that a network takes."""

import contextlib
import functools
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import DataError
from .preprocess import Preprocess

# Not all that Pillow opens: EPS, for one, would start another program.
FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA", "PCX", "ICO", "SGI", "QOI", "DDS")
ORIENTATION = 0x0112  # the EXIF tag, and what undoes each of its values
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
GAP = 3.0  # a large image is first reduced by averaging to about three times the wanted size: several times faster, no visible difference


def decode(path: str | os.PathLike, preprocess: Preprocess) -> np.ndarray:
    """The image in a file as uint8 (height, width, channels) of the preprocess' size and color; preprocess.apply does the rest.

    Upright as its EXIF data says, transparency on white, 16 bits to 8, the first frame of an animation.
    Raises DataError naming the file and the reason (also in its attribute `reason`): missing, not an image, truncated, too large.
    """
    with _opened(path) as image:
        left, top, right, bottom = _source(image.size, preprocess)
        ratio = min(right - left, bottom - top) / max(preprocess.size)
        if image.format == "JPEG" and ratio > GAP:  # decoded at 1/2, 1/4 or 1/8 of its size where that is enough
            image.draft(image.mode, (int(image.width * GAP / ratio), int(image.height * GAP / ratio)))
        image = _opaque(_resized(_common(_upright(image)), preprocess), preprocess.color)
        return np.asarray(image).reshape(preprocess.shape)


def check(path: str | os.PathLike) -> str | None:
    """Why a file cannot be an image, from its header alone, or None."""
    try:
        with _opened(path):
            return None
    except DataError as error:
        return error.reason


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """An open image of bounded size; whatever goes wrong inside becomes a DataError."""
    try:
        with _quiet(), open(path, "rb") as file, Image.open(file, formats=_formats()) as image:
            pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS
            if limit is not None and pixels > limit:
                raise Image.DecompressionBombError
            yield image
    except Exception as error:  # a damaged file makes Pillow's plugins raise nearly everything
        located = DataError(f"{Path(path)}: {_reason(error)}")
        located.reason = _reason(error)
        raise located from error


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or in a format that is not read (PNG, JPEG, GIF, BMP, WebP, TIFF and the like are)"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels (Pillow's limit, PIL.Image.MAX_IMAGE_PIXELS)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged image ({str(error) or type(error).__name__})"


@functools.cache
def _formats() -> list[str]:
    Image.init()
    return [f for f in FORMATS if f in Image.OPEN]


_users, _lock = 0, threading.Lock()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Pillow's warnings (odd metadata, …) say nothing to someone who trains; what matters is an error here.

    warnings.catch_warnings swaps the process' whole list of filters, and threads would swap it under each other's feet: so
    only our own entry comes and goes.
    """
    global _users
    with _lock:
        _users += 1
        warnings.filterwarnings("ignore", module=r"PIL\.")
        ours = warnings.filters[0]
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and ours in warnings.filters:
                warnings.filters.remove(ours)


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # TIFF files are turned by this already, and forget their orientation
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION))
    except Exception:  # damaged metadata (Pillow raises nearly everything) says nothing about the orientation
        turn = None
    return image if turn is None else image.transpose(turn)


def _common(image: Image.Image) -> Image.Image:
    """Mode L, LA, RGB or RGBA."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_eight_bits(image))
    if image.mode in ("PA", "RGBa") or ("transparency" in image.info and image.mode != "LA"):
        mode = "RGBA"
    elif image.mode in ("L", "LA", "RGBA"):
        mode = image.mode
    else:
        mode = "L" if image.mode == "1" else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _opaque(image: Image.Image, color: str) -> Image.Image:
    """Mode L or RGB, transparency on white. Pillow weighs pixels by their opacity when it resizes, so this can wait until the image is small."""
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        image = paper
    return image.convert("L" if color == "gray" else "RGB")


def _eight_bits(image: Image.Image) -> np.ndarray:
    """16-bit integers, or floats of 0..1 or 0..255, as uint8."""
    pixels = np.asarray(image)
    if image.mode == "F":
        pixels = np.nan_to_num(pixels)
        pixels = pixels * np.float32(255) if pixels.max() <= 1 else pixels
    else:
        pixels = pixels.astype(np.float32) / np.float32(257)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _source(size: tuple[int, int], preprocess: Preprocess) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the part of the image that is used, in its pixels.

    With resize_to it is what the published recipe cuts out: the scaled image has whole pixels, and the cut begins at one.
    """
    w, h = size
    if preprocess.resize != "crop":
        return 0, 0, w, h
    height, width = preprocess.size
    if preprocess.resize_to:
        scale = preprocess.resize_to / min(w, h)
        scaled_w, scaled_h = round(w * scale), round(h * scale)
        left, top = (scaled_w - width) // 2, (scaled_h - height) // 2
        across, down = w / scaled_w, h / scaled_h
        return left * across, top * down, min(w, (left + width) * across), min(h, (top + height) * down)
    scale = max(width / w, height / h)
    used_w, used_h = min(w, width / scale), min(h, height / scale)
    left, top = (w - used_w) / 2, (h - used_h) / 2
    return left, top, left + used_w, top + used_h


def _resized(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    height, width = preprocess.size
    method = FILTERS[preprocess.interpolation]
    if preprocess.resize != "pad":  # cutting and scaling in one pass also keeps a very long image from growing
        return image.resize((width, height), method, _source(image.size, preprocess), GAP)
    scale = min(width / image.width, height / image.height)
    w, h = min(width, max(1, round(image.width * scale))), min(height, max(1, round(image.height * scale)))
    paper = Image.new(image.mode, (width, height), "white")
    paper.paste(image.resize((w, h), method, reducing_gap=GAP), ((width - w) // 2, (height - h) // 2))
    return paper
