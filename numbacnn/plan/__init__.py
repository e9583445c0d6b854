"""Plans: graph + batch size + mode -> a flat list of calls."""

from .layout import Flat, Layout
from .plan import Plan, Result

__all__ = ["Flat", "Layout", "Plan", "Result"]
