"""`numbacnn plugins new`: a complete distribution with one plugin, an example that works and is tested."""

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import click

from numbacnn.errors import ConfigError

from ..options import OneOf, plain
from .kinds import kinds
from .names import check_free, parse


@click.command("new", short_help="Write a plugin of your own, which passes its tests at once.")
@click.argument("name")
@click.option("--kind", type=OneOf("kind", *kinds()), default="layer", help="What it adds; an elementwise layer is two scalar functions.")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where its folder is made.")
def new_plugin(name: str, kind: str, into: Path) -> None:
    """Write a distribution numbacnn-NAME: pyproject.toml with the entry point, a module, its tests, a README.

    It is a small example of its kind that works: change it to what you need, and keep its tests passing. NAME may be written squeeze-excite
    or SqueezeExcite.
    """
    names, chosen = parse(name), kinds()[kind]
    files = chosen.files(names, version("numbacnn"))
    check_free(names, chosen.registry, chosen.registered(names), files)
    folder = into / names.distribution
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{plain(folder)} is there already: choose another name, or another place with --into")
    _write(folder, files)
    click.echo(f"{plain(folder)}: {chosen.name} {chosen.registered(names)}, {names.distribution} 0.1.0")
    for path in files:
        click.echo(f"  {path}")
    click.echo(f"Next:\n  pip install -e '{plain(folder)}[test]'\n  cd {plain(folder)} && pytest")


def _write(folder: Path, files: dict[str, str]) -> None:
    """All files or none: the folder appears when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for path, text in files.items():
            (draft / path).parent.mkdir(exist_ok=True)
            (draft / path).write_text(text, encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
