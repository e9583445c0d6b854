"""Makes a plugin's distribution of built-in layers' own source files: their text, under other names, in a package that only imports numbacnn."""

import ast
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numbacnn as nn
from numbacnn import registry
from numbacnn.testing.installed import declare, refresh

DISTRIBUTION = "numbacnn-copies"
PACKAGE = "numbacnn_copies"
PREFIX = "Copy"
LAYERS = ("ReLU", "BatchNormalization", "DepthwiseConv2D")
_IMPORT = re.compile(r"^(\s*from )(\.+)([\w.]*)( import )", re.MULTILINE)


def copied(source: str, package: str, name: str, new: str) -> str:
    """The text of a module of `package` as a plugin has it: absolute imports, the class `name` called `new`, the contract stated."""

    def absolute(found: re.Match) -> str:
        start, dots, rest, end = found.groups()
        parents = package.split(".")
        above = parents[: len(parents) - len(dots) + 1]
        return start + ".".join([*above, *([rest] if rest else [])]) + end

    text = re.sub(rf"\b{name}\b", new, _IMPORT.sub(absolute, source))
    made = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == new)
    lines = text.splitlines()
    lines.insert(made.body[0].end_lineno, "\n    contract = 1")  # behind the docstring
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write the distribution into `folder`, one module a layer, with its metadata; what an earlier call left there goes."""
    shutil.rmtree(folder / PACKAGE, ignore_errors=True)
    for old in folder.glob(f"{PACKAGE}-*.dist-info"):
        shutil.rmtree(old)
    (folder / PACKAGE).mkdir(parents=True)
    (folder / PACKAGE / "__init__.py").touch()
    points = {}
    for name in LAYERS:
        module, _, cls = registry.layers.point(name).value.partition(":")
        package, _, own = module.rpartition(".")
        source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
        (folder / PACKAGE / f"{own}.py").write_text(copied(source, package, cls, PREFIX + cls), encoding="utf-8")
        points[PREFIX + name] = f"{PACKAGE}.{own}:{PREFIX}{cls}"
    declare(folder, DISTRIBUTION, nn.__version__, {registry.layers.group: points})


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Inside the `with`, the copies are there as after `pip install`: nn.CopyReLU, "CopyReLU" in files, and so on."""
    write(folder)
    sys.path.insert(0, str(folder))
    refresh()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for module in [m for m in sys.modules if m.partition(".")[0] == PACKAGE]:
            del sys.modules[module]
        refresh()
