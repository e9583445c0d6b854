"""Which of a file's weights goes where in a model: compared by names and shapes, before anything is read."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..functional import snake
from .keras.tree import KerasLayer
from .stored import StoredLayer, StoredWeight

_SHOWN = 1000  # entries of a list in a message: a hostile file must not fill the screen for ever


@dataclass
class Matching:
    """pairs: our path -> where its values are. The lists say what went nowhere, in words; of a layer in `misfits` nothing is in pairs."""

    pairs: dict[str, StoredWeight] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every weight of the file and of the model found its counterpart."""
        return not (self.missing or self.extra or self.misfits)

    def add(self, layer: KerasLayer, stored: StoredLayer) -> None:
        """A layer of the model and one of the file belong together. What no output depends on has no owner: nobody needs its weights."""
        if layer.owner is None:
            return
        pairs, wrong = {}, []
        for (weight, shape), found in _weights(layer, stored):
            path = f"{layer.owner}/{weight}"
            if found.shape != shape:
                wrong.append(f"{path} is {shape} in the model, {found.shape} in the file ({_show(stored, found)})")
            elif found.refusal:
                wrong.append(f"{path}: {_show(stored, found)} {found.refusal}")
            pairs[path] = found
        taken = {id(found) for found in pairs.values()}
        missing = [f"{layer.owner}/{weight} {shape}" for weight, shape in layer.weights if f"{layer.owner}/{weight}" not in pairs]
        extra = [f"{_show(stored, w)} {w.shape}" for w in stored.weights if id(w) not in taken]
        self.misfits += wrong
        self.missing += missing
        self.extra += extra
        if not (wrong or missing or extra):
            for path, found in pairs.items():
                self.pairs.setdefault(path, found)  # of a shared layer some files hold several copies

    def lacks(self, layer: KerasLayer) -> None:
        """The file has no counterpart of a layer."""
        if layer.owner is not None:
            self.missing += [f"{layer.owner}/{weight} {shape}" for weight, shape in layer.weights]

    def leaves_over(self, stored: StoredLayer) -> None:
        """The model has no counterpart of a layer in the file."""
        self.extra += [f"{_show(stored, w)} {w.shape}" for w in stored.weights]

    def complaint(self) -> str:
        """Everything that does not fit, in one text."""
        lists = (("the file lacks", self.missing), ("only the file has", self.extra), ("of another kind", self.misfits))
        return "; ".join(f"{what}: {_join(items)}" for what, items in lists if items)


def _join(items: Sequence[str]) -> str:
    more = f", and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def _show(stored: StoredLayer, weight: StoredWeight) -> str:
    return weight.name if weight.name.startswith(f"{stored.key}/") else f"{stored.key}/{weight.name}"


def _plain(name: str) -> str:
    """conv1/kernel:0 -> kernel"""
    return re.sub(r":\d+$", "", name.rpartition("/")[2])


def _weights(layer: KerasLayer, stored: StoredLayer) -> Iterator[tuple[tuple[str, tuple[int, ...]], StoredWeight]]:
    """((weight, its shape), its counterpart): by name where one side has all names of the other, else in order."""
    by_name = {_plain(w.name): w for w in stored.weights}
    ours = {weight for weight, _ in layer.weights}
    if len(by_name) == len(stored.weights) and (ours <= by_name.keys() or by_name.keys() <= ours):
        return ((item, by_name[item[0]]) for item in layer.weights if item[0] in by_name)
    return zip(layer.weights, stored.weights, strict=False)


@dataclass(frozen=True)
class Leaf:
    """A layer with weights. name: with those of the models around it; aliases: what files may call it."""

    name: str
    layer: KerasLayer
    aliases: frozenset[str]

    @property
    def automatic(self) -> bool:
        """Whether the name is one that Keras (or numbacnn) made up, so that it says nothing of the layer."""
        made = "model|functional|sequential" if self.layer.children else re.escape(snake(self.layer.class_name))
        return bool(re.fullmatch(rf"({made})(_\d+)?", self.layer.name.rpartition("/")[2]))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the layer's weights; of a model's in a fixed order that says nothing."""
        inner = sorted(shape for leaf in leaves(self.layer.children) for shape in leaf.shapes)
        return inner or [shape for _, shape in self.layer.weights]

    def like(self, stored: StoredLayer) -> bool:
        """Whether a layer of the file has weights of the same shapes."""
        shapes = [w.shape for w in stored.weights]
        return (sorted(shapes) if self.layer.children else shapes) == self.shapes


def leaves(tree: Iterable[KerasLayer], above: tuple[str, ...] = ()) -> list[Leaf]:
    """All layers with weights, those in models too, in Keras' order."""
    found = []
    for layer in tree:
        if layer.children:
            found += leaves(layer.children, (*above, layer.name))
        elif layer.weights:
            name, owner = "/".join((*above, layer.name)), (layer.owner or layer.name).split("/")
            aliases = {name, "/".join((*above[:1], layer.name)), "/".join(owner), "/".join((*owner[:1], owner[-1]))}
            found.append(Leaf(name, layer, frozenset(aliases)))
    return found


