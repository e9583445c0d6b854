"""The house is built as design says: imports go one way, one place compiles, everything that is registered is there, everything is packed."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from numbacnn import registry

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = sorted(p for room in ("numbacnn", "cli") for p in (ROOT / room).rglob("*.py"))
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc", "jitclass", "generated_jit"}
OURS = [(found, name) for found in registry.ALL for name in PROJECT["project"]["entry-points"][found.group]]


def test_imports_go_one_way():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def compilers_used(path: Path) -> list[str]:
    """Names of Numba's compilers that a file uses: numba.njit, cuda.jit, `from numba import njit`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in COMPILERS and isinstance(node.value, ast.Name) and node.value.id in ("numba", "nb", "cuda"):
            found.append(f"{node.value.id}.{node.attr}")
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba":
            found += [f"numba.{a.name}" for a in node.names if a.name in COMPILERS]
    return found


def test_only_one_file_compiles():
    assert compilers_used(ROOT / "numbacnn" / "jit.py")
    assert {str(p.relative_to(ROOT)): used for p in SOURCES if p.name != "jit.py" and (used := compilers_used(p))} == {}


def test_kernels_without_prange_say_so():
    """Numba warns about a parallel kernel that has nothing to run in parallel, but only where threads are on."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            marks = [ast.unparse(d) for d in getattr(node, "decorator_list", ())]
            if any(m.startswith("kernel") and "parallel=False" not in m for m in marks):
                assert "prange" in ast.unparse(node), f"{path.name}: kernel {node.name} has no prange: write @kernel(parallel=False)"


@pytest.mark.parametrize(("found", "name"), OURS, ids=[f"{found.kind}-{name}" for found, name in OURS])
def test_every_entry_point_of_ours_loads(found, name):
    assert found[name]
    assert registry.distribution(found.point(name)) == registry.BUILT_IN


def test_the_installed_entry_points_are_those_of_pyproject():
    for found in registry.ALL:
        installed = {p.name: p.value for p in entry_points(group=found.group) if registry.distribution(p) == registry.BUILT_IN}
        assert installed == PROJECT["project"]["entry-points"][found.group], "pyproject.toml has changed since the installation: run `make install`"


def test_everything_is_packed():
    tool = PROJECT["tool"]["setuptools"]
    roots = tool["package-dir"]
    folders = {"/".join((roots.get(root, root), *rest)) for root, *rest in (package.split(".") for package in tool["packages"])}
    assert {p.parent.relative_to(ROOT).as_posix() for p in SOURCES} == folders
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)
    assert (ROOT / "numbacnn" / "py.typed").is_file()


def test_every_thing_has_a_file_of_its_own():
    """One layer, loss, optimizer or metric a file; a file without one holds what several of them share."""
    for found in (registry.layers, registry.losses, registry.optimizers, registry.metrics):
        places = {tuple(p.value.split(":")) for name in found for p in found.points[name] if registry.distribution(p) == registry.BUILT_IN}
        modules = [module for module, _ in places]
        assert len(modules) == len(set(modules))
