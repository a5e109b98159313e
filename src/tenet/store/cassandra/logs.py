"""Logs: what readers get of them, and when it goes; ``sequencer`` says how entries come there.

The log of a shard is cut into ``segments``. What every reader has read is let go: positions first, then the segments in
which there are only such, and a mark of its own says up to where these are gone, so that whoever comes next goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from tenet.store.cassandra.idle import IdlePointers
from tenet.store.cassandra.outboxes import Outboxes
from tenet.store.cassandra.rows import PLACE_BYTES, decode_entry
from tenet.store.cassandra.schema import above_us, equal
from tenet.store.cassandra.segments import SEGMENTS_DROPPED, first_of, following, last_of, segment_of, segments_gone
from tenet.store.cassandra.sequencer import Sequencer
from tenet.store.cassandra.tries import Unsure
from tenet.store.contract import CommitId, LogEntry, LogPage, Version
from tenet.store.errors import LogTrimmed
from tenet.store.versions import version_ms

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.partitions import Partitions
    from tenet.store.cassandra.spaces import Space

#: How many entries are read at first, of which nobody knows how large they are, and of how many bytes about from then
#: on; a page ends with the entry that makes it as large.
_PORTION: Final = 64
_PORTION_BYTES: Final = 1024 * 1024
#: How many entries a look for the first one that must be kept reads at a time at the most, and how often it reads: what
#: it has found by then goes, and the rest the next time.
_TRIM_ENTRIES: Final = 2_000
_TRIM_PORTIONS: Final = 8
#: How many segments one call drops at most.
_DROPPED_MAX: Final = 64


class Logs:
    """The logs of all spaces.

    Args:
        driver: the cluster.
        locks: resolves what is met.
        partitions: told what is seen of partitions.
        clock: time.
    """

    def __init__(self, driver: Driver, locks: Locks, partitions: Partitions, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        outboxes = Outboxes(driver, locks)
        self._pointers = IdlePointers(driver, locks, outboxes, partitions, clock)
        self._sequencer = Sequencer(driver, outboxes, self._pointers, clock)

    async def sequence(self, space: Space, shard: int, deadline: float) -> int:
        """Moves what is in the outboxes of a shard into its log; see ``Sequencer.sequence``."""
        return await self._sequencer.sequence(space, shard, deadline)

    async def is_quiet(self) -> None:
        """Waits until nothing goes on in the background."""
        await self._pointers.is_quiet()

    async def close(self) -> None:
        """Ends what goes on in the background."""
        await self._pointers.close()

    # ---- readers -----------------------------------------------------------------------------------------------------

    async def read(
        self,
        space: Space,
        shard: int,
        *,
        after: int,
        limit: int,
        reader: str | None,
        deadline: float,
        fresh: Callable[[], Awaitable[Space]],
    ) -> LogPage:
        """Returns entries of a shard; see ``Store.read_log``.

        Args:
            space: as it is known here.
            shard: of its log.
            after: as there, and the others.
            limit: the same.
            reader: the same.
            deadline: the same.
            fresh: returns the space as it is; asked before something goes that somebody may just have asked to keep.
        """
        segment, trimmed, read_up_to = await self._head(space, shard, deadline)
        if reader is not None and after > read_up_to.get(reader, 0):
            await self._say_read(space, shard, reader, before=read_up_to.get(reader), after=after, deadline=deadline)
            read_up_to = {**read_up_to, reader: after}
        closed = await self._closed(space, shard, segment, deadline)
        may_go = await self._old_enough(space, shard, trimmed, _read_by_all(space, read_up_to, closed), deadline)
        if may_go > trimmed:
            now = await fresh()
            if now is not space:
                may_go = await self._old_enough(now, shard, trimmed, _read_by_all(now, read_up_to, closed), deadline)
        trimmed = await self._let_go(
            space, shard, trimmed, read_up_to.get(SEGMENTS_DROPPED), may_go=may_go, deadline=deadline
        )
        return await self._page(space, shard, deadline, after=after, limit=limit, trimmed=trimmed, closed=closed)

    async def look(self, space: Space, shard: int, *, after: int, limit: int, deadline: float) -> LogPage:
        """Returns entries of a shard as its log stands, and whether more is on its way; changes nothing in it.

        The outboxes are looked into first: what has left them by then is in the log that is read behind it. It costs a
        read of the pointers, two of each partition that they lead to, and three of the log.
        """
        oldest, firsts = await self._sequencer.arriving(space, shard, deadline)
        segment, trimmed, _ = await self._head(space, shard, deadline)
        closed = await self._closed(space, shard, segment, deadline)
        page = await self._page(space, shard, deadline, after=after, limit=limit, trimmed=trimmed, closed=closed)
        waits = None if oldest is None else CommitId(decode_entry(oldest.data).commit_id)
        arriving = {entry.partition: Version(entry.version) for entry in (decode_entry(one.data) for one in firsts)}
        return LogPage(page.entries, page.closed, page.first, waits, arriving)

    async def _page(
        self, space: Space, shard: int, deadline: float, *, after: int, limit: int, trimmed: int, closed: int
    ) -> LogPage:
        """Returns entries between `after` and `closed`."""
        first = trimmed + 1
        if after < trimmed:
            raise LogTrimmed(f"the log of {space.name} begins at position {first}, behind {after}", first=first)
        entries: list[LogEntry] = []
        at, size = after, 0
        while at < closed and len(entries) < limit and size < _PORTION_BYTES:
            wanted = min(limit - len(entries), _portion(len(entries), size))
            rows = await self._entries(space, shard, at, wanted, deadline)
            entries += [_entry(position, data) for position, data, _ in rows if position <= closed]
            size += sum(len(data) for _, data, _ in rows)
            at = rows[-1][0] if len(rows) == wanted else last_of(segment_of(at + 1))
        return LogPage(entries, closed, first)

    async def _head(self, space: Space, shard: int, deadline: float) -> tuple[int, int, dict[str, int]]:
        """Returns the newest segment, the last position that was trimmed, and what the readers have read."""
        rows = await self._driver.select(space.log_statements.head, (space.log_id, shard), deadline=deadline)
        if not rows:
            return 0, 0, {}
        segment, _, trimmed = rows[0][:3]
        return segment or 0, trimmed or 0, {row[3]: row[4] or 0 for row in rows if row[3] is not None}

    async def _closed(self, space: Space, shard: int, segment: int, deadline: float) -> int:
        rows = await self._driver.select(
            space.log_statements.get_segment, (space.log_id, shard, segment), deadline=deadline
        )
        return following(segment, rows[0][0] if rows else None) - 1

    async def _entries(
        self, space: Space, shard: int, after: int, limit: int, deadline: float
    ) -> list[tuple[int, bytes, int]]:
        """Returns entries (position, bytes, next position) of the segment that the position behind `after` lies in."""
        values = (space.log_id, shard, segment_of(after + 1), after, limit)
        return await self._driver.select(space.log_statements.entries, values, deadline=deadline)

    # ---- trimming ----------------------------------------------------------------------------------------------------

    async def _say_read(
        self, space: Space, shard: int, reader: str, *, before: int | None, after: int, deadline: float
    ) -> bool:
        """Writes what a reader has read; returns whether it is known to stand there."""
        condition, wanted = equal("up_to", before)
        text = f"{space.log_statements.has_read}IF {condition}"
        values = [after, space.log_id, shard, reader, *wanted]
        try:
            return await self._driver.decide([(text, values)], deadline=deadline) is None
        except Unsure:
            return False  # The reader will say it again.

    async def _let_go(
        self, space: Space, shard: int, trimmed: int, dropped: int | None, *, may_go: int, deadline: float
    ) -> int:
        """Lets go of what may go; returns the last position that is gone.

        The mark of what was dropped moves last, and stands before anything is trimmed that is to be dropped: whoever
        ends in between leaves no segment that nobody knows of. Where a version before this one has trimmed and written
        no mark, it begins at what was trimmed.
        """
        if dropped is None:
            if not segments_gone(trimmed, may_go):
                return await self._trim(space, shard, trimmed, may_go, deadline)
            stands = await self._say_read(space, shard, SEGMENTS_DROPPED, before=None, after=trimmed, deadline=deadline)
            if not stands:
                return trimmed
            dropped = trimmed
        trimmed = await self._trim(space, shard, trimmed, may_go, deadline)
        await self._drop(space, shard, dropped, trimmed, deadline)
        return trimmed

    async def _trim(self, space: Space, shard: int, trimmed: int, may_go: int, deadline: float) -> int:
        """Moves the mark of what is gone; returns where it stands as far as is known."""
        if may_go <= trimmed:
            return trimmed
        condition, wanted = equal("trimmed", trimmed or None)
        text = f"{space.log_statements.trim}IF {condition}"
        try:
            refused = await self._driver.decide([(text, [may_go, space.log_id, shard, *wanted])], deadline=deadline)
        except Unsure:
            return trimmed
        return trimmed if refused is not None else may_go

    async def _drop(self, space: Space, shard: int, dropped: int, trimmed: int, deadline: float) -> None:
        """Drops segments in which everything is gone, and then says so."""
        gone = segments_gone(dropped, trimmed)[:_DROPPED_MAX]
        if not gone:
            return
        for number in gone:
            values = [above_us(self._clock), space.log_id, shard, number]
            await self._driver.write([(space.log_statements.drop_segment, values)], deadline=deadline)
        after = min(trimmed, first_of(gone[-1] + 1))
        await self._say_read(space, shard, SEGMENTS_DROPPED, before=dropped, after=after, deadline=deadline)

    async def _old_enough(self, space: Space, shard: int, trimmed: int, may_go: int, deadline: float) -> int:
        """Returns the last position up to which every entry may go, and is older than the retention."""
        if may_go <= trimmed or space.log is None:
            return trimmed
        if not space.log.retention_ms:
            return may_go
        limit_ms = self._clock.wall_ms() - space.log.retention_ms
        last = trimmed
        wanted = 1  # The first one tells most of the time that nothing may go.
        for _ in range(_TRIM_PORTIONS):
            if last >= may_go:
                break
            number = segment_of(last + 1)
            rows = await self._entries(space, shard, last, wanted, deadline)
            for position, data, _ in rows:
                if position > may_go or version_ms(_entry(position, data).version) > limit_ms:
                    return last
                last = position
            if len(rows) < wanted:
                last = min(may_go, last_of(number))
            wanted = min(_TRIM_ENTRIES, _portion(len(rows), sum(len(data) for _, data, _ in rows)))
        return last


def _portion(count: int, size: int) -> int:
    """Returns how many entries to read next, of which so many before had so many bytes."""
    return max(1, (_PORTION_BYTES * count) // size) if size else _PORTION


def _entry(position: int, data: bytes) -> LogEntry:
    entry = decode_entry(data[PLACE_BYTES:])
    return LogEntry(
        position,
        CommitId(entry.commit_id),
        Version(entry.version),
        entry.partition,
        entry.sort,
        entry.old,
        entry.new,
        entry.origin,
    )


def _read_by_all(space: Space, read_up_to: Mapping[str, int], closed: int) -> int:
    """Returns the last position that all readers of a log have read; the last there is, where it has none."""
    readers = space.log.readers if space.log is not None else ()
    return min((closed, *(read_up_to.get(one, 0) for one in readers)))
