"""Reads the parameters that a request gives to a plugin. What is wrong is a ``ValueError`` with words for clients."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any


def refuse_others(parameters: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuses parameters that there are not.

    Raises:
        ValueError: there is one.
    """
    unknown = sorted(parameters.keys() - set(known))
    if unknown:
        raise ValueError(f"there is no parameter {unknown[0]!r}; there are: {', '.join(sorted(known)) or 'none'}")


def number(parameters: Mapping[str, Any], name: str, default: float, *, at_least: float, at_most: float) -> float:
    """Returns a number among the parameters.

    Raises:
        ValueError: it is none, or outside of its bounds.
    """
    value = parameters.get(name, default)
    if not _is_number(value) or not at_least <= value <= at_most:
        raise ValueError(f"{name!r} has to be a number from {at_least:g} to {at_most:g}")
    return float(value)


def texts(parameters: Mapping[str, Any], name: str) -> frozenset[str] | None:
    """Returns a list of texts among the parameters; None where it is not given.

    Raises:
        ValueError: it is none.
    """
    value = parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name!r} has to be a list of texts")
    return frozenset(value)


def numbers(parameters: Mapping[str, Any], name: str) -> dict[str, float]:
    """Returns an object of numbers among the parameters; empty where it is not given.

    Raises:
        ValueError: it is none, or a number is below 0 or not finite.
    """
    value = parameters.get(name, {})
    if not isinstance(value, dict) or not all(_is_number(one) and one >= 0 for one in value.values()):
        raise ValueError(f"{name!r} has to be an object whose members are numbers of 0 and more")
    return {key: float(one) for key, one in value.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
