"""Patterns of policies: ``*`` stands for any characters, ``?`` for one."""

from __future__ import annotations

import re
from functools import lru_cache


def matches(pattern: str, text: str) -> bool:
    """Whether a text as a whole matches a pattern.

    What stands between two stars is looked for from where the part before it ended. The first place will do, since a
    star takes whatever lies between.

    Args:
        pattern: of any length.
        text: of any length.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return len(text) == len(first) and _place(first, text, 0) == 0
    last = rest.pop()
    end = len(text) - len(last)
    if end < len(first) or _place(first, text[: len(first)], 0) != 0 or _place(last, text[end:], 0) != 0:
        return False
    at = len(first)
    for part in rest:
        if part:
            found = _place(part, text[:end], at)
            if found < 0:
                return False
            at = found + len(part)
    return True


def _place(part: str, text: str, start: int) -> int:
    """Returns where a part without stars is found first in a text, from a place on; -1: nowhere."""
    if "?" not in part:
        return text.find(part, start)
    found = _expression(part).search(text, start)
    return -1 if found is None else found.start()


@lru_cache(maxsize=1_000)
def _expression(part: str) -> re.Pattern[str]:
    return re.compile(re.escape(part).replace(r"\?", "."), re.DOTALL)
