"""What is left of deleted tables: their streams, which can be read for 24 hours more, and so the logs that hold them.

A log lies in the space of its table's items. When the table goes, one commit replaces its description by a departed
table, which counts no more among the tenant's; the name is free. Then the items are removed from the space, partition
by partition, and a day later the space goes with the log, and the departed table behind it. Every step can be done
twice, by any process, and is found undone by the look that each process takes every minute (``Lifecycle``).

A tenant has a bounded number of departed tables. Above that, the one that ended first goes before its day is over, and
the log of the server says so: a table is always deleted, and a name always free, as with the service.

Whoever wrote to the table by a description from before its end may still do so for a moment: what he writes is in no
stream, and goes with the space.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.clock import NEVER
from tenet.base.errors import TenetError
from tenet.base.keycodec import successor
from tenet.store.cached import Cached
from tenet.store.contract import EVERYTHING, Delete, IsPresent, Put, Range
from tenet.store.errors import SpaceNotFound
from tenet.store.landing import land
from tenet.tables import keys
from tenet.tables.model import Departed
from tenet.tables.ops.catalog import decode_departed, encode_departed
from tenet.tables.rules.stream_settings import readable, stream_arn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Check, Record, SpaceInfo, Store, Write
    from tenet.tables.model import Table

#: How many items are read at a time, and of how many partitions they are removed at a time; so many departed tables go
#: early at a time.
_PAGE_RECORDS: Final = 1_000
_AT_ONCE: Final = 16
_TABLES_AT_ONCE: Final = 2
_CACHED_MAX: Final = 1_000
#: How many departed tables a tenant may have. Each holds a space, which on some engines is a table of theirs; the
#: service names no bound. A fifth of the tables that a tenant may have by default.
DEPARTED_MAX: Final = 500

_log = structlog.get_logger(__name__)


class DepartedTables:
    """Finds deleted tables whose streams can still be read, and removes what is left of them.

    Args:
        store: where they are.
        clock: time.
        ids: for commit ids.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        # By the ARN of a stream. What is told of a departed table does not change any more.
        self._cache: Cached[Table] = Cached(store, keys.CATALOG_SPACE, clock=clock, count_max=_CACHED_MAX)
        #: By TableId: who removes the items of a table.
        self._emptying: dict[str, asyncio.Task[None]] = {}
        self._gate = asyncio.Semaphore(_TABLES_AT_ONCE)

    async def close(self) -> None:
        """Leaves off; what is unfinished is found at the next look."""
        tasks = list(self._emptying.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # ---- reading -----------------------------------------------------------------------------------------------------

    def known(self, account: str, arn: str) -> Table | None:
        """Returns what `find` would return without a round trip, or None."""
        return self._cache.known(account, arn)

    async def find(self, account: str, name: str, arn: str, *, deadline: float = NEVER) -> Table | None:
        """Returns the departed table that has a stream, or None; one round trip.

        Args:
            account: the tenant.
            name: of the table.
            arn: of the stream.
            deadline: when to give up.
        """
        return await self._cache.read(account, arn, self._with_stream(account, name, arn, deadline))

    async def _with_stream(self, account: str, name: str, arn: str, deadline: float) -> Table | None:
        tables = await self.named(account, name, deadline=deadline)
        return next((table for table in tables if any(stream_arn(table, one) == arn for one in table.streams)), None)

    async def named(self, account: str, name: str, *, deadline: float = NEVER) -> list[Table]:
        """Returns the departed tables of a name; one round trip."""
        return await self._tables(account, keys.departed_named(name), deadline)

    async def tables_from(
        self, account: str, first: str, *, limit: int, deadline: float = NEVER
    ) -> tuple[list[Table], bool]:
        """Returns a tenant's departed tables by name, and whether there are more; one round trip.

        Args:
            account: the tenant.
            first: only this name and those behind it; with a zero behind it only those.
            limit: the most tables.
            deadline: when to give up.
        """
        within = keys.departed_from(first)
        page = await self._store.query(keys.CATALOG_SPACE, account.encode(), within, limit=limit, deadline=deadline)
        return [decode_departed(record.value).table for record in page.records], page.more

    async def _tables(self, account: str, within: Range, deadline: float) -> list[Table]:
        found: list[Table] = []
        more = True
        while more:
            page = await self._store.query(
                keys.CATALOG_SPACE, account.encode(), within, limit=_PAGE_RECORDS, deadline=deadline
            )
            found += [decode_departed(record.value).table for record in page.records]
            more = page.more
            if more:
                within = Range(successor(page.records[-1].sort), within.upper)
        return found

    async def everything(self) -> AsyncIterator[Departed]:
        """Yields the departed tables of all tenants."""
        async for record in self._records(keys.CATALOG_SPACE, keys.CATALOG_DEPARTED):
            yield decode_departed(record.value)

    async def _records(self, space: str, within: Range) -> AsyncIterator[Record]:
        after: tuple[bytes, bytes] | None = None
        more = True
        while more:
            page = await self._store.scan(space, within, limit=_PAGE_RECORDS, after=after)
            for record in page.records:
                after = (record.partition, record.sort)
                yield record
            more = page.more

    # ---- removing ----------------------------------------------------------------------------------------------------

    async def look_after_all(self, spaces: dict[str, SpaceInfo]) -> None:
        """Does what is to be done for all departed tables now.

        Args:
            spaces: of tables, by name, as they were before; those of departed tables are taken out.
        """
        accounts: set[str] = set()
        async for departed in self.everything():
            accounts.add(departed.table.account)
            await self.look_after(departed, spaces.pop(departed.table.space, None))
        for account in accounts:
            await self.keep_few(account)

    async def look_after(self, departed: Departed, info: SpaceInfo | None) -> None:
        """Does what is to be done for a departed table now: its items go at once, its log when nobody may read it.

        Args:
            departed: the table.
            info: its space, as it was before the table was read; None where there was none.
        """
        table = departed.table
        if info is None:
            infos = await self._store.list_spaces(table.space)
            info = next((one for one in infos if one.name == table.space), None)
        # Without its log it came here from another store.
        if info is None or info.options.log is None or not readable(table, self._clock.wall_ms()):
            await self._remove(table)
        elif not departed.is_empty:
            self.empty(table)

    async def keep_few(self, account: str) -> None:
        """Removes the departed tables of a tenant that ended first, where there are too many; some of them at a time.

        One round trip where there are not.
        """
        tables = await self._tables(account, keys.CATALOG_DEPARTED, NEVER)
        if len(tables) <= DEPARTED_MAX:
            return
        surplus = min(len(tables) - DEPARTED_MAX, _AT_ONCE)
        for table in sorted(tables, key=_ended_ms)[:surplus]:
            _log.warning(
                "the streams of a deleted table go before their day is over, since the account has too many of them",
                account=account,
                table=table.name,
                streams=[stream.label for stream in table.streams],
                departed_max=DEPARTED_MAX,
            )
            await self._remove(table)

    async def _remove(self, table: Table) -> None:
        # The space first: a space of a table that nobody remembers is nobody's, and would be dropped anyway.
        await self._store.drop_space(table.space)
        key = keys.departed_key(table.account, table.name, table.id)
        await self._land([Delete(key)], [])

    async def _land(self, writes: list[Write], checks: list[Check]) -> None:
        await land(self._store, writes, checks, clock=self._clock, ids=self._ids, deadline=NEVER)

    def empty(self, table: Table) -> None:
        """Begins to remove the items of a departed table, unless that is under way here."""
        if table.id not in self._emptying:
            task = asyncio.get_running_loop().create_task(self._empty(table))
            self._emptying[table.id] = task
            task.add_done_callback(lambda _: self._emptying.pop(table.id, None))

    async def _empty(self, table: Table) -> None:
        try:
            async with self._gate:
                await self._remove_items(table)
            key = keys.departed_key(table.account, table.name, table.id)
            await self._land([Put(key, encode_departed(Departed(table, is_empty=True)))], [IsPresent(key)])
        except SpaceNotFound:
            return  # Its time came meanwhile.
        except TenetError as error:
            _log.warning(
                "the items of a deleted table will be removed later",
                table=table.name,
                error=error.code,
                reason=error.message,
            )

    async def _remove_items(self, table: Table) -> None:
        partitions: dict[bytes, None] = {}
        async for record in self._records(table.space, EVERYTHING):
            partitions[record.partition] = None
            if len(partitions) > _AT_ONCE:
                await self._discard(table, partitions)
        await self._discard(table, partitions)

    async def _discard(self, table: Table, partitions: dict[bytes, None]) -> None:
        begun_s = self._clock.monotonic_s()
        await asyncio.gather(*(self._store.discard(table.space, one) for one in partitions))
        partitions.clear()
        # Half of the time is everybody else's.
        await asyncio.sleep(self._clock.monotonic_s() - begun_s)


def _ended_ms(table: Table) -> int:
    """Returns when the last stream of a departed table ended, milliseconds since 1970."""
    return max(stream.disabled_ms for stream in table.streams)
