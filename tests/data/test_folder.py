"""Which files a folder offers, and what it says where it cannot be used."""

import pytest

from numbacnn.data.folder import find_evaluation, find_images, find_splits
from numbacnn.errors import DataError


def fill(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def names(images):
    return [(images.classes[label], path.name) for path, label in zip(images.paths, images.labels, strict=True)]


def test_a_folder_a_class(tmp_path):
    fill(tmp_path, "dog/b.PNG", "dog/deep/er/a.jpeg", "cat/z.WebP", "cat/notes.txt", "cat/.x.png", "cat/Thumbs.db", ".git/x.png", "__MACOSX/y.png", "readme")
    train, valid = find_splits(tmp_path)
    assert valid is None
    assert train.classes == ("cat", "dog")
    assert names(train) == [("cat", "z.WebP"), ("dog", "b.PNG"), ("dog", "a.jpeg")]
    assert [p.name for p in train.others] == ["notes.txt"]


@pytest.mark.parametrize("name", ["valid", "val", "validation", "Val"])
def test_train_and_valid_folders(tmp_path, name):
    fill(tmp_path, "train/a/1.png", "train/b/2.png", f"{name}/b/3.png", "test/c/4.png")
    train, valid = find_splits(tmp_path)
    assert names(train) == [("a", "1.png"), ("b", "2.png")]
    assert valid.classes == ("a", "b")
    assert names(valid) == [("b", "3.png")]


def test_train_and_test_only(tmp_path):
    train, valid = find_splits(fill(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png"))
    assert names(train) == [("a", "1.png"), ("b", "2.png")]
    assert valid is None


def test_train_may_be_a_class(tmp_path):
    train, _ = find_splits(fill(tmp_path, "train/1.png", "ship/2.png", "plane/3.png"))
    assert train.classes == ("plane", "ship", "train")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "is empty"),
        (["a.png"], "no folder a class"),
        (["a/1.png"], "one class only, 'a'"),
        (["a/1.png", "b/notes.txt"], "class 'b' has no images"),
        (["train/a/1.png", "train/b/1.png", "valid/bb/1.png", "valid/a/1.png"], "valid has classes that .*train lacks: bb .*did you mean 'b'"),
        (["train/1.png", "valid/2.png"], "train holds images, but no folder a class"),
        (["valid/a/1.png", "test/a/1.png"], "but no train/"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"], "both val/ and valid/"),
        (["train/a/1.png", "train/b/1.png", "valid/a/notes.txt"], "has no images in folders named like the classes"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, files, message):
    with pytest.raises(DataError, match=message) as error:
        find_splits(fill(tmp_path, *files))
    assert "/" in str(error.value)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        find_splits(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a file"):
        find_splits(fill(tmp_path, "a.png") / "a.png")


def test_links_are_followed_without_loops(tmp_path):
    fill(tmp_path, "root/a/1.png", "root/b/2.png", "elsewhere/3.png")
    root = tmp_path / "root"
    (root / "a/more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "a/again").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "a/self").symlink_to(root / "a", target_is_directory=True)
    (root / "a/up").symlink_to(root, target_is_directory=True)
    (root / "c").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [p.name for p in find_images(root / "a")] == ["1.png", "3.png"]
    assert find_splits(root)[0].classes == ("a", "b", "c")


def test_evaluation_prefers_test_then_valid_then_the_folder_itself(tmp_path):
    fill(tmp_path, "train/a/1.png", "train/b/2.png", "valid/b/3.png")
    assert names(find_evaluation(tmp_path, ("a", "b"))) == [("b", "3.png")]
    fill(tmp_path, "test/a/4.png")
    assert names(find_evaluation(tmp_path, ("a", "b"))) == [("a", "4.png")]
    assert names(find_evaluation(tmp_path / "train", ("b", "a"))) == [("a", "1.png"), ("b", "2.png")]


def test_evaluation_names_unknown_classes(tmp_path):
    fill(tmp_path, "horses/1.png", "cow/2.png")
    with pytest.raises(DataError, match=r"horses.*did you mean 'horse'"):
        find_evaluation(tmp_path, ("horse", "cow"))
    with pytest.raises(DataError, match="has no images"):
        find_evaluation(fill(tmp_path / "other", "cow/x.txt"), ("horse", "cow"))
