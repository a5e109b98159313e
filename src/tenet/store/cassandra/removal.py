"""Removes what nobody can need any more: tables of dropped spaces, tables that never became a space's, dead logs.

What is to go is *buried*: listed in the registry with the time. It goes when no commit that was begun before anybody
could know of that is open any more (see ``sweeping``), and after it was made sure that nothing uses it, nor will. All
of it may be done twice, by several processes at once, and be gone on with wherever one ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from tenet.store.cassandra.schema import NAMES_KEPT_S, REMEMBERED_S, TABLES, LogStatements, Statements, above_us
from tenet.store.cassandra.segments import SEGMENTS_DROPPED, segment_of
from tenet.store.cassandra.spaces import CONDEMNED, DROPPED, LOG, SPACES, SPARE
from tenet.store.cassandra.tries import TableMissing, Unsure

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver

_TABLE: Final = "s_"
_POINTERS: Final = 500
_OUTBOX_END: Final = b"\xff" * 13

_log = structlog.get_logger(__name__)


class Removal:
    """Removes what is buried.

    Args:
        driver: the cluster.
        clock: time.
    """

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        self._keyspace = driver.location.keyspace
        self._logs = LogStatements(self._keyspace)
        table = f"{self._keyspace}.registry"
        self._buried = f"SELECT name, id, options, dropped_ms FROM {table} WHERE part = ?"
        self._entries = f"SELECT name, id, options, log FROM {table} WHERE part = ?"
        self._bury = f"UPDATE {table} SET id = ?, dropped_ms = ? WHERE part = ? AND name = ?"
        self._unbury = f"DELETE FROM {table} WHERE part = ? AND name = ?"
        self._condemn = (
            f"UPDATE {table} USING TTL {NAMES_KEPT_S} SET dropped_ms = ? WHERE part = ? AND name = ?"
            " IF dropped_ms = null"
        )
        self._pardon = f"UPDATE {table} SET dropped_ms = null WHERE part = ? AND name = ? IF dropped_ms != null"
        #: How many tables and logs were removed here.
        self.tables = 0
        self.logs = 0

    async def remove(self, swept_ms: int) -> None:
        """Removes what it is time for.

        Args:
            swept_ms: no commit that was begun before it is open any more; milliseconds since 1970.

        Raises:
            StoreUnavailable: the cluster did not do it; the rest is left for the next call.
        """
        await self._bury_orphans()
        for name, space_id, options, buried_ms in await self._rows(self._buried, DROPPED):
            # A commit may have been begun by a process that did not know yet, and been held up.
            if swept_ms <= buried_ms + 1000 * REMEMBERED_S:
                continue
            if name.startswith(LOG):
                gone = await self._remove_log(name.removeprefix(LOG), space_id, int(options))
            else:
                gone = await self._remove_table(name)
            if gone:
                await self._driver.write([(self._unbury, [DROPPED, name])])

    async def _rows(self, text: str, part: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = await self._driver.select(text, (part,), counts_as="registry")
        return rows

    async def _bury_orphans(self) -> None:
        """Buries tables that no space has: whoever made them ended before one had them, or gave up.

        They are read before who has them. What is taken into use meanwhile is found to be when it would go.
        """
        rows = await self._driver.select(TABLES, (self._keyspace,), is_serial=False, counts_as="registry")
        tables = {name.removeprefix(_TABLE) for (name,) in rows if name.startswith(_TABLE)}
        known = {name for name, *_ in await self._rows(self._buried, DROPPED)}
        for space_id in sorted(tables - known - await self._used()):
            buried = (self._bury, [space_id, self._clock.wall_ms(), DROPPED, space_id])
            await self._driver.write([buried])

    async def _used(self) -> set[str]:
        """Returns the ids of the tables that a space has, or that wait for one."""
        spaces = {space_id for _, space_id, *_ in await self._rows(self._entries, SPACES) if space_id}
        return spaces | {name for name, _, options, _ in await self._rows(self._entries, SPARE) if not options}

    async def _remove_table(self, space_id: str) -> bool:
        """Drops a table unless it is in use; returns whether it need not be thought of any more."""
        mark = CONDEMNED + space_id
        try:
            # From here on no space can be given it, see ``Spaces``; whether one was is looked at behind that.
            await self._driver.decide([(self._condemn, [self._clock.wall_ms(), SPACES, mark])])
            if space_id in await self._used():
                await self._driver.decide([(self._pardon, [SPACES, mark])])
                return True
        except Unsure:
            return False
        await self._driver.define(f"DROP TABLE IF EXISTS {self._keyspace}.{_TABLE}{space_id}")
        self.tables += 1
        _log.info("the table of a dropped space was removed", table=f"{self._keyspace}.{_TABLE}{space_id}")
        return True

    async def _remove_log(self, log: str, space_id: str, shards: int) -> bool:
        """Deletes a log that no space has; returns whether it need not be thought of any more."""
        if any(used == log for *_, used in await self._rows(self._entries, SPACES)):
            return True
        log_id = bytes.fromhex(log)
        for shard in range(shards):
            await self._empty_outboxes(log_id, shard, space_id)
            await self._driver.write([(self._logs.drop_pointers, [log_id, shard])])
            rows = await self._driver.select(self._logs.head, (log_id, shard))
            segment, _, trimmed = rows[0][:3] if rows else (None, None, None)
            dropped = {row[3]: row[4] for row in rows}.get(SEGMENTS_DROPPED)
            begin = dropped if dropped is not None else trimmed or 0
            for number in range(segment_of(begin), (segment or 0) + 1):
                await self._driver.write([(self._logs.drop_segment, [above_us(self._clock), log_id, shard, number])])
            # At last, as it says which segments there are.
            await self._driver.write([(self._logs.drop_head, [log_id, shard])])
        self.logs += 1
        return True

    async def _empty_outboxes(self, log_id: bytes, shard: int, space_id: str) -> None:
        """Deletes entries that were on their way into a log; those of a dropped space go with its table."""
        outbox_gone = Statements(self._keyspace, space_id).outbox_gone
        last: tuple[bytes, int] = (b"", 0)
        while True:
            values = (log_id, shard, *last, _POINTERS)
            rows = await self._driver.select(self._logs.pointers, values, is_serial=False)
            for key in dict.fromkeys(key for key, _ in rows):
                try:
                    await self._driver.write([(outbox_gone, [key, log_id, log_id + _OUTBOX_END])])
                except TableMissing:
                    return
            if len(rows) < _POINTERS:
                return
            last = rows[-1][0], rows[-1][1]
