"""Options that several benchmarks have."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


class Names:
    """Reads a list with commas of known names.

    Args:
        what: what they are called, in the plural.
        known: the names.
        or_none: whether ``none`` stands for an empty list.
    """

    def __init__(self, what: str, known: Sequence[str], *, or_none: bool = False) -> None:
        self._what = what
        self._known = known
        self._or_none = or_none

    def __call__(self, text: str) -> tuple[str, ...]:
        if self._or_none and text == "none":
            return ()
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in self._known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the {self._what} are {', '.join(self._known)}")
        return names
