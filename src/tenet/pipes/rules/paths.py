"""Parameters of a target that are taken from the record: ``$.dynamodb.Keys.Id.S`` stands for what is found there.

Source: Amazon EventBridge User Guide, "Dynamic path parameters" of pipes: names with dots between them, and places in
lists in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from tenet.pipes.errors import ValidationException

#: What a path goes along: names of members, and places in lists.
Path: TypeAlias = Sequence[str | int]

_PREFIX: Final = "$."
_STEP: Final = re.compile(r"([^.\[\]$]+)((?:\[[0-9]{1,6}\])*)")


class NothingThere(Exception):
    """The record has nothing, or neither text nor number, where a path leads."""


def read_path(text: str, field: str) -> Path | None:
    """Returns the path that a parameter is; None where it is a text to be taken as it is.

    Args:
        text: the parameter.
        field: its name, for errors.

    Raises:
        ValidationException: it begins like a path and is none.
    """
    if not text.startswith("$"):
        return None
    path: list[str | int] = []
    for step in text.removeprefix(_PREFIX).split("."):
        found = _STEP.fullmatch(step)
        if found is None or not text.startswith(_PREFIX):
            raise ValidationException.of(field, f"'{text}' is no path such as $.dynamodb.Keys.Id.S")
        path.append(found[1])
        path += [int(place) for place in re.findall(r"[0-9]+", found[2])]
    return path


def follow_path(path: Path, record: dict[str, Any]) -> str:
    """Returns the text that a record has where a path leads; a number as it is written in JSON.

    Raises:
        NothingThere: there is none.
    """
    found: Any = record
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            raise NothingThere from None
    if isinstance(found, str):
        return found
    if isinstance(found, int | float) and not isinstance(found, bool):
        return str(found)
    raise NothingThere
