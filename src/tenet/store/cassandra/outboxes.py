"""Outboxes: the log entries of a partition that are on their way into the log of its shard.

They are read again and again, and entries are taken out of them all the time, so two things keep a look short. What was
moved is deleted as one range that begins where the outbox does, at the timestamp of the last entry in it, so that each
contains all that were deleted before and one is left. And whoever has looked remembers up to which place it has moved,
and as of which hybrid time it has seen everything: as long as that time stands, nothing was added.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.spaces import Space

#: How many outboxes are read or cleared at the same time.
SIDE_BY_SIDE: Final = 16
#: How many entries one read asks for: first, and at most; and how many bytes they are to have about.
_ROWS_FIRST: Final = 16
_ROWS_MAX: Final = 128
_ROWS_GROWTH: Final = 4
_READ_BYTES: Final = 2 * 1024 * 1024
#: Behind every place in an outbox, after the id of its log.
_BEHIND: Final = b"\xff" * 13


class Waiting:
    """An entry in an outbox.

    Args:
        key: the partition key of the table.
        place: where it stands in the outbox.
        data: the entry.
        written_us: the timestamp that it was written with.
    """

    __slots__ = ("data", "key", "place", "written_us")

    def __init__(self, key: bytes, place: bytes, data: bytes, written_us: int) -> None:
        self.key = key
        self.place = place
        self.data = data
        self.written_us = written_us


class Known:
    """What this process knows of an outbox, as long as it moves all that it sees there.

    Args:
        rows: how many entries the next read asks for.
        is_busy: whether there is likely to be one.
    """

    __slots__ = ("found", "is_busy", "moved", "rows", "seen_at")

    def __init__(self, rows: int = _ROWS_FIRST, *, is_busy: bool = True) -> None:
        #: The place of the last entry that was seen; empty for none.
        self.moved = b""
        #: The hybrid time of the partition as of which every entry was seen; None where that is not known.
        self.seen_at: int | None = None
        #: Whether the last look found entries, and whether the next one may: the first, or behind two that did.
        self.found = False
        self.is_busy = is_busy
        self.rows = rows


class Outboxes:
    """Reads outboxes and takes entries out of them.

    Args:
        driver: the cluster.
        locks: resolves what is met.
    """

    def __init__(self, driver: Driver, locks: Locks) -> None:
        self._driver = driver
        self._locks = locks

    async def look(self, space: Space, key: bytes, known: Known, deadline: float) -> tuple[list[Waiting], bool]:
        """Returns entries that were not seen before, in order, and whether there may be more.

        Nothing is left out whose commit was answered before the call: the lock of a commit over several partitions
        that was decided, and is not carried out here yet, is resolved first. One read where it is known to be busy and
        is, one without Paxos where nothing was added since all of it was seen, else both, and three where it ceases to
        be busy without that.

        Args:
            space: the space.
            key: the partition key of the table.
            known: what is known of the outbox; brought up to date.
            deadline: when to give up.
        """
        if known.is_busy:
            rows = await self._rows(space, key, known, deadline)
            if rows and not await self._is_resolved(space, key, rows[0][3], deadline):
                return self._seen(key, known, rows)
            if rows:
                return self._seen(key, known, await self._rows(space, key, known, deadline))
            known.is_busy = known.found = False
        # Of an empty outbox a read tells nothing about its partition. A quorum shows the time and the lock of every
        # commit that was answered; one that is on its way may be told of by the next look.
        head = await self._driver.select(space.statements.get_header, (key,), deadline=deadline, is_serial=False)
        time, lock = head[0][:2] if head else (None, None)
        if await self._is_resolved(space, key, lock, deadline):
            return self._seen(key, known, await self._rows(space, key, known, deadline))
        if time is not None and time == known.seen_at:
            known.found = False
            return [], False
        # Also where the outbox was empty just now: what was decided before may have been carried out since.
        rows = await self._rows(space, key, known, deadline)
        # As of a time before: of what came between this tells the next look.
        known.seen_at = time
        return self._seen(key, known, rows)

    async def _is_resolved(self, space: Space, key: bytes, lock: bytes | None, deadline: float) -> bool:
        """Returns whether there was the lock of a commit that is decided, which is carried out now.

        A lock that comes after it is of a commit which was not answered before.
        """
        return lock is not None and not await self._locks.is_pending(space.space_id, key, lock, deadline)

    async def _rows(self, space: Space, key: bytes, known: Known, deadline: float) -> list[tuple[Any, ...]]:
        return await self._read(space, key, known.moved, known.rows, deadline)

    async def _read(self, space: Space, key: bytes, after: bytes, limit: int, deadline: float) -> list[tuple[Any, ...]]:
        values = (key, after + b"\x00" if after else space.log_id, space.log_id + _BEHIND, limit)
        return await self._driver.select(space.statements.get_outbox, values, deadline=deadline)

    @staticmethod
    def _seen(key: bytes, known: Known, rows: Sequence[tuple[Any, ...]]) -> tuple[list[Waiting], bool]:
        is_more = len(rows) == known.rows
        known.is_busy = bool(rows) and (is_more or known.found)
        known.found = bool(rows)
        if not rows:
            return [], False
        known.moved = rows[-1][0]
        known.seen_at = None if is_more else rows[-1][2]
        mean_bytes = sum(len(row[1]) for row in rows) // len(rows) + 1
        known.rows = max(1, min(_READ_BYTES // mean_bytes, _ROWS_GROWTH * known.rows, _ROWS_MAX))
        return [Waiting(key, row[0], row[1], row[5]) for row in rows], is_more

    async def is_empty(self, space: Space, key: bytes, deadline: float) -> bool:
        """Returns whether there is no entry as of a time that was read by Paxos before, also none that is in the log.

        By a quorum, which repairs what one replica alone has of a deletion; a read by Paxos passes that on as it is.
        """
        values = (key, space.log_id, space.log_id + _BEHIND, 1)
        return not await self._driver.select(space.statements.get_outbox, values, deadline=deadline, is_serial=False)

    async def first_of(self, space: Space, key: bytes, deadline: float) -> tuple[list[Waiting], bool]:
        """Returns the first entries, whether they were seen before or not, and whether there may be more."""
        rows = await self._read(space, key, b"", _ROWS_FIRST, deadline)
        return [Waiting(key, row[0], row[1], row[5]) for row in rows], len(rows) == _ROWS_FIRST

    async def clear(self, space: Space, done: Sequence[Waiting], deadline: float) -> None:
        """Takes entries out of their outboxes: of each one its first ones; nothing that was written there since goes.

        Entries stand in the order of their commits, and so do their timestamps.
        """
        last: dict[bytes, Waiting] = {}
        for one in done:
            if one.key not in last or last[one.key].place < one.place:
                last[one.key] = one
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def clear(one: Waiting) -> None:
            async with gate:
                values = [one.written_us, one.key, space.log_id, one.place + b"\x00"]
                await self._driver.write([(space.statements.outbox_moved, values)], deadline=deadline)

        await asyncio.gather(*map(clear, last.values()))
