"""How far the global indexes of a table are behind, as the store says it: the same whoever is asked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from tenet.base.clock import NEVER
from tenet.store.contract import commit_id_ms
from tenet.store.errors import LogTrimmed, SpaceNotFound
from tenet.tables import keys
from tenet.tables.ops.indexing.cursor import decode_kept

if TYPE_CHECKING:
    from tenet.store.contract import Store
    from tenet.tables.model import Table
    from tenet.tables.ops.catalog import Catalog

#: So often in a row a keeper may give back what is about to be read.
_ATTEMPTS_MAX: Final = 5


async def behind_ms(store: Store, table: Table, *, now_ms: int, deadline: float = NEVER) -> int:
    """Returns how old the oldest change is that is not known to be in the indexes, 0 where there is none.

    One round trip for the log's options, and a few reads for each of its shards at the same time. Nothing is written,
    so that whoever follows the log is not disturbed, however often this is asked.

    Args:
        store: the store.
        table: a table whose global indexes are kept from the log.
        now_ms: the time, milliseconds since 1970.
        deadline: when to give up.

    Raises:
        SpaceNotFound: the table has been deleted meanwhile.
    """
    infos = await store.list_spaces(table.space, deadline=deadline)
    logs = [info.options.log for info in infos if info.name == table.space and info.options.log is not None]
    shards = range(logs[0].shards if logs else 0)
    since_ms = await asyncio.gather(*(_since_ms(store, table, shard, deadline, stale=True) for shard in shards))
    return max((now_ms - at_ms for at_ms in since_ms if at_ms is not None), default=0)


async def are_indexes_behind(store: Store, catalog: Catalog) -> bool:
    """Tells whether a log of any table holds a change that is not known to be in its global indexes.

    Brings the logs up to date, so that what a dead process has left half moved counts only where it has to.

    Args:
        store: the store.
        catalog: where its tables are found.
    """
    infos = await store.list_spaces(keys.TABLE_SPACES)
    logs = {info.name: info.options.log for info in infos if info.options.log is not None}
    last = None
    while page := await catalog.everything(last):
        last = page[-1]
        for table in page:
            if table.space not in logs or not table.global_indexes:
                continue
            # A table that is deleted meanwhile has no indexes either.
            with contextlib.suppress(SpaceNotFound):
                for shard in range(logs[table.space].shards):
                    if await _since_ms(store, table, shard, NEVER, stale=False) is not None:
                        return True
    return False


async def _since_ms(store: Store, table: Table, shard: int, deadline: float, *, stale: bool) -> int | None:
    """Returns when the oldest change was made that is not known to be in the indexes; None: there is none."""
    attempt = 0
    while True:
        (record,) = await store.get((keys.cursor_key(table.id, shard),), deadline=deadline)
        try:
            page = await store.read_log(
                table.space, shard, after=decode_kept(record).position, limit=1, stale=stale, deadline=deadline
            )
        except LogTrimmed:
            attempt += 1
            if attempt == _ATTEMPTS_MAX:
                raise
            continue
        found = [entry.commit_id for entry in page.entries] + ([] if page.waiting is None else [page.waiting])
        return min(map(commit_id_ms, found), default=None)
