"""Datasets: what an epoch contains, memory, unreadable files, threads."""

import os
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from numbacnn.augmentations.light import Light
from numbacnn.data.batches import Dataset, evaluation_folder, image_folder
from numbacnn.data.decode import decode
from numbacnn.data.folder import Images
from numbacnn.data.preprocess import Preprocess
from numbacnn.data.workers import workers
from numbacnn.errors import ConfigError, DataError, UnknownNameError


@pytest.fixture
def folder(tmp_path):
    """Three classes of 10, 10 and 15 different images; class k is bright in channel k."""
    for k, count in enumerate((10, 10, 15)):
        (tmp_path / "pets" / "abc"[k]).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(100 * k + i).integers(0, 60, (9, 12, 3), dtype=np.uint8)
            pixels[..., k] += 150
            Image.fromarray(pixels).save(tmp_path / "pets" / "abc"[k] / f"{i}.png")
    return tmp_path / "pets"


def cut(path):
    """Damage a file below its header."""
    path.write_bytes(path.read_bytes()[:-150])


def everything(batches):
    xs, ys = zip(*batches, strict=True)
    return np.concatenate(xs), np.concatenate(ys)


def data_threads():
    return [t for t in threading.enumerate() if t.name.startswith("numbacnn-data")]


def test_two_datasets(folder):
    train, valid = image_folder(folder, size=8, batch_size=4)
    assert train.classes == valid.classes == ("a", "b", "c")
    assert (train.images, valid.images, len(train), len(valid)) == (28, 7, 7, 2)
    assert not set(train.paths) & set(valid.paths)
    x, y = next(train.epoch(0))
    assert x.shape == (4, 8, 8, 3) and x.dtype == np.float32 and y.dtype == np.int64
    assert x.min() >= -1 and x.max() <= 1
    sizes = [len(y) for _, y in valid.epoch(0)]
    assert sizes == [4, 3]
    for dataset in (train, valid):
        x, y = everything(dataset.epoch(0))
        np.testing.assert_array_equal(np.sort(y), np.sort(dataset.labels))
        np.testing.assert_array_equal(x.mean((1, 2)).argmax(1), y)


def test_validation_is_neither_shuffled_nor_augmented(folder):
    train, valid = image_folder(folder, size=8, augment="full")
    for number in (0, 5):
        x, y = everything(valid.epoch(number))
        np.testing.assert_array_equal(x, valid.preprocess.apply(np.stack([decode(p, valid.preprocess) for p in valid.paths])))
        np.testing.assert_array_equal(y, valid.labels)
    assert not train.augment.plain and valid.augment.plain


def test_an_epoch_follows_from_seed_and_number(folder):
    first, _ = image_folder(folder, size=8, batch_size=5)
    again, _ = image_folder(folder, size=8, batch_size=5)
    epochs = [everything(first.epoch(n)) for n in range(3)]
    np.testing.assert_array_equal(everything(again.epoch(2))[0], epochs[2][0])  # resumed: the earlier ones were never read
    np.testing.assert_array_equal(everything(first.epoch(0))[0], epochs[0][0])
    assert (epochs[0][0] != epochs[1][0]).any() and (epochs[0][1] != epochs[1][1]).any()
    other = Dataset(Images(first.classes, first.paths, first.labels.tolist()), first.preprocess, 5, "light", True, seed=1)
    assert (everything(other.epoch(0))[1] != epochs[0][1]).any()
    larger = Dataset(Images(first.classes, first.paths, first.labels.tolist()), first.preprocess, 28, "light", True)
    np.testing.assert_array_equal(everything(larger.epoch(0))[0], epochs[0][0])  # batches have no say in augmentation
    iterated = [everything(again) for _ in range(2)]
    for (x, y), (expected_x, expected_y) in zip(iterated, epochs, strict=False):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)


def test_memory_makes_no_difference_but_in_reading(folder, monkeypatch):
    read = []
    monkeypatch.setattr("numbacnn.data.batches.decode", lambda path, p: read.append(path) or decode(path, p))
    kept, _ = image_folder(folder, size=8, valid=0, batch_size=4)
    first = [everything(kept.epoch(n))[0] for n in range(2)]
    assert len(read) == 35
    fresh, _ = image_folder(folder, size=8, valid=0, batch_size=4, memory=100)
    for n in range(2):
        np.testing.assert_array_equal(everything(fresh.epoch(n))[0], first[n])
    assert len(read) == 35 * 3
    train, valid = image_folder(folder, size=8, memory=28 * 8 * 8 * 3)
    assert train._pixels is not None and valid._pixels is None
    train, valid = image_folder(folder, size=8, memory=28 * 8 * 8 * 3 - 1)
    assert train._pixels is None and valid._pixels is not None


def test_without_validation_and_with_folders_of_its_own(folder, tmp_path):
    train, valid = image_folder(folder, valid=0)
    assert valid is None and train.images == 35
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "train").symlink_to(folder)
    (tmp_path / "both" / "val").symlink_to(folder)
    train, valid = image_folder(tmp_path / "both", size=8, valid=0)
    assert (train.images, valid.images) == (35, 35)


