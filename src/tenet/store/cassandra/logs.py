"""Logs: entries are moved from the outboxes of their partitions into the log of their shard, in order, each once.

A *sequencer* gives the positions. Only one at a time can, for each shard: whoever begins takes the next *token* of the
shard and writes it into the log's newest segment, and every batch into the log checks it. Entries of one partition are
moved in the order of their commits, which is that of their hybrid times, and an entry leaves its outbox only after it
is in the log; one that finds an entry in both, because another sequencer died in between, knows it by its place.

The log of a shard is cut into segments of ``SEGMENT`` positions, each a partition of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from tenet.store.cassandra.pointers import encode_pointer, epoch_of
from tenet.store.cassandra.rows import decode_entry, to_key
from tenet.store.cassandra.schema import above_us, equal
from tenet.store.cassandra.tries import Unsure
from tenet.store.contract import CommitId, LogEntry, LogPage, Version
from tenet.store.errors import LogTrimmed, StoreUnavailable
from tenet.store.versions import version_ms

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.spaces import Space

SEGMENT: Final = 8_192
#: The most entries and bytes that one batch into the log carries, and rows read from one outbox at a time.
_BATCH_ENTRIES_MAX: Final = 500
_BATCH_BYTES_MAX: Final = 6 * 1024 * 1024
#: The most entries that are ever in the log and yet in their outboxes: so many a new sequencer looks for there.
_UNCLEARED_MAX: Final = 2 * _BATCH_ENTRIES_MAX
_OUTBOX_ROWS: Final = 128
_POINTERS_MAX: Final = 1_000
_SIDE_BY_SIDE: Final = 16
#: How long an outbox is empty before its pointer is taken away, seconds.
_IDLE_S: Final = 15.0
_PLACE_BYTES: Final = 20
#: Behind every place in an outbox.
_BEHIND: Final = b"\xff" * 13
_TRIES_MAX: Final = 20
#: How often one tries to bring a shard up to date, and the pause before that, doubled each time; seconds.
_SEQUENCED_TRIES_MAX: Final = 6
_AGAIN_S: Final = 0.01
#: How many entries a look for the first one that must be kept reads at a time.
_TRIM_ENTRIES: Final = 2_000


class _Shard:
    """What this process knows of a shard that it sequences."""

    __slots__ = ("idle_since", "line", "next", "segment", "token")

    def __init__(self) -> None:
        self.line = asyncio.Lock()
        #: None until this process has taken the shard.
        self.token: int | None = None
        self.segment = 0
        self.next = 1
        self.idle_since: dict[tuple[bytes, int], float] = {}


class _Waiting:
    """An entry in an outbox."""

    __slots__ = ("data", "key", "place", "written_us")

    def __init__(self, key: bytes, place: bytes, data: bytes, written_us: int) -> None:
        self.key = key
        self.place = place
        self.data = data
        self.written_us = written_us


class _Taken(Exception):
    """Another sequencer has taken the shard."""


class Logs:
    """The logs of all spaces.

    Args:
        driver: the cluster.
        locks: resolves what is met.
        clock: time.
    """

    def __init__(self, driver: Driver, locks: Locks, clock: Clock) -> None:
        self._driver = driver
        self._locks = locks
        self._clock = clock
        self._shards: dict[tuple[bytes, int], _Shard] = {}

    # ---- readers -----------------------------------------------------------------------------------------------------

    async def read(
        self, space: Space, shard: int, *, after: int, limit: int, reader: str | None, deadline: float
    ) -> LogPage:
        """Returns entries of a shard; see ``Store.read_log``."""
        segment, trimmed, read_up_to = await self._head(space, shard, deadline)
        if reader is not None and after > read_up_to.get(reader, 0):
            await self._say_read(space, shard, reader, before=read_up_to.get(reader), after=after, deadline=deadline)
            read_up_to = {**read_up_to, reader: after}
        closed = await self._closed(space, shard, segment, deadline)
        may_go = min((read_up_to.get(one, 0) for one in _readers(space)), default=closed)
        trimmed = await self._trim(space, shard, trimmed, min(may_go, closed), deadline)
        return await self._page(space, shard, deadline, after=after, limit=limit, trimmed=trimmed, closed=closed)

    async def look(self, space: Space, shard: int, *, after: int, limit: int, deadline: float) -> LogPage:
        """Returns entries of a shard as its log stands, and whether more is on its way; writes nothing.

        The outboxes are looked into first: what has left them by then is in the log that is read behind it. It costs a
        read of the pointers, one of each outbox that they lead to, and three of the log.
        """
        oldest: _Waiting | None = None
        async for pointers in self._pointers(space, shard, deadline):
            waiting, _, _ = await self._outboxes(space, pointers, deadline, rows=1)
            if waiting and (oldest is None or waiting[0].place < oldest.place):
                oldest = waiting[0]
        segment, trimmed, _ = await self._head(space, shard, deadline)
        closed = await self._closed(space, shard, segment, deadline)
        page = await self._page(space, shard, deadline, after=after, limit=limit, trimmed=trimmed, closed=closed)
        waits = None if oldest is None else CommitId(decode_entry(oldest.data).commit_id)
        return LogPage(page.entries, page.closed, page.first, waits)

    async def _page(
        self, space: Space, shard: int, deadline: float, *, after: int, limit: int, trimmed: int, closed: int
    ) -> LogPage:
        """Returns entries between `after` and `closed`."""
        first = trimmed + 1
        if after < trimmed:
            raise LogTrimmed(f"the log of {space.name} begins at position {first}, behind {after}", first=first)
        entries: list[LogEntry] = []
        at = after
        while at < closed and len(entries) < limit:
            number = (at + 1) // SEGMENT
            rows = await self._entries(space, shard, at, limit - len(entries), deadline)
            entries += [_entry(position, data) for position, data, _ in rows if position <= closed]
            full = len(entries) == limit
            at = rows[-1][0] if rows and full else (number + 1) * SEGMENT - 1
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
        return _following(segment, rows[0][0] if rows else None) - 1

    async def _entries(
        self, space: Space, shard: int, after: int, limit: int, deadline: float
    ) -> list[tuple[int, bytes, int]]:
        """Returns entries (position, bytes, next position) of the segment that the position behind `after` lies in."""
        values = (space.log_id, shard, (after + 1) // SEGMENT, after, limit)
        return await self._driver.select(space.log_statements.entries, values, deadline=deadline)

    # ---- trimming ----------------------------------------------------------------------------------------------------

    async def _say_read(
        self, space: Space, shard: int, reader: str, *, before: int | None, after: int, deadline: float
    ) -> None:
        condition, wanted = equal("up_to", before)
        text = f"{space.log_statements.has_read}IF {condition}"
        values = [after, space.log_id, shard, reader, *wanted]
        try:
            await self._driver.decide([(text, values)], deadline=deadline)
        except Unsure:
            return  # The reader will say it again.

    async def _trim(self, space: Space, shard: int, trimmed: int, may_go: int, deadline: float) -> int:
        """Lets go of what every reader has read and is old enough; returns the last position that is gone."""
        if may_go <= trimmed or space.log is None:
            return trimmed
        if space.log.retention_ms:
            may_go = await self._old_enough(space, shard, trimmed, may_go, deadline)
        if may_go <= trimmed:
            return trimmed
        condition, wanted = equal("trimmed", trimmed or None)
        text = f"{space.log_statements.trim}IF {condition}"
        try:
            refused = await self._driver.decide([(text, [may_go, space.log_id, shard, *wanted])], deadline=deadline)
        except Unsure:
            return trimmed
        if refused is not None:
            return trimmed
        gone = [
            (space.log_statements.drop_segment, [above_us(self._clock), space.log_id, shard, number])
            for number in _segments_gone(trimmed, may_go)
        ]
        for one in gone:
            await self._driver.write([one], deadline=deadline)
        return may_go

    async def _old_enough(self, space: Space, shard: int, trimmed: int, may_go: int, deadline: float) -> int:
        """Returns the last position up to which every entry is older than the retention."""
        limit_ms = self._clock.wall_ms() - (space.log.retention_ms if space.log is not None else 0)
        last = trimmed
        while last < may_go:
            number = (last + 1) // SEGMENT
            rows = await self._entries(space, shard, last, _TRIM_ENTRIES, deadline)
            for position, data, _ in rows:
                if position > may_go or version_ms(_entry(position, data).version) > limit_ms:
                    return last
                last = position
            if len(rows) < _TRIM_ENTRIES:
                last = min(may_go, (number + 1) * SEGMENT - 1)
        return last

    # ---- the sequencer -----------------------------------------------------------------------------------------------

    async def sequence(self, space: Space, shard: int, deadline: float) -> int:
        """Moves what is in the outboxes of a shard into its log; returns how many entries it moved.

        When it returns, every entry is in the log whose commit was answered before it was called.

        Raises:
            StoreUnavailable: it could not; what was moved is moved.
        """
        state = self._shards.setdefault((space.log_id, shard), _Shard())
        for attempt in range(_SEQUENCED_TRIES_MAX):
            if attempt:
                await asyncio.sleep(_AGAIN_S * 2**attempt)
            moved = await self._sequence_once(space, shard, state, deadline)
            if moved is not None:
                return moved
        raise StoreUnavailable(f"the log of {space.name} could not be brought up to date: others are at it")

    async def _sequence_once(self, space: Space, shard: int, state: _Shard, deadline: float) -> int | None:
        """Returns how many entries it moved, or None where it does not know, or the shard became somebody else's."""
        async with state.line:
            try:
                return await self._sequence(space, shard, state, deadline)
            except (_Taken, Unsure):
                state.token = None
                return None
            except BaseException:
                # What was under way may have taken effect or not: it is found out by taking the shard again.
                state.token = None
                raise

    async def _sequence(self, space: Space, shard: int, state: _Shard, deadline: float) -> int:
        moved = 0
        idle: list[tuple[bytes, int]] = []
        async for pointers in self._pointers(space, shard, deadline):
            while True:
                waiting, empty, is_more = await self._outboxes(space, pointers, deadline)
                if waiting and state.token is None:
                    # And then look again: some of it may have been moved while the shard was somebody else's.
                    await self._take(space, shard, state, deadline)
                    continue
                batch = waiting[:_UNCLEARED_MAX]
                await self._append(space, shard, state, batch, deadline)
                await self._clear(space, batch, deadline)
                moved += len(batch)
                if not is_more and len(batch) == len(waiting):
                    break
            idle += empty
        await self._forget_idle(space, shard, state, idle, deadline)
        return moved

    async def _pointers(self, space: Space, shard: int, deadline: float) -> AsyncIterator[Sequence[tuple[bytes, int]]]:
        """Gives the pointers of a shard, some at a time."""
        last: tuple[bytes, int] = (b"", 0)
        while True:
            values = (space.log_id, shard, *last, _POINTERS_MAX)
            found = await self._driver.select(space.log_statements.pointers, values, deadline=deadline, is_serial=False)
            if found:
                yield [(key, epoch) for key, epoch in found]
            if len(found) < _POINTERS_MAX:
                return
            last = found[-1][0], found[-1][1]

    async def _outboxes(
        self, space: Space, pointers: Sequence[tuple[bytes, int]], deadline: float, rows: int = _OUTBOX_ROWS
    ) -> tuple[list[_Waiting], list[tuple[bytes, int]], bool]:
        """Reads outboxes; returns what is in them in the order of commits, empty ones, and whether there is more.

        Of each it reads the first so many `rows`.
        """
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def read(key: bytes) -> list[tuple[Any, ...]]:
            async with gate:
                values = (key, space.log_id, space.log_id + _BEHIND, rows)
                return await self._driver.select(space.statements.get_outbox, values, deadline=deadline)

        keys = list(dict.fromkeys(key for key, _ in pointers))
        found = dict(zip(keys, await asyncio.gather(*map(read, keys)), strict=True))
        waiting = [_Waiting(key, row[0], row[1], row[5]) for key, some in found.items() for row in some]
        waiting.sort(key=lambda one: (one.place, one.key))
        empty = [(key, epoch) for key, epoch in pointers if not found[key]]
        return waiting, empty, any(len(some) == rows for some in found.values())

    async def _take(self, space: Space, shard: int, state: _Shard, deadline: float) -> None:
        """Takes the shard: from here on no other sequencer can write into its log until it takes it back."""
        statements = space.log_statements
        rows = await self._driver.select(statements.head, (space.log_id, shard), deadline=deadline)
        before = rows[0][1] if rows else None
        token = (before or 0) + 1
        condition, wanted = equal("tk", before)
        take = (f"{statements.take}IF {condition}", [token, space.log_id, shard, *wanted])
        if await self._driver.decide([take], deadline=deadline) is not None:
            raise _Taken
        # What stood in the head before the token did may be older than the segment that was opened in between.
        segment, _, _ = await self._head(space, shard, deadline)
        following = await self._fence(space, shard, segment, token, deadline)
        await self._clear_after_another(space, shard, following, deadline)
        state.segment, state.next, state.token = segment, following, token

    async def _clear_after_another(self, space: Space, shard: int, following: int, deadline: float) -> None:
        """Takes out of the outboxes what the sequencer before has moved and did not come to take out any more."""
        moved = await self._lately_moved(space, shard, following, deadline)
        if not moved:
            return
        async for pointers in self._pointers(space, shard, deadline):
            while True:
                waiting, _, is_more = await self._outboxes(space, pointers, deadline)
                known = [one for one in waiting if (one.key, one.place) in moved]
                await self._clear(space, known, deadline)
                if not known or not is_more:
                    break

    async def _fence(self, space: Space, shard: int, segment: int, token: int, deadline: float) -> int:
        """Writes the token into a segment; returns the next position there."""
        statements = space.log_statements
        for _ in range(_TRIES_MAX):
            rows = await self._driver.select(statements.get_segment, (space.log_id, shard, segment), deadline=deadline)
            following, before = rows[0] if rows else (None, None)
            if before is not None and before > token:
                raise _Taken
            if before == token:
                return _following(segment, following)
            condition, wanted = equal("tk", before)
            fence = (f"{statements.fence}IF {condition}", [token, space.log_id, shard, segment, *wanted])
            try:
                await self._driver.decide([fence], deadline=deadline)
            except Unsure:
                continue
        raise StoreUnavailable("too many processes want to sequence one shard of a log")

    async def _lately_moved(
        self, space: Space, shard: int, following: int, deadline: float
    ) -> set[tuple[bytes, bytes]]:
        """Returns the entries that the sequencer before may not have taken out of their outboxes any more."""
        found = set()
        after = max(0, following - 1 - _UNCLEARED_MAX)
        while after < following - 1:
            for _, data, _ in await self._entries(space, shard, after, SEGMENT, deadline):
                found.add((to_key(decode_entry(data[_PLACE_BYTES:]).partition), data[:_PLACE_BYTES]))
            after = ((after + 1) // SEGMENT + 1) * SEGMENT - 1
        return found

    async def _append(
        self, space: Space, shard: int, state: _Shard, waiting: Sequence[_Waiting], deadline: float
    ) -> None:
        """Writes entries into the log, in batches."""
        done = 0
        while done < len(waiting):
            room = (state.segment + 1) * SEGMENT - state.next
            if room <= 0:
                await self._open_next(space, shard, state, deadline)
                continue
            batch = _batch_of(waiting[done:], min(room, _BATCH_ENTRIES_MAX))
            await self._append_batch(space, shard, state, batch, deadline)
            done += len(batch)

    async def _append_batch(
        self, space: Space, shard: int, state: _Shard, batch: Sequence[_Waiting], deadline: float
    ) -> None:
        statements, first, token = space.log_statements, state.next, state.token
        following = first + len(batch)
        condition, wanted = equal("nx", None if first == _first_of(state.segment) else first)
        values = [following, space.log_id, shard, state.segment, *wanted, token]
        bound: list[tuple[str, Sequence[Any]]] = [(f"{statements.next}IF {condition} AND tk = ?", values)]
        bound += [
            (statements.entry, [one.place + one.data, space.log_id, shard, state.segment, first + at])
            for at, one in enumerate(batch)
        ]
        for _ in range(_TRIES_MAX):
            try:
                shown = await self._driver.decide(bound, deadline=deadline)
            except Unsure:
                continue
            # Refused by what an unanswered one of the same batch has left: nobody else has this token.
            if shown is not None and (shown[0].get("tk"), shown[0].get("nx")) != (token, following):
                raise _Taken
            state.next = following
            return
        raise Unsure

    async def _open_next(self, space: Space, shard: int, state: _Shard, deadline: float) -> None:
        text = space.log_statements.open_segment + "IF tk = ?"
        if (
            await self._driver.decide(
                [(text, [state.segment + 1, space.log_id, shard, state.token])], deadline=deadline
            )
            is not None
        ):
            raise _Taken
        assert state.token is not None
        state.segment += 1
        state.next = await self._fence(space, shard, state.segment, state.token, deadline)

    async def _clear(self, space: Space, done: Sequence[_Waiting], deadline: float) -> None:
        """Takes entries that are in the log out of their outboxes, and nothing that was written there since."""
        by_key: dict[bytes, list[_Waiting]] = {}
        for one in done:
            by_key.setdefault(one.key, []).append(one)
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def clear(key: bytes, some: Sequence[_Waiting]) -> None:
            async with gate:
                bound = [(space.statements.outbox_done, [one.written_us, key, one.place]) for one in some]
                await self._driver.write(bound, deadline=deadline)

        await asyncio.gather(*(clear(key, some) for key, some in by_key.items()))

    async def _forget_idle(
        self, space: Space, shard: int, state: _Shard, empty: Sequence[tuple[bytes, int]], deadline: float
    ) -> None:
        """Takes away the pointers of partitions whose outboxes have been empty for a while."""
        now = self._clock.monotonic_s()
        state.idle_since = {one: state.idle_since.get(one, now) for one in empty}
        for (key, epoch), since in list(state.idle_since.items()):
            if now - since >= _IDLE_S:
                await self._unpoint(space, shard, key, epoch, deadline)
                del state.idle_since[key, epoch]

    async def _unpoint(self, space: Space, shard: int, key: bytes, epoch: int, deadline: float) -> None:
        """Takes a pointer away, after no commit can rely on it any more."""
        statements = space.statements
        rows = await self._driver.select(statements.get_epoch, (key,), deadline=deadline)
        time, lock, stands = rows[0] if rows else (None, None, None)
        if lock is not None:
            # Nobody else may come to this partition, and entries may be in what is intended.
            await self._locks.is_pending(space.space_id, key, lock, deadline)
            return
        # Also where no commit has relied on the pointer yet: one may have written it and be about to.
        if abs(epoch_of(space.log_id, stands)) <= epoch:
            at_time, times = equal("h", time)
            as_it_stands, pointers = equal("pe", stands)
            text = f"{statements.unpoint}{at_time} AND {as_it_stands}"
            values = [encode_pointer(space.log_id, -(epoch + 1)), key, *times, *pointers]
            try:
                if await self._driver.decide([(text, values)], deadline=deadline) is not None:
                    return
            except Unsure:
                return
        await self._driver.write([(space.log_statements.unpoint, [space.log_id, shard, key, epoch])], deadline=deadline)


def _first_of(segment: int) -> int:
    """Returns the first position of a segment; there is none below 1."""
    return max(1, segment * SEGMENT)


def _following(segment: int, following: int | None) -> int:
    """Returns the next position that a segment gives, from its column ``nx``."""
    return _first_of(segment) if following is None else following


def _entry(position: int, data: bytes) -> LogEntry:
    entry = decode_entry(data[_PLACE_BYTES:])
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


def _readers(space: Space) -> Sequence[str]:
    return space.log.readers if space.log is not None else ()


def _batch_of(waiting: Sequence[_Waiting], most: int) -> Sequence[_Waiting]:
    byte_count = 0
    for at, one in enumerate(waiting[:most]):
        byte_count += len(one.data)
        if at and byte_count > _BATCH_BYTES_MAX:
            return waiting[:at]
    return waiting[:most]


def _segments_gone(before: int, now: int) -> range:
    """Returns the segments below that of the last position that is gone now, and were not before.

    A segment that is gone to its last position stays until one of the next is: it may be the newest, which says where
    the positions go on.
    """
    return range(before // SEGMENT, now // SEGMENT)
