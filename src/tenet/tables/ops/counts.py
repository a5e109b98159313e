"""How many items tables and indexes hold, and how large they are; writes pay nothing for it.

A table with at most ``LIVE_RECORDS`` records, evenly spread over its own space and those of its global indexes, is
counted when it is asked for, and the answer is exact. What is larger is counted in the background once somebody has
asked, and again when somebody asks ``REST_S`` later; the background takes at most one part in ``DUTY`` of the time. A
figure so is at most as old as ``REST_S`` and ``DUTY`` times what reading the table through takes, counted from the
second question on; the first is answered with what could be counted at once, a lower bound. (The service itself
promises six hours.)
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.clock import NEVER
from tenet.base.errors import TenetError
from tenet.store.contract import EVERYTHING
from tenet.store.errors import SpaceNotFound
from tenet.tables import keys
from tenet.tables.rules.description import Count
from tenet.tables.rules.stored import size_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.base.clock import Clock
    from tenet.store.contract import Range, Record, Store
    from tenet.tables.model import Index, Table

#: How many records are counted while the caller waits, over all spaces of a table.
LIVE_RECORDS: Final = 2_000
#: How many are read at a time in the background.
PAGE_RECORDS: Final = 500
#: How long a count from the background is good, in seconds.
REST_S: Final = 60.0
#: The background works one part in so many of the time.
DUTY: Final = 20
#: How many tables' counts are kept.
KEPT_MAX: Final = 10_000

_log = structlog.get_logger(__name__)


class _Tally:
    """Counts records as they are read."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._items: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        self._local = {index.number: index.name for index in table.local_indexes}

    def add(self, record: Record, index: Index | None) -> None:
        """Counts a record of the table's own space, or of a global index's."""
        if index is not None:
            name: str | None = index.name
        else:
            number = keys.local_index_number(record.sort)
            name = "" if number is None else self._local.get(number)
        if name is not None:
            self._items[name] = self._items.get(name, 0) + 1
            self._bytes[name] = self._bytes.get(name, 0) + size_of(record.value)

    def result(self) -> Mapping[str, Count]:
        """Returns what was counted, by index name; the table's under ""."""
        return {name: Count(items, self._bytes[name]) for name, items in self._items.items()}


class Counts:
    """Counts what tables hold.

    Args:
        store: where the items are.
        clock: for the age of counts.
    """

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[Mapping[str, Count], float]] = {}
        self._wanted: dict[str, Table] = {}
        self._wake = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begins to count large tables in the background."""
        self._working = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Stops counting."""
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
            self._working = None

    async def of(self, table: Table, *, deadline: float = NEVER) -> Mapping[str, Count]:
        """Returns what the table holds under "", and what its indexes hold by their name; a scan of one page per space.

        Args:
            table: one that has its spaces.
            deadline: when to give up.

        Raises:
            SpaceNotFound: the table has been deleted meanwhile.
        """
        known, counted_s = self._known.get(table.id, ({}, -NEVER))
        if known and self._clock.monotonic_s() - counted_s < REST_S:
            return known
        tally = _Tally(table)
        is_whole = True
        spaces = _spaces(table)
        for space, index in spaces:
            limit = LIVE_RECORDS // len(spaces)
            page = await self._store.scan(space, _within(index), limit=limit, deadline=deadline)
            for record in page.records:
                tally.add(record, index)
            is_whole = is_whole and not page.more
        if is_whole:
            self._known.pop(table.id, None)
            return tally.result()
        self._wanted[table.id] = table
        self._wake.set()
        return known or tally.result()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._wanted:
                table = self._wanted.pop(next(iter(self._wanted)))
                try:
                    await self._count(table)
                except SpaceNotFound:
                    _log.debug("a table was deleted while it was counted", table=table.name)
                except TenetError as error:
                    _log.info("a table was not counted", table=table.name, error=error.code, reason=error.message)

    async def _count(self, table: Table) -> None:
        tally = _Tally(table)
        for space, index in _spaces(table):
            after: tuple[bytes, bytes] | None = None
            more = True
            while more:
                begun_s = self._clock.monotonic_s()
                page = await self._store.scan(space, _within(index), limit=PAGE_RECORDS, after=after)
                for record in page.records:
                    tally.add(record, index)
                more = page.more
                after = (page.records[-1].partition, page.records[-1].sort) if page.records else None
                await asyncio.sleep((self._clock.monotonic_s() - begun_s) * (DUTY - 1))
        if len(self._known) >= KEPT_MAX:
            self._known.clear()
        self._known[table.id] = (tally.result(), self._clock.monotonic_s())


def _spaces(table: Table) -> list[tuple[str, Index | None]]:
    return [
        (keys.table_space(table.id), None),
        *((keys.index_space(table.id, index.number), index) for index in table.global_indexes),
    ]


def _within(index: Index | None) -> Range:
    """Returns which records of a space are counted: of a table's own, items and local entries."""
    return EVERYTHING if index is None else keys.everything_of(index)
