"""Compares a wheel with the checkout: every module is in it, and nothing else but metadata. wheel.py FILE.whl"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "cli/plugins/templates"  # of `numbacnn plugins new`
FOLDERS = {"numbacnn": "numbacnn", "cli": "numbacnn_cli"}  # in the checkout: in the wheel


def expected() -> set[str]:
    """The modules of the checkout by their names in the wheel."""
    found = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    templates = {f"numbacnn_cli/plugins/{p.relative_to(TEMPLATES.parent).as_posix()}" for p in TEMPLATES.rglob("*") if p.is_file()}
    return found | templates | {"numbacnn/py.typed", "numbacnn/models/imagenet_labels.txt"}


def main(wheel: str) -> int:
    """Exit status 1 where they differ."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = {n for n in names if n.partition("/")[0].endswith(".dist-info")}
    wrong = [f"missing: {n}" for n in sorted(expected() - names)] + [f"should not be there: {n}" for n in sorted(names - metadata - expected())]
    wrong += [f"missing: {ending}" for ending in ("METADATA", "entry_points.txt", "LICENSE") if not any(n.endswith("/" + ending) for n in metadata)]
    print("\n".join(wrong) or f"{Path(wheel).name}: {len(names)} files, all modules of the checkout and nothing else")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
