"""Every error that users see. A message names the thing, its value and the way out."""

import difflib
from collections.abc import Iterable


class NumbacnnError(Exception):
    """Base of all errors that numbacnn raises on purpose; the command line prints it without a traceback."""

    exit_status = 2


class ShapeError(NumbacnnError, ValueError):
    """A layer cannot take an input of this shape."""


class ConfigError(NumbacnnError, ValueError):
    """An option has a value that cannot work."""


class UnknownNameError(NumbacnnError, LookupError):
    """A name that no registry knows. The message lists those that are known, of many the nearest."""

    MANY = 100

    def __init__(self, kind: str, name: object, known: Iterable[str]):
        known = sorted(known)
        close = difflib.get_close_matches(str(name).lower(), [k.lower() for k in known], 1, 0.5)
        hint = next((f"; did you mean {k!r}?" for k in known if close and k.lower() == close[0]), "")
        listed = f"known: {', '.join(known) or 'none'}"
        if len(known) > self.MANY:
            listed = f"the nearest of {len(known)}: {', '.join(difflib.get_close_matches(str(name), known, 10, 0.0))}"
        super().__init__(f"unknown {kind} {name!r}{hint} ({listed})")


class PluginError(NumbacnnError, ImportError):
    """An entry point that cannot be loaded or that clashes with another one."""


class ContractError(PluginError, ConfigError):
    """A plugin that was written for another version of the contract."""


class FileError(NumbacnnError, ValueError):
    """A file that is damaged, not ours, or unsafe."""


class DataError(NumbacnnError, ValueError):
    """Data that cannot be trained on or predicted."""


class DeviceError(NumbacnnError, RuntimeError):
    """A device that is not there."""


class NotFiniteError(NumbacnnError, ArithmeticError):
    """The loss became NaN or infinite. later: how many steps were started after that one, before it was seen."""

    exit_status = 3

    def __init__(self, message: str, later: int = 0):
        super().__init__(message)
        self.later = later
