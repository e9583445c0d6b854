"""Initializers and regularizers, both ways. They matter to training only: one that numbacnn does not know is left out.

A layer's own default then takes an initializer's place, and no penalty a regularizer's; what a file computes stays the same.
"""

from dataclasses import asdict
from typing import Any

from ... import init, regularizers
from .checks import Fail, number

_NAMES = {cls.__name__: name for name, cls in reversed(init.NAMES.items())}  # GlorotUniform -> glorot_uniform
_SCALING = {  # (scale, mode, distribution) of Keras' VarianceScaling
    (1.0, "fan_avg", "uniform"): "glorot_uniform",
    (1.0, "fan_avg", "truncated_normal"): "glorot_normal",
    (2.0, "fan_in", "uniform"): "he_uniform",
    (2.0, "fan_in", "truncated_normal"): "he_normal",
    (1.0, "fan_in", "uniform"): "lecun_uniform",
    (1.0, "fan_in", "truncated_normal"): "lecun_normal",
}


def _parts(value: Any) -> tuple[str, dict]:
    """(class, fields) of {"class_name": …, "config": …} or of a name alone."""
    if isinstance(value, str):
        return value, {}
    name, config = (value.get("class_name"), value.get("config")) if isinstance(value, dict) else (None, None)
    return (name if isinstance(name, str) else ""), (config if isinstance(config, dict) else {})


def read_initializer(value: Any, fail: Fail, what: str) -> Any:
    """The JSON of a field of ours for an initializer of Keras: a name, or class and fields; None for one that numbacnn does not know."""
    name, config = _parts(value)
    if name == "VarianceScaling":
        scale = number(config.get("scale", 1.0), fail, f"{what}.scale")
        return _SCALING.get((scale, str(config.get("mode", "fan_in")), str(config.get("distribution", "truncated_normal"))))
    cls = next((c for n, c in init.NAMES.items() if name in (n, c.__name__)), None)
    if cls is None:
        return None
    given = {f: number(config[f], fail, f"{what}.{f}") for f in cls.__dataclass_fields__ if config.get(f) is not None}
    if all(getattr(cls(), f) == v for f, v in given.items()):
        return _NAMES[cls.__name__]
    return {"class": cls.__name__, "fields": given}


def write_initializer(value: Any) -> dict | None:
    """Keras 3's configuration of an initializer; None for one of another kind than ours."""
    made = init.get(value)
    if type(made).__name__ not in _NAMES:
        return None
    return {"module": "keras.initializers", "class_name": type(made).__name__, "config": asdict(made), "registered_name": None}


def read_regularizer(value: Any, fail: Fail, what: str) -> Any:
    """The JSON of a field of ours for a regularizer of Keras; None for none, and for one that numbacnn does not know."""
    name, config = _parts(value)
    cls = {"l1": regularizers.L1, "l2": regularizers.L2, "l1l2": regularizers.L1L2, "l1_l2": regularizers.L1L2}.get(name.lower())
    if cls is None:
        return None
    given = {f: number(config[f], fail, f"{what}.{f}") for f in cls.__dataclass_fields__ if config.get(f) is not None}
    return {"class": cls.__name__, "fields": given}


def write_regularizer(value: Any, keras3: bool) -> dict | None:
    """Keras' configuration of a penalty."""
    made = regularizers.get(value)
    if made is None or not (made.l1 or made.l2):
        return None
    config = {"class_name": type(made).__name__, "config": asdict(made)}
    return {"module": "keras.regularizers", **config, "registered_name": None} if keras3 else config
