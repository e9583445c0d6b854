"""Learning rates of layer groups: one for all, one for each, or a range from the early layers to the head."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigError, UnknownNameError

Rates = float | Sequence[float] | slice

BELOW = 10.0  # slice(x): layers before the head learn at x / 10, as fastai has it
FAR = 3.0
DOMAINS = {"near": 1.0, "far": FAR}


def spread(lr: Rates, groups: Sequence[Sequence[str]], domain: str = "near") -> list[float]:
    """The learning rate of each group, from the input to the head.

    lr      a number: the same for all. A list: one for each group. slice(a, b): from a for the first group to b for the head, each
            the same multiple of the one before. slice(b): b for the head, b / 10 for all others.
    domain  "near" takes the rates as they are. "far" raises those below the head's threefold, up to the head's: for pictures unlike
            the photographs that the network was trained on (medical, telescopes, drawings), where early layers, too, have to learn
            other things. (A rule of thumb: compare both on your validation data.)

    Raises ConfigError, with the groups, where a list has another length or a rate cannot work.
    """
    if domain not in DOMAINS:
        raise UnknownNameError("domain", domain, DOMAINS)
    count = max(1, len(groups))
    if isinstance(lr, slice):
        rates = _range(lr, count)
    elif isinstance(lr, (list, tuple)):
        rates = [_number(rate, lr) for rate in lr]
    else:
        rates = [_number(lr, lr)] * count
    if len(rates) != count:
        raise ConfigError(
            f"lr={list(lr)} has {len(rates)} rates, but the model has {count} layer groups ({describe(groups)}): "
            "give one rate for each, one number for all, or slice(lowest, highest)"
        )
    return [min(rate * DOMAINS[domain], max(rate, rates[-1])) for rate in rates]


def _range(lr: slice, count: int) -> list[float]:
    if lr.step is not None or lr.stop is None:
        raise ConfigError(f"lr={lr}: write slice(lowest, highest), or slice(highest)")
    high = _number(lr.stop, lr)
    if lr.start is None:
        return [high / BELOW] * (count - 1) + [high]
    low = _number(lr.start, lr)
    if low <= 0 or high <= 0:
        raise ConfigError(f"lr={lr}: both ends must be above 0, since the rates between are multiples of each other")
    return [high if i == count - 1 else low * (high / low) ** (i / (count - 1)) for i in range(count)]


def _number(value: Any, given: Any) -> float:
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__") or not 0 <= float(value) < math.inf:
        raise ConfigError(f"lr={given!r}: a learning rate is a number of at least 0; also a list of them, one for each layer group, or slice(lowest, highest)")
    return float(value)


def describe(groups: Sequence[Sequence[str]]) -> str:
    """The groups in one line: number, first and last layer."""
    return "; ".join(f"{i}: {g[0]}" + (f" … {g[-1]}" if len(g) > 1 else "") for i, g in enumerate(groups, 1))


def parse(text: str) -> Rates:
    """What the shell's forms mean: "1e-3" is a number, "1e-5,1e-4,1e-3" a list, "1e-5:1e-3" slice(1e-5, 1e-3), ":1e-3" slice(1e-3).

    Raises ConfigError for anything else.
    """
    try:
        if "," in text:
            return [_number(float(part), text) for part in text.split(",")]
        if ":" in text:
            low, high = text.split(":")
            return slice(_number(float(low), text) if low.strip() else None, _number(float(high), text))
        return _number(float(text), text)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{text!r} is no learning rate: give one number (1e-3), one for each layer group (1e-5,1e-4,1e-3), or a range (1e-5:1e-3)") from None


def grouped(optimizer: Any, lr: Rates, groups: Sequence[Sequence[str]], domain: str = "near") -> tuple[Any, list[tuple[list[str], float]]]:
    """The optimizer with the head's rate, and (layer names, rate) of every group that has another one: what compile's `groups` takes."""
    rates = spread(lr, groups, domain)
    others = [(list(names), rate) for names, rate in zip(groups, rates, strict=False) if rate != rates[-1]]
    return replace(optimizer, learning_rate=rates[-1]), others
