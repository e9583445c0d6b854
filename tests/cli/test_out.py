from pathlib import Path

import pytest
from numbacnn_cli import out

from numbacnn.errors import ConfigError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pets/cat").mkdir(parents=True)


PETS = Path("pets")


def fill(run: str, *names: str) -> Path:
    Path(run).mkdir(parents=True, exist_ok=True)
    for name in names:
        (Path(run) / name).write_text("x")
    return Path(run)


def test_the_first_free_number():
    assert out.next_run(PETS) == Path("runs/pets-1")
    fill("runs/pets-1")
    fill("runs/pets-3")
    assert out.next_run(PETS) == Path("runs/pets-2")
    assert out.next_run(Path("pets/../pets/.")) == Path("runs/pets-2")


def test_the_last_run_with_a_checkpoint():
    for n in (1, 2, 10):
        fill(f"runs/pets-{n}", "checkpoint.h5")
    fill("runs/pets-11", "model.h5")
    fill("runs/pets-old", "checkpoint.h5")
    assert out.last_run(PETS) == Path("runs/pets-10")
    with pytest.raises(ConfigError, match="has a checkpoint"):
        out.last_run(Path("birds"))


def test_a_folder_in_use_is_refused():
    with pytest.raises(ConfigError, match=r"is in use \(checkpoint.h5\).*--resume.*--force"):
        out.check_free(fill("run", "checkpoint.h5"), PETS, force=False)
    out.check_free(Path("run"), PETS, force=True)
    out.check_free(Path("new/run"), PETS, force=False)
    out.check_free(fill("empty"), PETS, force=False)


def test_a_run_must_not_become_a_class():
    with pytest.raises(ConfigError, match="would be taken for a class"):
        out.check_free(Path("pets/run"), PETS, force=True)


def test_a_file_is_no_folder():
    Path("run").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        out.check_free(Path("run"), PETS, force=True)


def test_force_removes_only_our_files():
    run = fill("run", *out.OURS, "thesis.tex")
    assert out.create(run, PETS, numbered=False) == run
    replacement = out.Replacement(run)
    replacement.on_train_error(ValueError())
    assert len(list(run.iterdir())) == 5
    replacement.on_epoch_end(0)
    assert [p.name for p in run.iterdir()] == ["thesis.tex"]
    out.discard_empty(run)
    assert run.exists()
    fill("run", *out.OURS)
    replacement.on_epoch_end(1)
    replacement.on_train_error(KeyboardInterrupt())
    assert len(list(run.iterdir())) == 5, "those are the new run's"


def test_two_runs_at_once_get_two_folders():
    first, second = out.next_run(PETS), out.next_run(PETS)
    assert first == second
    assert out.create(first, PETS, numbered=True) != out.create(second, PETS, numbered=True)


def test_an_empty_run_goes_away():
    run = out.create(Path("runs/pets-1"), PETS, numbered=True)
    out.discard_empty(run)
    assert not run.exists()


def test_nothing_to_resume():
    with pytest.raises(ConfigError, match="nothing to go on with"):
        out.check_resumable(fill("run", "model.h5"))
