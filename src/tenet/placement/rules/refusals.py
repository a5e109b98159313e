"""Why something was refused, in a word or two that there are few of: for metrics and logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tenet.placement.errors import (
    UNDEFINED,
    Conflict,
    Contended,
    Forbidden,
    InternalError,
    NoRoom,
    NotFound,
    PlacementError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)

_PREFIX: Final = "placement."
#: Where the error has no code; the first class that it is of counts.
_BY_CLASS: Final[Mapping[type[PlacementError], str]] = {
    NoRoom: "no_room",
    Conflict: "conflict",
    Unauthorized: "unauthorized",
    Forbidden: "forbidden",
    NotFound: "not_found",
    TooLarge: "too_large",
    TooManyRequests: "throttled",
    Contended: "contended",
    Unavailable: "unavailable",
    InternalError: "internal",
}
_MALFORMED: Final = "malformed"
#: Stands for what a claim asked for together, where each condition is met by itself, and for what filters removed.
_TOGETHER: Final = "together"
_FILTER: Final = "filter"
_NAME_CHARS_MAX: Final = 255


def reason_of(error: PlacementError) -> str:
    """Returns the reason of a refusal: the error's code without ``placement.``, or what stands for its class."""
    if error.code != UNDEFINED:
        return error.code.removeprefix(_PREFIX)
    return next((reason for kind, reason in _BY_CLASS.items() if isinstance(error, kind)), _MALFORMED)


def shortages(why_not: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Returns what a claim found no place for the lack of: kind of the condition, and name of what was asked.

    These are the conditions that no provider meets; where there are none, the first after which no host was left.

    Args:
        why_not: as the answer tells it.
    """
    conditions = why_not["conditions"]
    if not conditions:
        return {(_FILTER, one["filter"][:_NAME_CHARS_MAX]) for one in why_not["filters"]}
    single = [one for one in conditions if one["asked"] is not None]
    nowhere = [one for one in single if not one["met_by_providers"]]
    if nowhere:
        return {_told(one) for one in nowhere}
    return {_told(next(one for one in conditions if not one["left"]))}


def _told(condition: Mapping[str, Any]) -> tuple[str, str]:
    asked = condition["asked"]
    if asked is None:
        return _TOGETHER, ""
    names = asked if isinstance(asked, str) else " or ".join(asked)
    return condition["condition"], names[:_NAME_CHARS_MAX]
