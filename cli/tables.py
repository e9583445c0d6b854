"""Where tables are printed to."""

import sys

from rich.console import Console


def wide_console() -> Console:
    """Standard output; where it is no terminal, nothing is folded or cut."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=100_000)
