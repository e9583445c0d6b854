"""What every kind of plugin is examined for: its configuration comes back from a file."""

from typing import Any

from .. import fields


def check_stored(thing: Any) -> None:
    """Fields -> JSON -> the same object; AssertionError where something is lost, ConfigError where a field cannot be stored."""
    again = fields.build(type(thing), fields.to_json(thing))
    assert again == thing, f"{thing} comes back from JSON as {again}"
