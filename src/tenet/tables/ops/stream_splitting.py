"""Splits shards of streams that have more records than one reader should have to keep up with.

A node looks at its share of the streams every ``SplitSettings.look_s``: at the log entries that came first since its
last look, at most a page of each shard of the log. A shard that had ``rate_per_s`` in ``LOOKS`` looks in a row is
split, as deep as ``rules.stream_splits.DEPTH_MAX``.

A split is two changes of the table's description. The first says that the shard is *held*: whoever knows of it hands
out nothing behind the position at which the log ended before. When all processes know of it, the end of the log is read
again: nobody has handed out anything behind that, and nobody will, until the second change says that the shard ends
there and its children begin. So a record is its parent's or its child's, whoever reads, and whenever. Readers that are
at the end of the shard wait for as long, about two seconds where other processes read too.

A split that was left half done is ended by whoever looks at the stream next; every step can be done twice, and by two
at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import structlog
from msgspec import Struct

from tenet.base.errors import TenetError
from tenet.store.errors import LogTrimmed, SpaceNotFound
from tenet.tables.ops.following import settle
from tenet.tables.ops.stream_reading import stand_of
from tenet.tables.rules import stream_splits
from tenet.tables.rules.index_log import FILLING, LOG_SHARDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.base.clock import Clock
    from tenet.mesh.shares import Assignment
    from tenet.store.contract import LogEntry, Store
    from tenet.tables.model import Stream, Table
    from tenet.tables.ops.catalog import Catalog

#: In so many looks in a row a shard has to have been busy.
LOOKS: Final = 2
#: How long it rests after a look that failed, seconds.
RETRY_S: Final = 1.0
#: Of so many streams logs are read at a time.
_AT_ONCE: Final = 4
#: How many entries of a log are read at a time, how many are enough to tell how fast they come, and how often it is
#: read on for them: large ones come a few at a time.
_SAMPLE: Final = 500
_SAMPLE_MIN: Final = 200
_PAGES_MAX: Final = 4
_CALL_S: Final = 30.0

_log = structlog.get_logger(__name__)


class SplitSettings(Struct, frozen=True):
    """When shards split.

    Args:
        rate_per_s: so many records a second are too many for one shard, more than 0. The service splits a shard when
            the partition behind it does, which takes up to 1,000 writes a second.
        look_s: how often it is looked, seconds, more than 0.
    """

    rate_per_s: float = 1_000
    look_s: float = 30.0


class _Log(NamedTuple):
    """A shard of the log that a stream lies in."""

    table_id: str
    label: str
    shard: int


class _Sample(NamedTuple):
    """Entries of a shard of a log behind a position, where that ends, and whether they are all that there are."""

    entries: list[LogEntry]
    closed: int
    is_all: bool


class _Seen:
    """What was seen of a shard of a log: where it ended at the last look, and how often its shards were busy since."""

    def __init__(self, position: int, at_s: float) -> None:
        self.position = position
        self.at_s = at_s
        self.busy: dict[int, int] = {}


class Splitting:
    """Splits shards of the streams that are this process's.

    Args:
        catalog: where tables are described.
        store: where the logs are.
        clock: time.
        assignment: whose streams are this process's.
        settings: when shards split.
    """

    def __init__(
        self, catalog: Catalog, store: Store, *, clock: Clock, assignment: Assignment, settings: SplitSettings
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self._assignment = assignment
        self._settings = settings
        self._seen: dict[_Log, _Seen] = {}
        self._wake = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begins to look in the background."""
        self._tending = asyncio.get_running_loop().create_task(self._tend())

    async def close(self) -> None:
        """Stops; a split that is under way is ended by whoever looks next."""
        if self._tending is not None:
            self._tending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tending
            self._tending = None

    def look_again(self) -> None:
        """Says that the assignment has changed: there may be splits that another process has left half done."""
        self._wake.set()

    async def _tend(self) -> None:
        while True:
            self._wake.clear()
            rest_s = self._settings.look_s if await self._try_to_look() else RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._wake.wait()

    async def _try_to_look(self) -> bool:
        try:
            return await self.look()
        except TenetError as error:
            _log.warning("streams were not looked at", error=error.code, reason=error.message)
        return False

    async def look(self) -> bool:
        """Looks at all streams that are this process's, and splits what is due; returns whether all went well.

        Raises:
            StoreError: the catalog could not be read.
        """
        gate = asyncio.Semaphore(_AT_ONCE)
        known: set[_Log] = set()
        went_well = True
        last: Table | None = None
        while page := await self._catalog.everything(last):
            last = page[-1]
            mine = [table for table in page if self._is_mine(table)]
            known.update(
                _Log(table.id, table.streams[-1].label, shard) for table in mine for shard in range(LOG_SHARDS)
            )
            done = await asyncio.gather(*(self._tend_to(table, gate) for table in mine))
            went_well = went_well and all(done)
            await asyncio.sleep(0)
        self._seen = {log: seen for log, seen in self._seen.items() if log in known}
        return went_well

    def _is_mine(self, table: Table) -> bool:
        return table.streaming is not None and table.status == "ACTIVE" and self._assignment.owns(table.id)

    async def _tend_to(self, table: Table, gate: asyncio.Semaphore) -> bool:
        """Looks at the stream of a table, and splits what is due; returns whether that went well."""
        stream = table.streaming
        assert stream is not None
        async with gate:
            try:
                await asyncio.gather(*(self.end(table, stream.label, one) for one in stream_splits.unfinished(stream)))
                for log in range(LOG_SHARDS):
                    due = await self._due(table, stream, log)
                    await asyncio.gather(*(self.split(table, stream.label, number) for number in due))
            except SpaceNotFound:
                pass  # The table is gone.
            except TenetError as error:
                _log.info("a stream will be looked at again", table=table.name, error=error.code, reason=error.message)
                return False
        return True

    async def _due(self, table: Table, stream: Stream, log: int) -> list[int]:
        """Returns the numbers of the shards in a shard of the log that are to be split now."""
        at_s = self._clock.monotonic_s()
        place = _Log(table.id, stream.label, log)
        seen = self._seen.get(place)
        if seen is None:
            stand = await stand_of(self._store, table, log, deadline=at_s + _CALL_S)
            self._seen[place] = _Seen(stand.closed, at_s)
            return []
        if at_s - seen.at_s < self._settings.look_s / 2:
            return []  # Somebody had it look early; what comes within a moment says nothing.
        try:
            sample = await self._sample(table, log, seen.position, at_s + _CALL_S)
        except LogTrimmed:
            del self._seen[place]
            return []
        busy: frozenset[int] = frozenset()
        if sample.is_all or len(sample.entries) >= _SAMPLE_MIN:
            seconds = stream_splits.seconds_of(sample.entries, elapsed_s=at_s - seen.at_s, is_all=sample.is_all)
            busy = stream_splits.busy(
                stream, log, sample.entries, seconds=seconds, rate_per_s=self._settings.rate_per_s
            )
        seen.position, seen.at_s = sample.closed, at_s
        seen.busy = {number: seen.busy.get(number, 0) + 1 for number in busy}
        due = [number for number, looks in seen.busy.items() if looks >= LOOKS]
        for number in due:
            del seen.busy[number]
        return due

    async def _sample(self, table: Table, log: int, after: int, deadline: float) -> _Sample:
        """Reads what comes first behind a position of a shard of the log.

        Raises:
            LogTrimmed: some of it is gone.
        """
        entries: list[LogEntry] = []
        closed = after
        for _ in range(_PAGES_MAX):
            page = await self._store.read_log(table.space, log, after=after, limit=_SAMPLE, deadline=deadline)
            closed = page.closed
            if not page.entries:
                return _Sample(entries, closed, is_all=True)
            after = page.entries[-1].position
            entries += [entry for entry in page.entries if entry.origin != FILLING]
            if after >= closed:
                return _Sample(entries, closed, is_all=True)
            if len(entries) >= _SAMPLE_MIN:
                break
        return _Sample(entries, closed, is_all=False)

    # ---- one split ---------------------------------------------------------------------------------------------------

    async def split(self, table: Table, label: str, number: int) -> None:
        """Splits a shard into two, unless it is split already or cannot be.

        Six round trips, and 1.5 s where other processes may read.

        Args:
            table: the table.
            label: of the stream.
            number: of the shard.

        Raises:
            SpaceNotFound: the table is gone.
            StoreError: it is not done, or half done.
        """
        log_end = await self._end_of_log(table, number)
        await self._change(table, label, lambda stream: stream_splits.begun(stream, number, held=log_end))
        await self.end(table, label, number)

    async def end(self, table: Table, label: str, number: int) -> None:
        """Ends a split that was begun, perhaps by another process; otherwise as `split`."""
        # No process may take the shard for open any more when it is decided where it ends.
        await settle(self._store)
        log_end = await self._end_of_log(table, number)
        now_ms = self._clock.wall_ms()
        after = await self._change(
            table, label, lambda stream: stream_splits.ended(stream, number, end=log_end, now_ms=now_ms)
        )
        if after is not None:
            _log.info("a shard of a stream was split", table=table.name, stream=label, shard=number)

    async def _end_of_log(self, table: Table, number: int) -> int:
        deadline = self._clock.monotonic_s() + _CALL_S
        return (await stand_of(self._store, table, stream_splits.log_of(number), deadline=deadline)).closed

    async def _change(self, table: Table, label: str, change: Callable[[Stream], Stream]) -> Table | None:
        """Changes a stream in its table's description; returns the table where it did."""
        has_changed = False

        def decide(now: Table | None) -> Table | None:
            nonlocal has_changed
            has_changed = False
            if now is None or now.id != table.id or now.status not in {"ACTIVE", "UPDATING"}:
                return now
            streams = tuple(change(stream) if stream.label == label else stream for stream in now.streams)
            if streams == now.streams:
                return now
            has_changed = True
            return msgspec.structs.replace(now, streams=streams)

        deadline = self._clock.monotonic_s() + _CALL_S
        after = await self._catalog.change(table.account, table.name, decide, deadline=deadline)
        return after if has_changed else None
