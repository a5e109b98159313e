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
        # By space, then by partition; None is the whole space.
        self._at: dict[str, dict[bytes | None, set[SpaceWatch]]] = {}

    def add(self, space: str, partition: bytes | None) -> SpaceWatch:
        """Begins a watch."""
        watch = SpaceWatch(self, (space, partition))
        self._at.setdefault(space, {}).setdefault(partition, set()).add(watch)
        return watch

    def remove(self, place: tuple[str, bytes | None], watch: SpaceWatch) -> None:
        """Ends a watch."""
        space, partition = place
        of_space = self._at.get(space, {})
        watches = of_space.get(partition)
        if watches is not None:
            watches.discard(watch)
            if not watches:
                del of_space[partition]
            if not of_space:
                del self._at[space]

    @property
    def are_there(self) -> bool:
        """Whether there is any."""
        return bool(self._at)

    def hint(self, commits: Iterable[Commit]) -> None:
        """Wakes the watches of everything that these commits wrote or logged."""
        for commit in commits:
            for change in (*commit.writes, *commit.appends):
                of_space = self._at.get(change.key.space)
                # Most of what is written is in spaces that nobody watches.
                if of_space is not None:
                    for watch in (*of_space.get(None, ()), *of_space.get(change.key.partition, ())):
                        watch.hint()

    def hint_all(self) -> None:
        """Wakes every watch."""
        for of_space in self._at.values():
            for watches in of_space.values():
                for watch in watches:
                    watch.hint()
