"""The split: by content and seed, stratified, twins together."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.data.split import HEAD, _choose, contents, split
from numbacnn.errors import ConfigError, DataError


def write(folder, *contents_and_labels):
    """Files with these bytes -> (paths, labels)."""
    folder.mkdir(exist_ok=True)
    paths = []
    for i, (data, _) in enumerate(contents_and_labels):
        paths.append(folder / f"{i}.png")
        paths[-1].write_bytes(data)
    return paths, [label for _, label in contents_and_labels]


def chosen(paths, labels, fraction=0.2, seed=0):
    """(contents, label) on the validation side."""
    _, valid = split(paths, labels, fraction, seed)
    return sorted((paths[i].read_bytes(), labels[i]) for i in valid)


def test_stratified(tmp_path):
    paths, labels = write(tmp_path, *((f"image {i}".encode(), i % 7 // 3) for i in range(140)))  # 60, 60, 20
    train, valid = split(paths, labels, 0.2, 0)
    assert sorted(train + valid) == list(range(140))
    assert Counter(labels[i] for i in valid) == {0: 12, 1: 12, 2: 4}


def test_names_and_order_make_no_difference_and_seeds_do(tmp_path):
    items = [(f"image {i}".encode(), i % 2) for i in range(60)]
    first = chosen(*write(tmp_path / "a", *items))
    shuffled = [items[i] for i in np.random.default_rng(0).permutation(60)]
    assert chosen(*write(tmp_path / "b", *shuffled)) == first
    assert chosen(*write(tmp_path / "a", *items)) == first
    assert chosen(*write(tmp_path / "a", *items), seed=1) != first


def test_twins_stay_together_within_and_across_classes(tmp_path):
    items = [(f"image {i // 3}".encode(), i % 3 == 0) for i in range(90)]
    paths, labels = write(tmp_path, *items)
    for seed in range(5):
        train, valid = split(paths, labels, 0.3, seed)
        assert not {paths[i].read_bytes() for i in train} & {paths[i].read_bytes() for i in valid}
        assert 0.2 < len(valid) / 90 < 0.4


def test_large_files_are_compared_whole_where_they_begin_alike(tmp_path):
    head = bytes(HEAD)
    paths, _ = write(tmp_path, (head + b"a", 0), (head + b"b", 0), (head + b"a", 0), (b"small", 0), (head, 0))
    texts = contents(paths)
    assert texts[0] == texts[2]
    assert len(set(texts)) == 4


def test_fractions(tmp_path):
    paths, labels = write(tmp_path, (b"1", 0), (b"2", 0), (b"3", 1), (b"4", 1))
    assert split(paths, labels, 0, 0) == ([0, 1, 2, 3], [])
    for fraction in (0.01, 0.99):
        train, valid = split(paths, labels, fraction, 0)
        assert {labels[i] for i in train} == {labels[i] for i in valid} == {0, 1}
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="valid="):
            split(paths, labels, fraction, 0)


def test_nothing_to_split(tmp_path):
    paths, labels = write(tmp_path, (b"1", 0), (b"1", 0), (b"2", 1))
    with pytest.raises(DataError, match="no class has two different images"):
        split(paths, labels, 0.5, 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_every_class_has_both_sides(groups, fraction):
    valid = _choose([Counter({c: n}) for c, n in groups], fraction)
    for c in {c for c, _ in groups}:
        sides = {side for (k, _), side in zip(groups, valid, strict=True) if k == c}
        assert sides == ({True, False} if sum(k == c for k, _ in groups) > 1 else {False})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 4), st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_training_always_has_every_class(groups, fraction):
    groups = [Counter(g) for g in groups]
    valid = _choose(groups, fraction)
    assert {c for g in groups for c in g} == {c for g, side in zip(groups, valid, strict=True) if not side for c in g}
