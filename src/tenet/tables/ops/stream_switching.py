"""Switching streams on and off, as a part of the transition of their table.

A stream that is switched on begins in every shard of the log before the first write that goes into it; one that is
switched off ends behind the last, and so does one whose table is deleted. Every step can be done twice, by any process.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from tenet.store.errors import SpaceNotFound
from tenet.tables.ops.following import settle
from tenet.tables.ops.stream_reading import stand_of
from tenet.tables.rules.index_log import LOG_SHARDS
from tenet.tables.rules.stream_settings import begun, readable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.contract import SpaceInfo, Store
    from tenet.tables.model import Stream, Table
    from tenet.tables.ops.barrier import Barrier
    from tenet.tables.ops.catalog import Catalog
    from tenet.tables.ops.table_logs import TableLogs

_SHARDS: Final = range(LOG_SHARDS)
#: So much longer than its streams can be read, a log is looked after.
SLACK_MS: Final = 3_600_000
#: For so long after it was asked for, and twice as long as writers may go by what was before, a stream may be one that
#: some of them do not know of: whoever was switching it on may have died, and the others look every minute.
_SETTLING_S: Final = 180.0
_MS: Final = 1_000


class Streams:
    """Switches streams of tables on and off.

    Args:
        catalog: where tables are described.
        store: where the logs are.
        clock: time.
        logs: has them kept.
        barrier: tells when the requests have ended that had begun before a moment.
    """

    def __init__(self, catalog: Catalog, store: Store, *, clock: Clock, logs: TableLogs, barrier: Barrier) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self._logs = logs
        self._barrier = barrier

    async def switch(self, table: Table) -> Table | None:
        """Does what is left to do for the streams of a table that is being updated; returns the table as it is then.

        Ten round trips for each stream, and what it takes until the writes have ended that this process is at. Where
        other processes may write to the table, a beginning takes a second more than a request may, and an end 1.5 s.
        """
        now: Table | None = table
        for stream in table.streams:
            if stream.status == "ENABLING":
                now = await self._begin(table, stream)
            elif stream.status == "DISABLING":
                now = await self._end(table, stream)
            elif self._may_be_settling(stream):
                # Another process has come so far, and is waiting or has died.
                now = await self._settled(table, stream)
        return now

    def _may_be_settling(self, stream: Stream) -> bool:
        """Whether a stream is on that perhaps not all writers know of. Those of one process all ended with it."""
        age_s = (self._clock.wall_ms() - stream.created_ms) / _MS
        is_new = age_s < _SETTLING_S + 2 * self._barrier.others_s
        is_open = stream.status == "ENABLED" and not stream.is_settled
        return is_open and is_new and self._store.capabilities.remote

    async def _begin(self, table: Table, stream: Stream) -> Table | None:
        # The log first, so that no writer finds that there is none.
        await self._logs.keep(table)
        starts = await self._positions(table)
        now = await self._replace(table, stream, status="ENABLED", starts=starts)
        if now is None or now.id != table.id:
            return now
        # Another process may have come further with it meanwhile, and begun it elsewhere.
        begun = next((one for one in now.streams if one.label == stream.label), None)
        if begun is None or begun.status != "ENABLED" or begun.is_settled:
            return now
        return await self._settled(now, begun)

    async def _settled(self, table: Table, stream: Stream) -> Table | None:
        """Has a stream begin where all writers go into it; returns its table as it is then.

        Before, some did and others did not; what they have told is left out.
        """
        await self._barrier.passed_everywhere()
        # Another process may have found that the table needs no log for streams, and said so behind that.
        await self._logs.keep(table)
        # Whoever was slower than another process must not have it begin behind what is told by now.
        starts = await self._positions(table)
        return await self._replace(table, stream, while_updating=True, starts=starts, is_settled=True)

    async def _end(self, table: Table, stream: Stream) -> Table | None:
        await settle(self._store)
        ends = await self._positions(table)
        return await self._replace(table, stream, status="DISABLED", ends=ends, disabled_ms=self._clock.wall_ms())

    async def leave(self, table: Table) -> Table | None:
        """Ends the streams of a table that is being deleted, and forgets those that cannot be read any more.

        Returns:
            The table as it is then; its streams are those that outlive it. None where it is gone.
        """
        if not table.streams:
            return table
        ends: tuple[int, ...] = ()
        if await self._logs.log_of(table) is not None:
            await settle(self._store)
            with contextlib.suppress(SpaceNotFound):
                ends = await self._positions(table)
        at_ms = self._clock.wall_ms()

        def decide(now: Table | None) -> Table | None:
            if now is None or now.id != table.id or now.status != "DELETING":
                return now
            kept = readable(now, at_ms) if ends else ()
            streams = tuple(
                msgspec.structs.replace(one, status="DISABLED", ends=ends, disabled_ms=at_ms) if not one.ends else one
                for one in kept
                if one.status != "ENABLING"
            )
            return now if streams == now.streams else msgspec.structs.replace(now, streams=streams)

        now = await self._catalog.change(table.account, table.name, decide)
        return now if now is not None and now.id == table.id else None

    async def _positions(self, table: Table) -> tuple[int, ...]:
        stands = await asyncio.gather(*(stand_of(self._store, table, shard) for shard in _SHARDS))
        return tuple(stand.closed for stand in stands)

    async def _replace(
        self, table: Table, stream: Stream, *, while_updating: bool = False, **changes: object
    ) -> Table | None:
        """Changes a stream of a table, if it is as given; with `while_updating` only as long as the table is that.

        What else of the table has changed meanwhile, its tags for instance, says nothing about the stream.
        """
        after = msgspec.structs.replace(stream, **changes)

        def decide(now: Table | None) -> Table | None:
            if now is None or now.id != table.id or (while_updating and now.status != "UPDATING"):
                return now
            if stream not in now.streams:
                return now
            return msgspec.structs.replace(now, streams=tuple(after if one == stream else one for one in now.streams))

        return await self._catalog.change(table.account, table.name, decide)

    # ---- upkeep ------------------------------------------------------------------------------------------------------

    async def look_after(self, table: Table, info: SpaceInfo) -> None:
        """Sees to the log of a table that is in service: that it keeps what it has to, and no more.

        Args:
            table: the table.
            info: the space of its items, as it was before the table was read.
        """
        log = info.options.log
        is_switching = any(stream.status in {"ENABLING", "DISABLING"} for stream in table.streams)
        if is_switching or table.status not in {"ACTIVE", "UPDATING"}:
            return
        if table.streams and log is None:
            # Perhaps the stream was switched on since: its log was there before the table said so.
            log = await self._logs.log_of(table)
            if log is None:
                await self._begin_anew(table)
                return
        wanted = self._logs.wanted(table).log if log is not None else self._logs.needed(table).log
        if log != wanted:
            # Its stream can be read no more; or somebody who came or went died in the middle of it.
            await self._logs.keep(table)
        elif self._store.capabilities.remote and readable(table, self._clock.wall_ms() - SLACK_MS):
            # Such an engine trims a log when it is read, which perhaps nobody does.
            with contextlib.suppress(SpaceNotFound):
                await self._positions(table)

    async def _begin_anew(self, table: Table) -> None:
        """Begins a new stream for each one that is on: the table came here from another store, without its log."""

        def decide(now: Table | None) -> Table | None:
            if now is None or now.id != table.id or now.streams != table.streams:
                return now
            last = now.streams[-1]
            fresh = begun(last.view, after=last, now_ms=self._clock.wall_ms())
            kept = (msgspec.structs.replace(fresh, status="ENABLED", is_settled=True),) if last.is_on else ()
            return msgspec.structs.replace(now, streams=kept)

        now = await self._catalog.change(table.account, table.name, decide)
        if now is not None and now.id == table.id and now.streams:
            await self._logs.keep(now)