@dataclass(frozen=True)
class Part:
    """A layer of the file. aliases: what a model may call it."""

    stored: StoredLayer
    aliases: frozenset[str]


def whole(stored: StoredLayer) -> Part:
    """A layer of the file as one."""
    return Part(stored, frozenset({stored.name} - {None}))


def split(stored: StoredLayer) -> list[Part]:
    """The layers behind one group of the legacy layout, which holds all weights of a nested model: by what stands before the last '/'."""
    groups: dict[str, list[StoredWeight]] = {}
    for weight in stored.weights:
        groups.setdefault(weight.name.rpartition("/")[0], []).append(weight)
    if len(groups) == 1:
        (prefix,) = groups
        return [Part(stored, frozenset({stored.name, f"{stored.name}/{prefix.removeprefix(f'{stored.name}/')}"} - {None}))]
    return [
        Part(StoredLayer(stored.key, f"{stored.name}/{prefix}", tuple(weights)), frozenset({f"{stored.name}/{prefix.removeprefix(f'{stored.name}/')}"}))
        for prefix, weights in groups.items()
    ]


@dataclass(frozen=True)
class Pairing:
    """Which leaf belongs to which part, and what is left on both sides."""

    pairs: list[tuple[Leaf, Part]]
    leaves: list[Leaf]
    parts: list[Part]


def by_names(ours: Sequence[Leaf], theirs: Sequence[Part]) -> Pairing:
    """Leaf and part belong together where they share a name that no other leaf or part has; full names come before shorter ones."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for names in ([{leaf.name, leaf.layer.owner or leaf.name} for leaf in ours], [set(leaf.aliases) for leaf in ours]):
        left = [i for i in range(len(ours)) if i not in pairs]
        free = [j for j in range(len(theirs)) if j not in taken]
        leaf_of = _only({i: names[i] for i in left})
        for name, j in _only({j: theirs[j].aliases for j in free}).items():
            if name in leaf_of and leaf_of[name] not in pairs and j not in taken:
                pairs[leaf_of[name]] = j
                taken.add(j)
    return Pairing(
        [(ours[i], theirs[j]) for i, j in sorted(pairs.items())],
        [leaf for i, leaf in enumerate(ours) if i not in pairs],
        [part for j, part in enumerate(theirs) if j not in taken],
    )


def _only(names: Mapping[int, Iterable[str]]) -> dict[str, int]:
    """Name -> the one thing that has it; names of several are left out."""
    owners: dict[str, list[int]] = {}
    for i, found in names.items():
        for name in found:
            owners.setdefault(name, []).append(i)
    return {name: found[0] for name, found in owners.items() if len(found) == 1}


def in_order(ours: Sequence[Leaf], theirs: Sequence[Part], trust_names: bool) -> Pairing:
    """The k-th layer with weights belongs to the k-th, as in Keras, unless names say more.

    trust_names: names that Keras makes up count as well (where they come from the file's own model). Where there are more layers on
    one side, as without the top, names decide if all of the shorter side are found, else the layers from the first on that have the same shapes.
    """
    named = by_names(ours, theirs)
    telling = trust_names or not any(leaf.automatic for leaf in ours)
    if telling and not (named.leaves and named.parts):
        return named
    count = len(ours)
    if len(ours) != len(theirs):
        alike = [leaf.like(part.stored) for leaf, part in zip(ours, theirs, strict=False)]
        count = alike.index(False) if False in alike else len(alike)
    return Pairing(list(zip(ours[:count], theirs[:count], strict=True)), list(ours[count:]), list(theirs[count:]))
