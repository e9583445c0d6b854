"""The README's examples run, in order, in a folder with the pictures that they name."""

import re
import shlex
import sys
import tomllib
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numbacnn_cli.main import main
from PIL import Image

from numbacnn import registry

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PICTURES = {"pets": ("cat", "dog", "hamster", "parrot", "rabbit"), "birds": ("finch", "owl", "wren")}
OTHER_COMMANDS = {"pip install '.[pretrained]'", "pip install '.[cuda]'"}  # what a test cannot run here


@dataclass(frozen=True)
class Block:
    """A fenced block; line: that of its first line in the README."""

    kind: str
    line: int
    text: str

    def commands(self) -> list[str]:
        """Of a `console` block the lines behind `$`, of an `sh` block all lines; without comments."""
        lines = [line.removeprefix("$ ") for line in self.text.splitlines() if self.kind == "sh" or line.startswith("$ ")]
        return [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]


def blocks(text: str) -> list[Block]:
    """All fenced blocks; ValueError for a fence that is never closed."""
    found: list[Block] = []
    kind, start, inside = "", 0, False
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        fence = re.match(r"\s*(```+|~~~+)\s*(.*)", line)
        if not fence:
            continue
        if inside:
            found.append(Block(kind, start, "\n".join(lines[start - 1 : number - 1]) + "\n"))
        kind, start, inside = fence[2].strip(), number + 1, not inside
    if inside:
        raise ValueError(f"the block at line {start} has no end")
    return found


BLOCKS = blocks(README.read_text(encoding="utf-8"))


def test_blocks_are_found():
    text = "a\n```sh\nmake x  # why\n```\n```python\ny = 1\n\n```\n```console\n$ numbacnn 'a b'\nits output\n```\n"
    found = blocks(text)
    assert [(b.kind, b.line) for b in found] == [("sh", 3), ("python", 6), ("console", 10)]
    assert [b.commands() for b in (found[0], found[2])] == [["make x"], ["numbacnn 'a b'"]]
    assert found[1].text == "y = 1\n\n"
    with pytest.raises(ValueError, match="line 2 has no end"):
        blocks("```python\n")


def test_every_block_is_of_a_kind_that_is_checked():
    unknown = [f"line {b.line}: {b.kind!r}" for b in BLOCKS if b.kind not in ("python", "console", "sh", "toml", "text")]
    assert not unknown, f"README.md: {', '.join(unknown)}: use python, console, sh or toml, which tests check, or text"


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [c for b in BLOCKS if b.kind in ("console", "sh") for c in b.commands()]
    commands += re.findall(r"`(make [a-z]+)`", README.read_text(encoding="utf-8"))
    made = {word for c in commands if c.startswith("make ") for word in c.split()[1:] if "=" not in word}
    assert made and made <= targets, f"README.md: the Makefile has no target {made - targets}"
    others = {c for c in commands if c.split()[0] not in ("make", "numbacnn")}
    assert others <= OTHER_COMMANDS, f"README.md: nothing checks {others - OTHER_COMMANDS}"


def test_toml_is_valid():
    found = [tomllib.loads(b.text) for b in BLOCKS if b.kind == "toml"]
    groups = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"])
    assert found and all(set(t["project"]["entry-points"]) <= groups for t in found)


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links and all((ROOT / link).exists() for link in links)


def test_the_names_in_the_table_are_those_that_are_registered():
    text = README.read_text(encoding="utf-8")
    for found in (registry.losses, registry.optimizers, registry.metrics, registry.models, registry.augmentations):
        title = f"{found.kind.capitalize()}s" if not found.kind.endswith("s") else "Losses"
        row = re.search(rf"^\| {title} \| (.*) \|$", text, re.MULTILINE)
        assert row, f"README.md has no line for {title}"
        built_in = {found[name] for name in found if registry.distribution(found.point(name)) == registry.BUILT_IN}
        assert {found[name] for name in re.findall(r"`(\w+)`", row[1])} == built_in


def write_pictures(folder: Path) -> None:
    """Pictures of 40x48 pixels, eight a class and each class of a color of its own, and one of a cat beside the folders."""
    random = np.random.default_rng(0)
    for name, classes in PICTURES.items():
        for label in classes:
            color = random.integers(0, 180, 3)
            (folder / name / label).mkdir(parents=True)
            for n in range(8):
                pixels = color + random.integers(0, 70, (40, 48, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / name / label / f"{n:03}.jpg")
    (folder / "cat.jpg").write_bytes((folder / "pets/cat/000.jpg").read_bytes())


def test_examples_run(tmp_path, monkeypatch, capfd):
    """All python blocks, in one namespace, and all `$ numbacnn …` lines, in the order in which they stand."""
    write_pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("readme")  # dataclasses and compiled kernels look their module up
    monkeypatch.setitem(sys.modules, "readme", module)
    for block in BLOCKS:
        if block.kind == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(README), "exec"), vars(module))
        elif block.kind in ("console", "sh"):
            for command in block.commands():
                words = shlex.split(command)
                if words[0] == "numbacnn":
                    status = main(words[1:])
                    out, err = capfd.readouterr()
                    assert status == 0, f"README.md, line {block.line}: {command} ended with exit status {status}\n{out}{err}"
