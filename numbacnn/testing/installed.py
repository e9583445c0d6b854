"""Plugins that count as installed without pip: what tests of plugins begin with."""

import atexit
import importlib
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from .. import registry


def as_installed(project: str | Path) -> None:
    """Let a plugin's entry points count in this process, as after `pip install -e`; nothing changes where it is installed.

    project: the folder of its pyproject.toml, or any file in it or below.
    """
    folder = next((f for f in (Path(project).resolve(), *Path(project).resolve().parents) if (f / "pyproject.toml").is_file()), None)
    if folder is None:
        raise FileNotFoundError(f"neither {project} nor a folder above it holds a pyproject.toml")
    about = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        distribution(about["name"])
    except PackageNotFoundError:
        declared = Path(tempfile.mkdtemp(prefix="numbacnn-plugin-"))
        atexit.register(shutil.rmtree, declared, ignore_errors=True)
        declare(declared, about["name"], about["version"], about.get("entry-points", {}))
        sys.path[:0] = [str(folder), str(declared)]
        refresh()


def declare(folder: Path, name: str, version: str, entry_points: Mapping[str, Mapping[str, str]]) -> Path:
    """Write the .dist-info by which Python knows a distribution that lies in `folder`. entry_points: group -> {name: "module:object"}."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [line for group, points in entry_points.items() for line in (f"[{group}]", *(f"{n} = {v}" for n, v in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return info


def refresh() -> None:
    """Have all registries look anew at what is installed."""
    importlib.invalidate_caches()
    for group in registry.ALL:
        group.refresh()
