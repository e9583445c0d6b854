"""The examination of plugins: `numbacnn plugins check`, and the same checks for built-in layers in our tests.

A check is a function of what it examines that returns a few words, or raises (mark.py). kinds.py lists the checks of each kind of plugin.
"""

from .examining import Report, examine
from .kinds import CHECKS, LAYER
from .mark import FAILED, OK, SKIPPED, SLOW, Check, Mark
from .subjects import Subject, subjects

__all__ = ["CHECKS", "FAILED", "LAYER", "OK", "SKIPPED", "SLOW", "Check", "Mark", "Report", "Subject", "examine", "subjects"]
