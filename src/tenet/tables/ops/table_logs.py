"""What the log of a table keeps, and for whom: the one place that changes it once the table is there.

Streams, followers and global indexes come and go at any process, at the same moment perhaps, and the options of a log
are written as a whole. So whoever changes what a table's description says of them has the log follow the description
behind that (``keep``), and whoever has written the log looks at the description again: of two that meet, the later one
sees what the other one did.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from tenet.tables.rules.index_log import logged_options, space_options

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.contract import LogOptions, SpaceOptions, Store
    from tenet.tables.model import Table
    from tenet.tables.ops.catalog import Catalog


class TableLogs:
    """Sees to it that logs keep what tables need.

    Args:
        catalog: where tables are described.
        store: where the logs are.
        clock: time.
        is_logging: whether global indexes are kept from the logs as well.
    """

    def __init__(self, catalog: Catalog, store: Store, *, clock: Clock, is_logging: bool) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self._is_logging = is_logging
        self._turn = asyncio.Lock()

    def wanted(self, table: Table) -> SpaceOptions:
        """Returns what the space of a table that has a log has to keep now."""
        return logged_options(table, is_logging=self._is_logging, now_ms=self._clock.wall_ms())

    def needed(self, table: Table) -> SpaceOptions:
        """Returns what the space of a table has to keep now, that perhaps needs no log."""
        return space_options(table, table.space, is_logging=self._is_logging, now_ms=self._clock.wall_ms())

    async def log_of(self, table: Table) -> LogOptions | None:
        """Returns how a table's space keeps its log at this moment; None where it has none. One round trip."""
        infos = await self._store.list_spaces(table.space)
        return next((info.options.log for info in infos if info.name == table.space), None)

    async def keep(self, table: Table, *, coming: str | None = None) -> None:
        """Has the log of a table keep what its description asks for, as it is in the store now; safe to repeat.

        Nothing happens where the table is gone, or about to go or to come. Two round trips; two more where the log is
        changed.

        Args:
            table: the table, as it was at any time.
            coming: a reader that is about to be described.
        """
        written = None
        async with self._turn:
            while True:
                now = await self._catalog.find(table.account, table.name)
                if now is None or now.id != table.id or now.status not in {"ACTIVE", "UPDATING"}:
                    return
                if coming is not None and coming not in now.followers:
                    now = msgspec.structs.replace(now, followers=(*now.followers, coming))
                wanted = self.wanted(now)
                if wanted == written or wanted.log == await self.log_of(now):
                    return
                await self._store.ensure_space(now.space, wanted)
                written = wanted
