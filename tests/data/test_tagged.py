"""Pictures with several labels: which files, which split, which targets."""

import math
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from numbacnn.data.batches import evaluation_folder, image_folder
from numbacnn.data.preprocess import Preprocess
from numbacnn.data.split import split
from numbacnn.data.tagged import tagged_evaluation, tagged_splits
from numbacnn.errors import DataError


def fill(folder, text, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / "labels.csv").write_text(text)
    return folder


def names(images):
    return [(path.name, {images.classes[n] for n in own}) for path, own in zip(images.paths, images.labels, strict=True)]


def test_files_and_labels(tmp_path):
    text = "file,labels\nb.png,dog;cat\nsub/a.jpg,\n./c,cat\nsub/../d.png,ape\n"
    train, valid = tagged_splits(fill(tmp_path / "p", text, "b.png", "sub/a.jpg", "c", "d.png", "not_in_the_table.png"), "labels.csv")
    assert valid is None
    assert train.classes == ("ape", "cat", "dog")
    assert names(train) == [("b.png", {"cat", "dog"}), ("a.jpg", set()), ("c", {"cat"}), ("d.png", {"ape"})]
    assert train.targets().tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert train.targets().dtype == np.float32
    assert (train.numbers(), [p.name for p in train.having(1)]) == ({0, 1, 2}, ["b.png", "c"])
    some = train.select([1, 3])
    assert names(some) == [("a.jpg", set()), ("d.png", {"ape"})]
    assert (some.numbers(), some.targets().shape) == ({0}, (2, 3))


def test_a_column_decides_what_is_for_validation(tmp_path):
    text = "file,labels,is_valid\na,x;y,False\nb,x,True\nc,,True\n"
    folder = fill(tmp_path / "p", text, "a", "b", "c")
    train, valid = tagged_splits(folder, folder / "labels.csv")
    assert (names(train), names(valid)) == ([("a", {"x", "y"})], [("b", {"x"}), ("c", set())])
    assert valid.classes == ("x", "y")
    found = tagged_evaluation(folder, "labels.csv", ("y", "x", "z"))
    assert names(found) == names(valid)
    assert found.targets().tolist() == [[0, 1, 0], [0, 0, 0]]
    fill(folder, "file,labels,is_valid\na,x,0\nb,x,0\n")
    assert tagged_splits(folder, "labels.csv")[1] is None
    assert len(tagged_evaluation(folder, "labels.csv", ("x",)).paths) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,labels\na,x\nsub/b,x\nc,x\nd,x\n", r"line 4: there is no file 'c' in .*p, nor 1 more \(lines 5\): correct the names"),
        ("file,labels\na,x\nsub/b.x,x\n", r"line 3: there is no file 'sub/b\.x' in"),
        ("file,labels\na,x\nsub/c,x\n", r"line 3: there is no file 'sub/c' in .*p; there is 'c\.png'"),
        ("file,labels\na,x\nsub,x\n", r"line 3: there is no file 'sub'"),
        (f"file,labels\na,x\n{'n' * 3000},x\n", r"line 3: there is no file 'nnn"),
        ("file,labels\na,x\n../outside,x\n", r"line 3: '\.\./outside' lies outside .*p: files are named relative"),
        ("file,labels\na,x\n/etc/passwd,x\n", r"line 3: '/etc/passwd' lies outside"),
        ("file,labels\na,x\nsub/../a,x\n", r"line 3: 'sub/\.\./a' is the file on line 2 \('a'\): keep one line"),
        ("file,labels\na,\nsub/b,;\n", r"labels\.csv: none of 2 lines has a label"),
        ("file,labels,is_valid\na,x,1\nsub/b,x,1\n", r"labels\.csv: all lines are for validation, none for training"),
        ("file,labels,is_valid\na,x,0\nsub/b,x;y,1\n", r"line 3: label 'y' of 'sub/b' is on validation images only: add training images"),
    ],
)
def test_tables_that_do_not_go_with_the_folder(tmp_path, text, message):
    fill(tmp_path, "", "outside")
    folder = fill(tmp_path / "p", text, "a", "sub/b", "sub/c.png")
    with pytest.raises(DataError, match=message) as error:
        tagged_splits(folder, "labels.csv")
    assert "labels.csv" in str(error.value)


def test_folders_and_labels_that_are_not_there(tmp_path):
    folder = fill(tmp_path / "p", "file,labels\na,x\nb,kat\n", "a", "b")
    for place, message in ((tmp_path / "q", "there is no folder"), (folder / "a", "is a file: give the folder")):
        with pytest.raises(DataError, match=message):
            tagged_splits(place, folder / "labels.csv")
    with pytest.raises(DataError, match=r"line 3: unknown label 'kat'; did you mean 'cat'.*: correct it, or take it out"):
        tagged_evaluation(folder, "labels.csv", ("cat", "x"))


