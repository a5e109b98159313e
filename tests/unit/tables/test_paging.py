"""A page of an index goes on at full pace after entries have changed meanwhile, and gives up where they do not stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import orjson
import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Commit, Delete, Engine, Key, Page, new_commit_id
from tenet.store.errors import StoreUnavailable
from tenet.store.sqlite.engine import open_engine
from tenet.tables.api import Caller, Tables
from tenet.tables.ops import paging
from tenet.tables.rules import indexes

pytestmark = pytest.mark.interpreted

CLOCK, IDS = SystemClock(), SystemIds()
#: Whether the test's own request reads: what the service does beside it, at any time, is none of the test's business.
IS_ASKED: ContextVar[bool] = ContextVar("IS_ASKED", default=False)
TABLE: dict[str, Any] = {
    "TableName": "things",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("p", "g")],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": f"gsi-{number}",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
        for number in range(2)
    ],
}


class Watched:
    """A store that notes how many records queries ask for, and in which something happens behind the first of them.

    Args:
        engine: the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.limits: list[int] = []
        self.happens: list[Callable[[], Awaitable[object]]] = []
        self.last_item: Key | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def query(self, *arguments: Any, **options: Any) -> Page:
        """Reads a page."""
        page = await self._engine.query(*arguments, **options)
        if not IS_ASKED.get():
            return page
        self.limits.append(options["limit"])
        if self.happens:
            await self.happens.pop()()
        return page

    async def read_together(self, keys: Any, **options: Any) -> Any:
        """Reads records of one moment."""
        self.last_item = keys[-1]
        return await self._engine.read_together(keys, **options)


class Service:
    """Tables on a store that is watched.

    Args:
        store: the store.
        tables: the service.
    """

    def __init__(self, store: Any, tables: Tables) -> None:
        self.store: Watched = store
        self._tables = tables

    async def __call__(self, operation: str, **request: Any) -> Any:
        return orjson.loads(await self._tables.call(operation, request, Caller("0" * 12)) or b"{}")

    async def put(self, number: int, content: str) -> None:
        """Puts an item."""
        item = {"p": {"S": f"item-{number:02d}"}, "g": {"S": "all"}, "content": {"S": content}}
        await self("PutItem", TableName="things", Item=item)

    async def query(self) -> dict[str, str]:
        """Returns what the items of an index hold, by their keys, in one page."""
        self.store.limits.clear()
        IS_ASKED.set(True)
        page = await self(
            "Query",
            TableName="things",
            IndexName="gsi-0",
            KeyConditionExpression="g = :g",
            ExpressionAttributeValues={":g": {"S": "all"}},
        )
        assert "LastEvaluatedKey" not in page
        return {item["p"]["S"]: item["content"]["S"] for item in page["Items"]}


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[Service]:
    engine = await open_engine(str(directory), clock=CLOCK, ids=IDS)
    store: Any = Watched(engine)
    tables = await Tables.open(store, clock=CLOCK, ids=IDS)
    try:
        service = Service(store, tables)
        await service("CreateTable", **TABLE)
        yield service
    finally:
        await tables.close()
        await engine.close()


@pytest.fixture(autouse=True)
def entries_without_their_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the smallest items too large for their entries."""
    monkeypatch.setattr(indexes, "ENTRIES_BYTES_MAX", 0)


def test_a_page_grows_again_after_entries_have_changed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "_RECORDS_MAX", 8)

    async def main() -> None:
        async with served(tmp_path) as service:
            for number in range(25):
                await service.put(number, "old")
            # The last of them comes first.
            service.store.happens = [lambda: service.put(0, "newest"), lambda: service.put(0, "new")]
            assert await service.query() == {
                f"item-{number:02d}": "old" if number else "newest" for number in range(25)
            }
            assert service.store.limits == [8, 4, 2, 4, 8, 8, 8]

    asyncio.run(main())


def test_an_entry_whose_item_is_gone_does_not_keep_a_read_going(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as service:
            await service.put(0, "here")
            assert await service.query() == {"item-00": "here"}
            assert service.store.last_item is not None
            gone: Any = service.store
            await gone.commit(Commit(new_commit_id(CLOCK, IDS), [Delete(service.store.last_item)]))
            with pytest.raises(
                StoreUnavailable, match="the index 'gsi-0' of the table 'things' changed, or had no item"
            ):
                await service.query()
            assert len(service.store.limits) == 30
            assert service.store.limits[-1] == 1

    asyncio.run(main())
