"""Says how much disk a virtual environment takes without pip and setuptools, and fails above a limit: size.py VENV LIMIT_MB."""

import sys
from collections import Counter
from pathlib import Path

TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")


def sizes(venv: Path) -> Counter[str]:
    """Bytes by what lies directly in site-packages; libraries that belong to a package are counted there."""
    found: Counter[str] = Counter()
    for site in venv.glob("lib*/python*/site-packages"):
        if site.parent.parent.is_symlink():  # lib64
            continue
        for path in site.rglob("*"):
            if path.is_file() and not path.is_symlink():
                top = path.relative_to(site).parts[0]
                found[top.removesuffix(".libs").partition("-")[0] if top.partition("-")[0] not in TOOLS else "pip"] += path.stat().st_size
    return Counter({name: size for name, size in found.items() if name not in TOOLS})


def main(venv: str, limit: str) -> int:
    """Exit status 1 above the limit."""
    found = sizes(Path(venv))
    total = sum(found.values()) / 1e6
    for name, size in found.most_common(8):
        print(f"{size / 1e6:8.1f} MB  {name}")
    print(f"{total:8.1f} MB  in all, without pip and setuptools (limit {limit} MB)")
    return 0 if total <= float(limit) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
