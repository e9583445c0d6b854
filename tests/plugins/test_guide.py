"""plugins/README.md, the guide: its fences run in order, in an empty folder. A block whose first line is a comment with a path is that file."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
from test_readme import Block, blocks

from numbacnn.testing.installed import declare, refresh

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "plugins" / "README.md"
BLOCKS = blocks(GUIDE.read_text(encoding="utf-8"))
PUBLISHING = ("pip install build twine", "python -m build", "twine ", "python -m venv", "fresh/bin/")  # what a test cannot run: it needs a network


def file_of(block: Block) -> tuple[str, bool] | None:
    """(path, whether the file goes on there) of a block that is a file, else None."""
    found = re.match(r"# (numbacnn-\S+\.py)(, continued)?\n", block.text)
    return (found[1], bool(found[2])) if block.kind == "python" and found else None


class Walk:
    """Somebody who follows the guide: `site` stands for what pip installs."""

    def __init__(self, folder: Path):
        self.folder, self.site = folder, folder / "site"
        self.site.mkdir()
        self.projects: list[Path] = []

    def environment(self) -> dict[str, str]:
        path = [self.site, *self.projects, ROOT, os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "NUMBACNN_SERIAL": "1"}

    def write(self, block: Block, path: str, goes_on: bool) -> None:
        target = self.folder / path
        assert target.exists(), f"plugins/README.md, line {block.line}: the scaffold has no {path}"
        text = block.text.partition("\n")[2]
        target.write_text(target.read_text(encoding="utf-8") + "\n\n" + text if goes_on else text, encoding="utf-8")

    def install(self, requirement: str) -> None:
        """What `pip install -e` does that counts: the project is on the path, its entry points are declared."""
        project = self.folder / requirement.partition("[")[0]
        about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        declare(self.site, about["name"], about["version"], about["entry-points"])
        self.projects.append(project)

    def run(self, command: str) -> subprocess.CompletedProcess:
        words = shlex.split(command)
        start = {
            "numbacnn": f"from numbacnn_cli.main import main; raise SystemExit(main({words[1:]!r}))",
            "pytest": f"import pytest; raise SystemExit(pytest.main({['-q', '-p', 'no:cacheprovider', *words[1:]]!r}))",
        }[words[0]]
        return subprocess.run([sys.executable, "-c", start], cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=900)


def test_blocks_are_of_kinds_that_are_checked():
    assert {b.kind for b in BLOCKS} == {"python", "console", "sh", "toml"}
    commands = [c for b in BLOCKS if b.kind in ("console", "sh") for c in b.commands()]
    unknown = [c for c in commands if not c.startswith(("numbacnn ", "pytest ", "pip install -e ", *PUBLISHING))]
    assert not unknown, f"plugins/README.md: nothing checks {unknown}"


def test_links_and_make_targets():
    text = GUIDE.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links and all((GUIDE.parent / link).exists() for link in links)
    assert {f.name for f in GUIDE.parent.glob("numbacnn-*")} == set(links)
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)`", text)) <= targets


def test_the_toml_is_what_the_scaffold_writes(tmp_path):
    (given,) = (tomllib.loads(b.text)["project"] for b in BLOCKS if b.kind == "toml")
    walk = Walk(tmp_path)
    assert walk.run("numbacnn plugins new star-relu --kind elementwise").returncode == 0
    written = tomllib.loads((tmp_path / "numbacnn-star-relu/pyproject.toml").read_text())["project"]
    assert {name: written[name] for name in given} == given


def test_it_leads_to_plugins_that_work(tmp_path, monkeypatch):
    """Every file is written, every other python block and every command but those of publishing is run."""
    monkeypatch.chdir(tmp_path)
    walk = Walk(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    module = types.ModuleType("guide")
    monkeypatch.setitem(sys.modules, "guide", module)
    try:
        for block in BLOCKS:
            if found := file_of(block):
                walk.write(block, *found)
            elif block.kind == "python":
                sys.path[:0] = [str(walk.site), *map(str, walk.projects)]
                refresh()
                exec(compile("\n" * (block.line - 1) + block.text, str(GUIDE), "exec"), vars(module))
            elif block.kind == "console":
                for command in block.commands():
                    if command.startswith("pip install -e "):
                        walk.install(shlex.split(command)[-1])
                        continue
                    done = walk.run(command)
                    assert done.returncode == 0, f"plugins/README.md, line {block.line}: {command} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if name.startswith(("numbacnn_star", "numbacnn_cent")):
                del sys.modules[name]
        refresh()


def test_a_path_is_a_file():
    text = (
        "```python\n# numbacnn-x/numbacnn_x.py\na = 1\n```\n```python\n# numbacnn-x/numbacnn_x.py, continued\nb = 1\n```\n```python\n# a comment\nc = 1\n```\n"
    )
    assert [file_of(b) for b in blocks(text)] == [("numbacnn-x/numbacnn_x.py", False), ("numbacnn-x/numbacnn_x.py", True), None]


@pytest.mark.parametrize("name", [f.name for f in sorted(GUIDE.parent.glob("numbacnn-*"))])
def test_the_readme_of_each_is_right(name, tmp_path):
    """Its python blocks run where it is installed; what it says to type names it."""
    walk = Walk(tmp_path)
    project = tomllib.loads((GUIDE.parent / name / "pyproject.toml").read_text())["project"]
    declare(walk.site, name, project["version"], project["entry-points"])
    walk.projects.append(GUIDE.parent / name)
    found = blocks((GUIDE.parent / name / "README.md").read_text(encoding="utf-8"))
    code = "\n".join(b.text for b in found if b.kind == "python")
    done = subprocess.run([sys.executable, "-c", code], env=walk.environment(), capture_output=True, text=True, timeout=300)
    assert code and done.returncode == 0, done.stderr
    assert f"numbacnn plugins check {name}" in [c for b in found if b.kind == "sh" for c in b.commands()]
