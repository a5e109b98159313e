"""What is counted while placement serves, in plain integers; ``ops/measures.py`` puts it on the page of metrics.

It begins before the service is open, and stays where it is opened anew.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final

from tenet.placement.errors import ClaimRefused, PlacementError
from tenet.placement.rules.refusals import reason_of, shortages

#: Upper bounds of the buckets of tries; after the last one a write is given up.
TRIES_BOUNDS: Final = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 49.0)
#: What clients can name without end is counted under one name beyond so many.
SHORTAGES_MAX: Final = 200
OTHER: Final = "other"
_METHODS: Final = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"})
#: Which operations claim, by the name of the call, and what it is called where they have done so.
_CALLS: Final[Mapping[str, str]] = {
    "make_claim": "claims",
    "put_allocations": "allocations",
    "post_allocations": "allocations",
}
_RESULTS: Final[Mapping[int, str]] = {201: "claimed", 200: "repeated", 204: "written"}


class Tally:
    """How many took how many tries."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(TRIES_BOUNDS) + 1)
        self.total = 0

    def count(self, tries: int) -> None:
        """Counts one that took so many, 1 and more."""
        self.buckets[bisect_left(TRIES_BOUNDS, tries)] += 1
        self.total += tries


class Counts:
    """Counts requests, refusals, claims and tries."""

    def __init__(self) -> None:
        #: Answers by method, form of the path, and status.
        self.requests: dict[tuple[str, ...], int] = {}
        #: Refusals by reason.
        self.refusals: dict[tuple[str, ...], int] = {}
        #: Claims by call and result.
        self.claims: dict[tuple[str, ...], int] = {}
        #: Claims that found no place, by kind and name of what was missing.
        self.shortages: dict[tuple[str, ...], int] = {}
        self.write_tries = Tally()
        self.claim_choices = Tally()

    def note(self, method: str, route: str, status: int) -> None:
        """Counts an answer.

        Args:
            method: of the request; one that is none of HTTP's is counted as another.
            route: the form of its path, for instance ``/traits/{name}``, or ``OTHER`` where nothing answers it.
            status: of the answer.
        """
        _count(self.requests, (method if method in _METHODS else OTHER, route or "/", str(status)))

    def note_refused(self, operation: str, error: PlacementError) -> str:
        """Counts a refusal.

        Args:
            operation: that was refused; empty where none was found.
            error: as it is told.

        Returns:
            The reason that it is counted by.
        """
        reason = reason_of(error)
        _count(self.refusals, (reason,))
        if operation in _CALLS:
            _count(self.claims, (_CALLS[operation], reason))
        if isinstance(error, ClaimRefused) and error.why_not is not None:
            self._note_shortages(error.why_not)
        return reason

    def note_done(self, operation: str, status: int) -> None:
        """Counts what was done, where it was a claim.

        Args:
            operation: its name.
            status: of the answer.
        """
        if operation in _CALLS:
            _count(self.claims, (_CALLS[operation], _RESULTS.get(status, str(status))))

    def _note_shortages(self, why_not: Mapping[str, Any]) -> None:
        for one in shortages(why_not):
            is_told = one in self.shortages or len(self.shortages) < SHORTAGES_MAX
            _count(self.shortages, one if is_told else (OTHER, ""))


def _count(counted: dict[Any, int], name: tuple[str, ...]) -> None:
    counted[name] = counted.get(name, 0) + 1
