import resource
import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from numbacnn_cli import main as module
from numbacnn_cli.main import SHORT_HELP

from numbacnn import errors, registry

HEAVY = {"numba", "numpy", "h5py", "rich", "PIL", "platformdirs", "llvmlite"}


def child(*args: str, code: str = "from numbacnn_cli.main import main; sys.exit(main())") -> subprocess.CompletedProcess:
    script = f"import sys; sys.argv = ['numbacnn', *sys.argv[1:]]; {code}"
    return subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=60)


def test_help_imports_nothing_heavy():
    done = child("--help", code="from numbacnn_cli.main import main; main(); print('MODULES', *sys.modules)")
    text, _, modules = done.stdout.partition("MODULES ")
    assert done.returncode == 0, done.stderr
    assert all(name in text for name in SHORT_HELP)
    assert not HEAVY & {m.partition(".")[0] for m in modules.split()}
    assert not {f"numbacnn_cli.{name}" for name in SHORT_HELP} & set(modules.split())


def test_help_takes_less_than_a_fifth_of_a_second():
    def seconds() -> float:  # of the processor: other processes must not matter
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        child("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.2


def test_version(numbacnn):
    assert numbacnn("--version").out == f"numbacnn {version('numbacnn')}\n"


def test_short_help_is_there_for_every_command_of_ours():
    assert set(SHORT_HELP) == {n for n in registry.commands if registry.distribution(registry.commands.point(n)) == registry.BUILT_IN}
    assert all(registry.commands[name].short_help == text for name, text in SHORT_HELP.items())


@pytest.mark.parametrize("name", SHORT_HELP)
def test_every_option_has_help(name, numbacnn):
    done = numbacnn(name, "--help")
    assert done.status == 0
    assert all(p.help for p in registry.commands[name].params if isinstance(p, click.Option))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["fitt"], "unknown command 'fitt'; did you mean 'fit'?"),
        (["fit", "x", "--epoch", "3"], "--epochs"),
        (["fit", "x", "--epochs", "-1"], "-1 is not in the range x>=0"),
        (["fit", "x", "--model", "small", "--epochs", "0"], "give at least 1"),
        (["fit", "x", "--model", "small", "--freeze-epochs", "1"], "leave out --freeze-epochs"),
        (["fit", "x", "--model", "small", "--domain", "far"], "leave out --domain"),
        (["fit", "x", "--model", "vgg16", "--weights", "imagenet"], "none are published for vgg16"),
        (["fit", "x", "--model", "resnet81"], "unknown model 'resnet81'; did you mean 'resnet18'?"),
        (["fit", "x", "--model", "no/such.h5"], "there is no model file 'no/such.h5'"),
        (["fit", "x", "--optimizer", "adm"], "unknown optimizer 'adm'; did you mean 'Adam'?"),
        (["fit", "x", "--loss", "cross_entrpy"], "unknown loss 'cross_entrpy'; did you mean 'cross_entropy'?"),
        (["fit", "x", "--augment", "lite"], "unknown augmentation 'lite'; did you mean 'light'?"),
        (["fit", "x", "--color", "grey"], "unknown color 'grey'; did you mean 'gray'?"),
        (["fit", "x", "--device", "gpu"], "unknown device 'gpu'"),
        (["fit", "x", "--device", "cuda"], "use 'cpu' or 'auto'"),
        (["fit", "x", "--size", "0"], "'0' is no size"),
        (["fit", "x", "--lr", "nan"], "a learning rate is a number of at least 0"),
        (["fit", "x", "--valid", "1"], "'1' must be a number at least 0 and below 1"),
        (["fit", "x", "--resume", "--force"], "give one of them"),
        (["fit", "x", "--resume"], "has a checkpoint"),
        (["fit", "no_such_folder"], "no_such_folder"),
        (["predict", "no_model", "a.png"], "no_model"),
        (["summary", "smal"], "unknown model 'smal'; did you mean 'small'?"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_status_2(args, said, numbacnn):
    done = numbacnn(*args)
    assert done.status == 2
    assert done.out == ""
    assert said in done.err
    assert done.err.startswith("numbacnn: ")
    assert done.err.count("\n") == 1


def test_no_command_shows_the_help(numbacnn):
    done = numbacnn()
    assert (done.status, done.out) == (2, "")
    assert done.err == numbacnn("--help").out


def test_an_error_of_the_system_names_the_file(numbacnn, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied", "/root/run")

    monkeypatch.setattr(module.Commands, "get_command", fail)
    assert numbacnn("layers").err == "numbacnn: /root/run: Permission denied\n"


def test_nothing_is_left_behind_by_bad_input(numbacnn, tmp_path):
    numbacnn("fit", "no_such_folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConfigError("why"), 2),
        (errors.NotFiniteError("why"), 3),
        (PermissionError(13, "why"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_statuses(error, status, numbacnn, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(module.Commands, "get_command", fail)
    done = numbacnn("layers")
    assert done.status == status
    assert ("why" in done.err) == (status != 130)


def test_nobody_reads():
    code = "from numbacnn_cli.main import main; import os; os.close(1); r, w = os.pipe(); os.close(r); os.dup2(w, 1); sys.exit(main())"
    done = child("--help", code=code)
    assert done.returncode == 1
    assert done.stderr == ""


class Point:
    """An entry point of a plugin that adds a command."""

    name, value, group = "weather", "plugin:weather", "numbacnn.commands"

    class dist:
        read_text = staticmethod(lambda name: None)
        name, version = "numbacnn-weather", "1.5"

    def __init__(self, command):
        self.command = command

    def load(self):
        return self.command()


@pytest.fixture
def plugin(monkeypatch):
    def install(command):
        points = dict(registry.commands.points) | {"weather": [Point(command)]}
        monkeypatch.setitem(registry.commands.__dict__, "points", points)
        monkeypatch.delitem(registry.commands.__dict__, "_names", raising=False)
        monkeypatch.setattr(registry.commands, "_loaded", {})

    yield install
    registry.commands.__dict__.pop("_names", None)


def test_a_plugin_adds_a_command(plugin, numbacnn):
    plugin(lambda: click.command(lambda: click.echo("sunny")))
    assert numbacnn("weather").out == "sunny\n"


def test_a_plugin_is_listed_without_being_imported(plugin, numbacnn):
    def broken():
        raise AssertionError("imported")

    plugin(broken)
    assert "From numbacnn-weather 1.5." in numbacnn("--help").out
    done = numbacnn("weather")
    assert done.status == 2
    assert "numbacnn-weather 1.5 (plugin:weather) cannot be imported" in done.err


def test_a_plugin_must_give_a_command(plugin, numbacnn):
    plugin(lambda: 5)
    assert "is no click command" in numbacnn("weather").err