@pytest.mark.parametrize("memory", [1 << 20, 0])
def test_unreadable_images_are_left_out_and_listed(folder, memory):
    (folder / "a" / "3.png").write_bytes(b"no image")
    cut(folder / "b" / "4.png")
    cut(folder / "c" / "0.png")
    train, _ = image_folder(folder, size=8, valid=0, batch_size=4, memory=memory)
    assert [p.name for p, _ in train.skipped] == ["3.png"] and train.images == 34
    first, labels = everything(train.epoch(0))
    assert sorted((p.parent.name, p.name) for p, _ in train.skipped) == [("a", "3.png"), ("b", "4.png"), ("c", "0.png")]
    assert all(reason for _, reason in train.skipped)
    assert train.images == len(first) == len(train.paths) == 32 and len(train) == 8
    np.testing.assert_array_equal(np.sort(labels), train.labels)
    np.testing.assert_array_equal(everything(train.epoch(0))[0], first)  # now that they are known
    assert len(train.skipped) == 3
    assert [len(y) for _, y in train.epoch(1)] == [4] * 8


@pytest.mark.parametrize("memory", [1 << 20, 0])
def test_batches_by_the_numbers_of_their_samples(folder, memory):
    cut(folder / "b" / "4.png")
    train, _ = image_folder(folder, size=8, valid=0, batch_size=4, memory=memory, augment="none")
    assert train.fixed and train.samples == 35
    first = list(train.indexed(2))
    assert [rows.tolist() for rows, _ in first] == [rows.tolist() for rows in train.rows(2)], "now that the damaged one is known"
    for rows, (x, y) in first:
        again, answers = train.take(rows), train.answers(rows)
        assert np.array_equal(again[0], x) and np.array_equal(again[1], y) and np.array_equal(answers[0], y)
    assert sorted(i for rows in train.rows(5) for i in rows) == sorted(i for rows, _ in first for i in rows)
    assert not image_folder(folder, size=8)[0].fixed, "augmented"


def test_files_not_named_like_images_are_listed(folder):
    (folder / "a" / "notes.txt").write_text("a note")
    (folder / "c" / "LICENSE").write_text("free")
    expected = [("notes.txt", "not named like an image (.txt)"), ("LICENSE", "not named like an image (no extension)")]
    train, _ = image_folder(folder, size=8)
    assert [(p.name, reason) for p, reason in train.skipped] == expected
    assert [(p.name, reason) for p, reason in evaluation_folder(folder, train.classes, Preprocess(8)).skipped] == expected


def test_nothing_readable(folder):
    (folder / "b" / "notes.txt").write_text("a note")
    for path in folder.glob("b/*"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"class 'b' has no image that can be read, for example .*b.0.png: not an image"):
        image_folder(folder)
    for path in folder.glob("*/*"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of 35 files can be read as an image"):
        image_folder(folder)


def test_nothing_decodable(folder):
    for path in folder.glob("*/*"):
        cut(path)
    train, _ = image_folder(folder, size=8, batch_size=4)
    with pytest.raises(DataError, match=r"none of 28 images can be read; the last one: .*png: damaged"):
        list(train.epoch(0))
    with pytest.raises(DataError, match="none of 28"):
        list(train.epoch(1))


def test_preprocess_and_color(folder):
    gray, _ = image_folder(folder, size=(6, 7), color="gray", batch_size=3, augment="full")
    assert next(gray.epoch(0))[0].shape == (3, 6, 7, 1)
    given = Preprocess(5, resize="crop", scale=1.0, mean=0.0, order="bgr")
    train, valid = image_folder(folder, size=64, preprocess=given, augment="none")
    assert train.preprocess is valid.preprocess is given
    x, y = everything(train.epoch(0))
    np.testing.assert_array_equal(2 - x.mean((1, 2)).argmax(1), y)
    augmented, _ = image_folder(folder, preprocess=given, augment=Light(zoom=(1, 1), shift=0.0, brightness=0.0))
    np.testing.assert_allclose(everything(augmented.epoch(0))[0], x, atol=1e-4)


def test_bad_options(folder):
    with pytest.raises(UnknownNameError, match="did you mean 'light'"):
        image_folder(folder, augment="ligt")
    for options in ({"augment": 3}, {"batch_size": 0}, {"batch_size": 2.5}, {"valid": 1.0}, {"valid": -1}, {"size": 0}, {"color": "pink"}):
        with pytest.raises(ConfigError, match=f"{next(iter(options))}="):
            image_folder(folder, **options)


def test_evaluation(folder):
    (folder / "c" / "bad.png").write_bytes(b"no image")
    dataset = evaluation_folder(folder, ("z", "c", "b", "a"), Preprocess(8))
    assert dataset.images == 35 and len(dataset.skipped) == 1
    x, y = everything(dataset.epoch(0))
    np.testing.assert_array_equal(3 - x.mean((1, 2)).argmax(1), y)
    with pytest.raises(DataError, match="unknown class 'c'"):
        evaluation_folder(folder, ("a", "b"), Preprocess(8))


def test_decoding_stays_ahead_and_no_thread_is_left(folder, monkeypatch):
    read = []
    monkeypatch.setattr("numbacnn.data.batches.decode", lambda path, p: read.append(path) or decode(path, p))
    train, _ = image_folder(folder, size=8, valid=0, batch_size=5)
    epoch = train.epoch(0)
    next(epoch)
    for _ in range(500):
        if len(read) >= 10:
            break
        threading.Event().wait(0.01)
    assert 10 <= len(read) < 35  # a batch ahead at least, and not everything
    epoch.close()
    assert not data_threads()
    everything(train.epoch(0))
    assert len(read) == 35 and not data_threads()  # what was kept is not read again


def test_workers_run_at_low_priority():

    with workers() as pool:
        niceness = pool.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert niceness == (19 if sys.platform == "linux" else os.getpriority(os.PRIO_PROCESS, 0))
    assert os.getpriority(os.PRIO_PROCESS, 0) < 19
