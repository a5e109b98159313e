"""What happens to a large table's count while it is taken in the background."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.testing import capture_logs

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Commit, Committed, Key, Page, Put, SpaceOptions, new_commit_id
from tenet.store.errors import StoreUnavailable
from tenet.store.memory import MemoryEngine
from tenet.tables import keys
from tenet.tables.model import KeyAttribute, KeySchema, Table
from tenet.tables.ops.counts import LIVE_RECORDS, Counts

TABLE = Table("0" * 12, "abc", "the-id", "x-1", 0, KeySchema(KeyAttribute("p", "S")), {"p": "S"}, status="ACTIVE")
SPACE = keys.table_space(TABLE.id)


class WatchedEngine(MemoryEngine):
    """A store that says when it was asked to scan, and may fail to."""

    scanned: asyncio.Event
    trouble: StoreUnavailable | None = None

    async def scan(self, *arguments: Any, **options: Any) -> Page:
        try:
            if self.trouble is not None:
                raise self.trouble
            return await super().scan(*arguments, **options)
        finally:
            self.scanned.set()


async def count_in_the_background(*, drops: bool, trouble: StoreUnavailable | None = None) -> list[dict[str, Any]]:
    """Has a table counted that is dropped meanwhile, or that cannot be read; returns what is logged of it."""
    clock, ids = SystemClock(), SystemIds()
    store = WatchedEngine(clock=clock, ids=ids)
    store.scanned = asyncio.Event()
    await store.ensure_space(SPACE, SpaceOptions())
    records = [Put(Key(SPACE, b"p", number.to_bytes(4, "big")), b"{}") for number in range(LIVE_RECORDS + 1)]
    assert isinstance(await store.commit(Commit(new_commit_id(clock, ids), records)), Committed)
    counts = Counts(store, clock=clock)
    assert await counts.of(TABLE)
    store.scanned.clear()
    store.trouble = trouble
    if drops:
        await store.drop_space(SPACE)
    with capture_logs() as logged:
        counts.open()
        await store.scanned.wait()
        await asyncio.sleep(0)
        await counts.close()
    return [dict(line) for line in logged]


def test_a_table_that_is_deleted_while_it_is_counted_is_nothing_to_report() -> None:
    logged = asyncio.run(count_in_the_background(drops=True))
    assert [line["log_level"] for line in logged] == ["debug"]


def test_a_table_that_cannot_be_counted_is_reported() -> None:
    logged = asyncio.run(count_in_the_background(drops=False, trouble=StoreUnavailable("the disk is away")))
    told = [(line["log_level"], line["table"], line["reason"]) for line in logged]
    assert told == [("info", "abc", "the disk is away")]
