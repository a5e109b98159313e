"""How often a test does what it does: little in every run, in full with ``make test-long``."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

#: Whether the full rounds run.
LONG = os.environ.get("TENET_TEST_LONG") == "1"


def rounds(short: T, long: T) -> T:
    """Returns `long` where the full rounds run, else `short`."""
    return long if LONG else short