# ---- the split


def write(folder, *items):
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(len(items))]
    for path, (data, _) in zip(paths, items, strict=True):
        path.write_bytes(data)
    return paths, [labels for _, labels in items]


def test_every_label_has_its_share_also_rare_ones_beside_common_ones(tmp_path):
    random = np.random.default_rng(0)
    common = [tuple(np.flatnonzero(random.random(6) < 0.5).tolist()) for _ in range(300)]
    labels = [(*own, 6) if i % 30 == 0 else own for i, own in enumerate(common)]  # label 6 is on 10 images
    labels[0], labels[1] = (0, 1, 2, 3, 4, 5, 6, 7), (7,)
    paths, labels = write(tmp_path, *((f"{i}".encode(), own) for i, own in enumerate(labels)))
    total = Counter(c for own in labels for c in own or (-1,))
    for seed in range(3):
        train, valid = split(paths, labels, 0.2, seed)
        assert sorted(train + valid) == list(range(300))
        assert 57 <= len(valid) <= 63
        held = Counter(c for i in valid for c in labels[i] or (-1,))
        assert held[7] == 1 and held[6] == 2
        assert all(abs(held[c] - 0.2 * n) <= max(1, 0.03 * n) for c, n in total.items()), (held, total)
        assert split(paths, labels, 0.2, seed) == (train, valid)
    assert split(paths, labels, 0.2, 1) != split(paths, labels, 0.2, 2)


def test_twins_stay_together_whatever_their_labels(tmp_path):
    items = [(f"image {i // 3}".encode(), tuple(range(i % 3))) for i in range(90)]
    paths, labels = write(tmp_path, *items)
    train, valid = split(paths, labels, 0.3, 0)
    assert not {paths[i].read_bytes() for i in train} & {paths[i].read_bytes() for i in valid}
    assert math.isclose(len(valid), 27, abs_tol=6)


def test_the_only_image_of_a_label_is_for_training(tmp_path):
    paths, labels = write(tmp_path, (b"1", (0, 1)), (b"2", (0,)), (b"3", (0,)), (b"4", ()))
    for seed in range(6):
        assert 0 in split(paths, labels, 0.5, seed)[0]


# ---- batches


@pytest.fixture
def pictures(tmp_path):
    """20 pictures: `red` and `blue` say which channels are bright; 5 of each of the four combinations, one file damaged."""
    folder, lines = tmp_path / "pictures", ["file,labels"]
    folder.mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 60, (8, 8, 3), dtype=np.uint8)
        own = [label for bit, (channel, label) in enumerate(((0, "red"), (2, "blue"))) if i >> bit & 1]
        pixels[..., [{"red": 0, "blue": 2}[label] for label in own]] += 150
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
        lines.append(f"{i:02}.png,{';'.join(own)}")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "labels.csv").write_text("\n".join([*lines, "broken.png,red"]))
    return folder


def test_batches(pictures):
    train, valid = image_folder(pictures, size=8, batch_size=6, labels="labels.csv", augment="none")
    assert (train.task, train.classes, train.images + valid.images) == ("multi_label", ("blue", "red"), 20)
    assert [(p.name, "not an image" in reason) for p, reason in train.skipped] == [("broken.png", True)]
    assert {tuple(row) for row in train.labels.tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert valid.labels.any(0).all() and not valid.labels.any(1).all()
    for dataset in (train, valid):
        seen = 0
        for x, y in dataset.epoch(0):
            assert (y.dtype, y.shape) == (np.float32, (len(x), 2))
            np.testing.assert_array_equal(x.mean((1, 2))[:, [2, 0]] > -0.5, y > 0)
            seen += len(y)
        assert seen == dataset.images == len(dataset.labels) == len(dataset.paths)
    whole = evaluation_folder(pictures, ("red", "blue"), Preprocess(8), labels="labels.csv")
    assert (whole.images, whole.labels[1].tolist(), whole.labels[3].tolist()) == (20, [1, 0], [1, 1])


def test_a_label_whose_images_cannot_be_read(pictures):
    with open(pictures / "labels.csv", "a") as file:
        file.write("\ngone.png,green\n")
    (pictures / "gone.png").write_bytes(b"no picture either")
    with pytest.raises(DataError, match=r"class 'green' has no image that can be read, for example .*gone\.png: not an image"):
        image_folder(pictures, size=8, labels="labels.csv")
