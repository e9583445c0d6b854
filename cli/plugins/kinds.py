"""The kinds of plugins that `numbacnn plugins new` can write: one folder of templates each, read from the installed package.

A folder holds module.py.txt, test.py.txt, use.md.txt and kind.toml; what all kinds share lies in templates/common. In all of them
string.Template puts in the names.
"""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from string import Template

from numbacnn import registry
from numbacnn.contract import CONTRACT

from .names import Names

FOLDER = Path(__file__).parent / "templates"
COMMON = "common"


@dataclass(frozen=True)
class Kind:
    """name: of the folder. group: of registries. entry: name by which it is registered; thing: what the entry point leads to; both with $Class and so on."""

    name: str
    group: str
    entry: str
    thing: str
    summary: str

    @property
    def registry(self) -> registry.Registry:
        return getattr(registry, self.group)

    def registered(self, names: Names) -> str:
        """The name by which it will be found."""
        return Template(self.entry).substitute(_substitutes(names))

    def files(self, names: Names, needed: str) -> dict[str, str]:
        """Path in the new folder -> contents. needed: the numbacnn that the plugin asks for."""
        about = _substitutes(names) | {"group": f"numbacnn.{self.group}", "kind": self.name, "numbacnn": needed, "contract": str(CONTRACT)}
        about |= {name: Template(getattr(self, name)).substitute(about) for name in ("entry", "thing", "summary")}
        about["use"] = _filled(self.name, "use.md.txt", about).rstrip()
        return {
            "pyproject.toml": _filled(COMMON, "pyproject.toml.txt", about),
            f"{names.module}.py": _filled(self.name, "module.py.txt", about),
            f"tests/test_{names.snake}.py": _filled(self.name, "test.py.txt", about),
            "README.md": _filled(COMMON, "README.md.txt", about),
        }


def _substitutes(names: Names) -> dict[str, str]:
    return {"distribution": names.distribution, "module": names.module, "Class": names.cls, "snake": names.snake, "kebab": names.kebab}


def _filled(folder: str, file: str, about: dict[str, str]) -> str:
    return Template((FOLDER / folder / file).read_text(encoding="utf-8")).substitute(about)


@functools.cache
def kinds() -> dict[str, Kind]:
    """All kinds by name, in the order that their kind.toml says."""
    found = []
    for path in FOLDER.glob("*/kind.toml"):
        about = tomllib.loads(path.read_text(encoding="utf-8"))
        found.append((about.pop("order"), Kind(path.parent.name, **about)))
    return {kind.name: kind for _, kind in sorted(found, key=lambda pair: pair[0])}
