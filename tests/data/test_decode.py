"""Files of every kind -> pixels, and errors that name file and reason."""

import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from numbacnn.data.decode import check, decode
from numbacnn.data.preprocess import Preprocess
from numbacnn.errors import DataError

RED, WHITE = (200, 30, 10), (255, 255, 255)


def gradient(height=32, width=48):
    """A color image whose four corners differ."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 // height, x * 255 // width, 255 - y * 255 // height], axis=-1).astype(np.uint8)


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def half_transparent(mode):
    """Left half opaque, right half transparent black."""
    image = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, 10, 10))
    return image.convert(mode)


def test_plain_files_come_as_they_are(tmp_path):
    pixels = gradient()
    for name in ("a.png", "b.bmp", "c.tiff", "d.ppm"):
        np.testing.assert_array_equal(decode(saved(tmp_path, Image.fromarray(pixels), name), Preprocess((32, 48))), pixels)
    for name in ("a.jpg", "a.webp"):
        found = decode(saved(tmp_path, Image.fromarray(pixels), name, quality=95), Preprocess((32, 48)))
        assert np.abs(found.astype(int) - pixels).max() < 25


def test_transparency_goes_on_white(tmp_path):
    palette = Image.new("P", (20, 10), 0)
    palette.putpalette([*RED, 0, 0, 0])
    palette.paste(1, (10, 0, 20, 10))
    key = Image.new("RGB", (20, 10), RED)
    key.paste((1, 2, 3), (10, 0, 20, 10))
    files = {
        "rgba": saved(tmp_path, half_transparent("RGBA"), "rgba.png"),
        "palette index": saved(tmp_path, palette, "index.png", transparency=1),
        "palette bytes": saved(tmp_path, palette, "bytes.png", transparency=b"\xff\x00"),
        "gif": saved(tmp_path, palette, "a.gif", transparency=1),
        "color key": saved(tmp_path, key, "key.png", transparency=(1, 2, 3)),
        "webp": saved(tmp_path, half_transparent("RGBA"), "a.webp", lossless=True),
    }
    for kind, path in files.items():
        found = decode(path, Preprocess((10, 20)))
        assert (found[:, :10] == RED).all() and (found[:, 10:] == WHITE).all(), kind
    gray = decode(saved(tmp_path, half_transparent("LA"), "la.png"), Preprocess((10, 20)))
    assert (gray[:, :10] == 79).all() and (gray[:, 10:] == 255).all()  # 0.299 R + 0.587 G + 0.114 B
    small = decode(files["rgba"], Preprocess((5, 5)))  # black under full transparency leaves no dark seam
    assert small[0, 4].tolist() == [255, 255, 255] and (small[:, 2] >= RED).all()


def test_half_transparent_color_is_mixed_with_white(tmp_path):
    path = saved(tmp_path, Image.new("RGBA", (8, 8), (100, 0, 200, 128)))
    np.testing.assert_allclose(decode(path, Preprocess(4))[0, 0], [177, 127, 227], atol=2)


def test_gray_kinds(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    wide = ramp.astype(np.uint16) * 257
    images = {
        "l.png": Image.fromarray(ramp),
        "16.png": Image.fromarray(wide),
        "16.tif": Image.fromarray(wide),
        "32.tif": Image.fromarray(wide.astype(np.int32)),
        "float.tif": Image.fromarray(ramp.astype(np.float32) / 255),
        "float255.tif": Image.fromarray(ramp.astype(np.float32)),
    }
    for name, image in images.items():
        path = saved(tmp_path, image, name)
        np.testing.assert_array_equal(decode(path, Preprocess(16, "gray"))[..., 0], ramp, name)
        np.testing.assert_array_equal(decode(path, Preprocess(16)), np.repeat(ramp[..., None], 3, 2), name)
    one_bit = saved(tmp_path, Image.fromarray(ramp > 127), "1.png")
    np.testing.assert_array_equal(decode(one_bit, Preprocess(16, "gray"))[..., 0], (ramp > 127) * 255)


def test_color_to_gray_and_cmyk(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (4, 4), RED))
    assert (decode(path, Preprocess(4, "gray")) == 79).all()
    cmyk = saved(tmp_path, Image.new("RGB", (16, 16), RED).convert("CMYK"), "a.jpg", quality=95)
    np.testing.assert_allclose(decode(cmyk, Preprocess(16))[8, 8], RED, atol=4)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation, name):
    upright = gradient()
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1]}
    stored |= {5: upright.transpose(1, 0, 2), 6: np.rot90(upright), 7: upright[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(upright, -1)}
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored[orientation])), name, exif=exif)
    found = decode(path, Preprocess((32, 48)))
    assert np.abs(found.astype(int) - upright).mean() < 6


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (6, 6), color) for color in (RED, (0, 0, 255), (0, 255, 0))]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        options = {"lossless": True} if name == "a.webp" else {}
        path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
        assert (decode(path, Preprocess(6)) == RED).all(), name


def test_resize_rules(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = RED
    path = saved(tmp_path, Image.fromarray(wide))
    assert (decode(path, Preprocess(20, resize="crop")) == RED).all()
    padded = decode(path, Preprocess(30, resize="pad"))
    assert (padded[:10] == 255).all() and (padded[20:] == 255).all()
    assert (padded[12:18, 12:18] == RED).all() and (padded[12:18, :8] == 0).all()
    stretched = decode(path, Preprocess(30))
    assert (stretched[:, 12:18] == RED).all() and (stretched[:, :8] == 0).all()
    transparent = saved(tmp_path, half_transparent("RGBA"), "t.png")
    assert (decode(transparent, Preprocess(20, resize="pad"))[:4] == 255).all()


@pytest.mark.parametrize(("height", "width", "size", "to"), [(100, 150, 28, 32), (101, 150, 28, 32), (97, 61, (24, 27), 31), (45, 45, 32, 33)])
def test_crop_takes_the_middle_of_the_scaled_image(height, width, size, to, tmp_path):
    """As the recipes of published weights have it: scaled to whole pixels, then cut at whole pixels."""
    pixels = gradient(height, width)
    path = saved(tmp_path, Image.fromarray(pixels))
    for interpolation, method in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        wanted = Preprocess(size, resize="crop", resize_to=to, interpolation=interpolation)
        scale = to / min(height, width)
        scaled = Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), method)
        left, top = (scaled.width - wanted.size[1]) // 2, (scaled.height - wanted.size[0]) // 2
        expected = np.asarray(scaled)[top : top + wanted.size[0], left : left + wanted.size[1]]
        assert np.abs(decode(path, wanted).astype(int) - expected).max() <= 1


def test_a_very_long_image_does_not_grow(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (20000, 1), RED))
    assert (decode(path, Preprocess(64, resize="crop", resize_to=80)) == RED).all()
    for resize in ("stretch", "crop"):
        assert (decode(path, Preprocess(64, resize=resize)) == RED).all()
    assert decode(path, Preprocess(64, resize="pad")).shape == (64, 64, 3)


def test_large_jpegs_are_reduced_while_they_are_read(tmp_path):
    pixels = np.asarray(Image.fromarray(gradient()).resize((1500, 1000)))
    found = decode(saved(tmp_path, Image.fromarray(pixels), "a.jpg", quality=95), Preprocess(20))
    expected = np.asarray(Image.fromarray(pixels).resize((20, 20), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - expected).max() <= 4


def test_bad_files_are_named_with_the_reason(tmp_path, monkeypatch):
    whole = saved(tmp_path, Image.fromarray(gradient(200, 200)), "whole.png").read_bytes()
    jpeg = saved(tmp_path, Image.fromarray(gradient(200, 200)), "whole.jpg").read_bytes()
    cases = {
        "cut.png": (whole[: len(whole) // 2], "damaged"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "damaged"),
        "text.png": (b"no image at all", "not an image"),
        "empty.png": (b"", "not an image"),
        "header.png": (whole[:20], "not an image|damaged"),
        "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
        "gone.png": (None, "no such file"),
    }
    for name, (data, reason) in cases.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(DataError, match=reason) as error:
            decode(path, Preprocess(8))
        assert str(path) in str(error.value) and str(path) not in error.value.reason
    assert check(tmp_path / "cut.png") is None  # its header is whole
    assert "not an image" in check(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"directory|denied"):
        decode(tmp_path, Preprocess(8))
    for limit in (30_000, 10_000):  # above Pillow's limit, above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match=f"more than {limit} pixels"):
            decode(tmp_path / "whole.png", Preprocess(8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(tmp_path / "whole.png", Preprocess(8)).shape == (8, 8, 3)


def test_pillows_warnings_stay_inside_and_filters_as_they_were(tmp_path):
    path = saved(tmp_path, Image.fromarray(gradient()))
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode(path, Preprocess(8)) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
    corrupt = saved(tmp_path, Image.fromarray(gradient()), "b.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0garbage")
    assert decode(corrupt, Preprocess(8)).shape == (8, 8, 3)
    assert warnings.filters == before
