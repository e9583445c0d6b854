"""A stratified split by content: the same pictures and seed make the same split, whatever the files are called."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError, DataError
from .workers import workers

HEAD = 64 * 1024
NONE = -1  # counts as the label of images that may have several and have none


def split(paths: Sequence[Path], labels: Sequence[int | tuple[int, ...]], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices (train, valid), each ascending; `fraction` of every class goes to valid. labels: each file's class, or a tuple of any number of them.

    Files of equal content (twins), filed under one class or several, stay on one side. A class with at least two different images has
    one on each side, unless twins filed under several classes contradict that. Depends on contents and seed only.
    Raises ConfigError for a fraction outside 0..1, DataError where there is nothing to split.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"valid={fraction!r} must be at least 0 and below 1: the fraction of images that is kept for validation")
    if fraction == 0:
        return list(range(len(paths))), []
    twins = defaultdict(list)
    for index, content in enumerate(contents(paths)):
        twins[content].append(index)
    order = sorted(twins, key=lambda content: hashlib.blake2b(f"{seed}:{content}".encode()).digest())
    several = any(isinstance(label, tuple) for label in labels)
    own = [label or (NONE,) for label in labels] if several else [(label,) for label in labels]
    groups = [Counter(c for i in twins[content] for c in own[i]) for content in order]
    valid = _choose(groups, fraction, several)
    if not any(valid):
        raise DataError("no class has two different images, so none can be kept for validation: add images, or set valid=0")
    chosen = {i for content, taken in zip(order, valid, strict=True) if taken for i in twins[content]}
    return [i for i in range(len(paths)) if i not in chosen], sorted(chosen)


def contents(paths: Sequence[Path]) -> list[str]:
    """A text for each file that is equal for files of equal content: size and a digest of the first 64 KB, and of the whole file where those agree."""
    with workers() as pool:
        texts = list(pool.map(_head, paths))
        counts = Counter(texts)
        large = [i for i, text in enumerate(texts) if counts[text] > 1 and int(text.partition(":")[0]) > HEAD]
        for i, whole in zip(large, pool.map(lambda i: _whole(paths[i]), large), strict=True):
            texts[i] += f":{whole}"
    return texts


def _head(path: Path) -> str:
    with open(path, "rb") as file:
        head = file.read(HEAD)
        size = file.seek(0, 2)
    return f"{size}:{hashlib.blake2b(head, digest_size=16).hexdigest()}"


def _whole(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _choose(groups: list[Counter], fraction: float, several: bool = False) -> list[bool]:
    """Which groups of twins go to valid: each one in turn if that brings the classes' counts closer to their targets.

    several: images have several labels each; then the rarest one decides, groups with rare labels come first, and the others fill up
    what those leave (Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, 2011).
    """
    totals: Counter = sum(groups, Counter())
    distinct = Counter(c for group in groups for c in group)
    target = {c: min(max(round(fraction * n), 1), n - 1) if distinct[c] > 1 else 0 for c, n in totals.items()}
    count = dict.fromkeys(totals, 0)
    valid = [False] * len(groups)
    rarest = [min((totals[c], c) for c in group) for group in groups] if several else []
    for i in sorted(range(len(groups)), key=rarest.__getitem__) if several else range(len(groups)):
        group = groups[i]
        gain = sum(abs(target[c] - count[c]) - abs(target[c] - count[c] - group[c]) for c in ([rarest[i][1]] if several else group))
        valid[i] = gain > 0 and all(distinct[c] > 1 for c in group)  # a class's only image is for training
        if valid[i]:
            for c, n in group.items():
                count[c] += n
    for side in (True, False):  # train last, so that a contradiction costs validation images
        for c in sorted(totals):
            if distinct[c] > 1:
                _supply(groups, valid, c, side)
    return valid


def _supply(groups: list[Counter], valid: list[bool], c: int, side: bool) -> None:
    """See to it that class c has a group on `side`: move the smallest one that leaves no other class without one on the side that it comes from."""
    mine = [i for i, group in enumerate(groups) if c in group]
    if any(valid[i] == side for i in mine):
        return
    rest = Counter(k for group, taken in zip(groups, valid, strict=True) if taken != side for k in group)
    movable = [i for i in mine if all(rest[k] > 1 for k in groups[i])]
    if movable:
        valid[min(movable, key=lambda i: groups[i].total())] = side
    elif not side:
        valid[min(mine, key=lambda i: groups[i].total())] = side
