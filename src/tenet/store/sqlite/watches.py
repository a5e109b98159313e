"""Watches: hints, within this process, that a partition or a space was committed into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tenet.store.contract import Commit


class SpaceWatch:
    """A watch on a partition, or on a whole space.

    Args:
        watches: where it is registered.
        place: the space's name, and the partition or None.
    """

    __slots__ = ("_event", "_place", "_watches")

    def __init__(self, watches: Watches, place: tuple[str, bytes | None]) -> None:
        self._watches = watches
        self._place = place
        self._event = asyncio.Event()

    def hint(self) -> None:
        """Wakes whoever waits, or the next one to wait."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Waits for the next hint, at most `timeout_s` seconds; returns whether one came."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    def close(self) -> None:
        """Ends the watch; safe to call twice."""
        self._watches.remove(self._place, self)


class Watches:
    """All watches of an engine."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, bytes | None], set[SpaceWatch]] = {}

    def add(self, space: str, partition: bytes | None) -> SpaceWatch:
        """Begins a watch."""
        watch = SpaceWatch(self, (space, partition))
        self._at.setdefault((space, partition), set()).add(watch)
        return watch

    def remove(self, place: tuple[str, bytes | None], watch: SpaceWatch) -> None:
        """Ends a watch."""
        watches = self._at.get(place)
        if watches is not None:
            watches.discard(watch)
            if not watches:
                del self._at[place]

    @property
    def are_there(self) -> bool:
        """Whether there is any."""
        return bool(self._at)

    def hint(self, commits: Iterable[Commit]) -> None:
        """Wakes the watches of everything that these commits wrote or logged."""
        places: set[tuple[str, bytes | None]] = set()
        for commit in commits:
            for change in (*commit.writes, *commit.appends):
                places.add((change.key.space, change.key.partition))
                places.add((change.key.space, None))
        for place in places:
            for watch in self._at.get(place, ()):
                watch.hint()

    def hint_all(self) -> None:
        """Wakes every watch."""
        for watches in self._at.values():
            for watch in watches:
                watch.hint()
