"""Names of the 1,000 classes of ImageNet (ILSVRC 2012), in the order of the outputs of networks that were trained on them."""

import functools
from collections import Counter
from importlib import resources

COUNT = 1000


@functools.cache
def imagenet_classes() -> tuple[str, ...]:
    """imagenet_labels.txt: synonyms separated by commas. A name that two classes have (crane, the bird and the machine) gets its WordNet number."""
    lines = resources.files(__package__).joinpath("imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    count = Counter(name for _, name in pairs)
    return tuple(name if count[name] == 1 else f"{name} ({number})" for number, name in pairs)
