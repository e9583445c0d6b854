"""`numbacnn plugins new` of every kind, installed with pip into a fresh environment beside the built wheel, passes its own tests.

scaffold.py WHEEL.whl [KIND…]
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Standard output; what went wrong ends the script with its output."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}exit status {done.returncode}")
    return done.stdout


def main(wheel: str, *wanted: str) -> int:
    """Exit status 0 where all kinds (or those wanted) pass."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        venv.create(work / "venv", with_pip=True)
        binaries = work / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python = binaries / "python"
        alone = {"PYTHONPATH": "", "NUMBACNN_CACHE": str(work / "cache"), "NUMBACNN_SERIAL": "1"}
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, Path(wheel).resolve(), "pytest>=8", "hypothesis>=6.100", "setuptools>=77", cwd=work, **alone)
        listed = run(python, "-c", "from numbacnn_cli.plugins.kinds import kinds; print(*kinds())", cwd=work, **alone).split()
        for kind in wanted or listed:
            name = f"numbacnn-fresh-{kind}"
            run(binaries / "numbacnn", "plugins", "new", f"fresh-{kind}", "--kind", kind, cwd=work, **alone)
            run(*pip, "--no-build-isolation", "-e", f"{work / name}[test]", cwd=work, **alone)
            print(f"{kind}: {run(python, '-m', 'pytest', '-q', cwd=work / name, **alone).strip().splitlines()[-1]}", flush=True)
        table = run(binaries / "numbacnn", "plugins", "list", cwd=work, **alone)
        print(table)
        broken = [line for line in table.splitlines() if "numbacnn-fresh-" in line and not line.rstrip(" │").endswith(" ok")]
        missing = [kind for kind in wanted or listed if f"numbacnn-fresh-{kind}" not in table]
        return 1 if broken or missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
