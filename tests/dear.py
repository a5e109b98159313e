"""Engines of this project as one whose commits over partitions are dear, on which global indexes are kept from the log.

Reads of an index can be made to wait until the log was followed to its end, for tests that were written for engines on
which indexes are never stale.
"""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.store.contract import Capabilities, Commit, Engine, Outcome, Page
from tenet.store.errors import LogTrimmed
from tenet.store.sqlite.engine import open_engine as open_sqlite
from tenet.tables import keys
from tenet.tables.ops.indexing.cursor import decode_kept


class Dear:
    """Declares that commits over partitions are not cheap, and notes how many partitions each commit reaches.

    Args:
        engine: the engine.
        is_waiting: whether queries and scans of indexes wait until those are up to date.
    """

    def __init__(self, engine: Engine, *, is_waiting: bool = False) -> None:
        self._engine = engine
        self._is_waiting = is_waiting
        #: For each commit the partitions that it wrote to.
        self.reached: list[set[tuple[str, bytes]]] = []
        #: How often a log was read.
        self.log_reads = 0

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._engine.capabilities, partitions_max=200, cheap_commits_across_partitions=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def commit(self, commit: Commit, **options: Any) -> Outcome:
        self.reached.append({(one.key.space, one.key.partition) for one in (*commit.writes, *commit.appends)})
        return await self._engine.commit(commit, **options)

    async def read_log(self, *arguments: Any, **options: Any) -> Any:
        self.log_reads += 1
        return await self._engine.read_log(*arguments, **options)

    async def query(self, space: str, *arguments: Any, **options: Any) -> Page:
        await self._wait_for(space)
        return await self._engine.query(space, *arguments, **options)

    async def scan(self, space: str, *arguments: Any, **options: Any) -> Page:
        await self._wait_for(space)
        return await self._engine.scan(space, *arguments, **options)

    async def _wait_for(self, space: str) -> None:
        if self._is_waiting and keys.is_index_space(space):
            await caught_up(self._engine, space.rpartition(".")[0])


async def caught_up(engine: Engine, space: str) -> None:
    """Waits until the log of a table's space was followed to its end; a test has a limit of its own."""
    infos = [info for info in await engine.list_spaces(space) if info.name == space]
    options = infos[0].options.log if infos else None
    digits = space.rpartition(".")[2]
    table_id = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    for shard in range(options.shards if options is not None else 0):
        while True:
            (record,) = await engine.get((keys.cursor_key(table_id, shard),))
            try:
                page = await engine.read_log(space, shard, after=decode_kept(record).position, limit=1)
            except LogTrimmed:
                continue  # it was just given back
            if not page.entries:
                break
            await asyncio.sleep(0.01)


async def open_engine(location: str, *, clock: Clock, ids: Ids, site: int = 0) -> Any:
    """Opens the embedded engine as a dear one whose indexes wait; an entry point of the group ``tenet.engines``."""
    return Dear(await open_sqlite(location, clock=clock, ids=ids, site=site), is_waiting=True)
