"""What a new plugin's name makes: distribution, module, class, and the name by which it is registered."""

import ast
import keyword
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numbacnn
from numbacnn import registry
from numbacnn.errors import ConfigError

LONGEST = 40


def _bound_twice(source: str) -> set[str]:
    """Names that a module's imports, functions and classes give to two things."""
    bound: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound += [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.append(node.name)
    return {name for name in bound if bound.count(name) > 1}


@dataclass(frozen=True)
class Names:
    """words: squeeze, excite; given: the class's name where the user wrote one, SqueezeExcite."""

    words: tuple[str, ...]
    given: str = ""

    @property
    def distribution(self) -> str:
        return "numbacnn-" + "-".join(self.words)

    @property
    def module(self) -> str:
        return "numbacnn_" + self.snake

    @property
    def cls(self) -> str:
        return self.given or "".join(w[0].upper() + w[1:] for w in self.words)

    @property
    def snake(self) -> str:
        return "_".join(self.words)

    @property
    def kebab(self) -> str:
        return "-".join(self.words)


def parse(name: str) -> Names:
    """squeeze-excite, squeeze_excite, SqueezeExcite and numbacnn-squeeze-excite are one name. Raises ConfigError for what is no name."""
    bare = re.sub(r"^numbacnn[-_]", "", name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", bare, re.ASCII) or len(bare) > LONGEST:
        raise ConfigError(
            f"{name!r} cannot name a plugin: give up to {LONGEST} letters and digits, words separated by '-', the first one a letter, such as squeeze-excite"
        )
    if bare.isidentifier() and bare != bare.lower() and "_" not in bare:
        found = Names(tuple(w.lower() for w in re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+", bare)), bare[0].upper() + bare[1:])
    else:
        found = Names(tuple(re.split(r"[-_]", bare.lower())))
    if found.words == (registry.BUILT_IN,) or keyword.iskeyword(found.snake) or keyword.iskeyword(found.cls):
        raise ConfigError(f"{name!r} cannot name a plugin: Python, or numbacnn itself, has that word; add another one, such as my-{found.kebab}")
    return found


def check_free(names: Names, group: registry.Registry, registered: str, files: dict[str, str]) -> None:
    """Raise ConfigError where a name is somebody else's already: then the plugin would never be found, or hide another one."""
    way_out = f"choose another one, such as my-{names.kebab}"
    in_python = group not in (registry.models, registry.commands)  # numbacnn.Name
    for other in (group, *(r for r in registry.ALL if in_python and r not in (registry.models, registry.commands))):
        for taken in (registered, names.cls):
            if taken in other:
                owner = registry.distribution(other.points[other.resolve(taken)][0])
                raise ConfigError(f"{owner} has {other.kind} {other.resolve(taken)} already: {way_out}")
    if in_python and names.cls in vars(numbacnn)["_NAMES"]:
        raise ConfigError(f"numbacnn.{names.cls} is something else already: {way_out}")
    for path, text in files.items():
        if path.endswith(".py") and (twice := {names.cls, names.snake} & _bound_twice(text)):
            raise ConfigError(f"{path} needs the name {min(twice)} for something else: {way_out}")
    try:
        raise ConfigError(
            f"distribution {names.distribution} {version(names.distribution)} is installed already: {way_out}, or pip uninstall {names.distribution}"
        )
    except PackageNotFoundError:
        return
