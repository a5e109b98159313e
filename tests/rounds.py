"""How often a test does what it does: least in `make check`, little in `make test`, in full in `make test-long`."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

#: Whether the full rounds run (``make test-long``).
LONG = os.environ.get("TENET_TEST_LONG") == "1"
#: Whether the quick part runs (``make check``), with fewer random examples, and without tests that are thorough.
BRIEF = os.environ.get("TENET_TEST_BRIEF") == "1"
#: Examples of a test that does not say how many it takes.
EXAMPLES, EXAMPLES_LONG = 100, 1_000
#: One of so many examples is tried in the quick part, and never less than some.
BRIEF_SHARE, BRIEF_MIN = 4, 10


def rounds(short: T, long: T) -> T:
    """Returns `long` where the full rounds run, else `short`."""
    return long if LONG else short


def examples(number: int, *, is_brief: bool = BRIEF) -> int:
    """Returns how many random examples a test tries: `number`, or a share of it in the quick part."""
    return min(number, max(number // BRIEF_SHARE, BRIEF_MIN)) if is_brief else number
