"""The largest requests that the API allows fit into commits of the store, indexes and all, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store import memory
from tenet.store.contract import Engine, Page
from tenet.store.sqlite import engine as sqlite
from tenet.tables.api import Caller, Tables
from tenet.tables.errors import ValidationException
from tests.dear import Dear

INDEXES = 20
#: A little less than 400 KB with names and keys.
LARGE = "x" * 409_000
TABLE: dict[str, Any] = {
    "TableName": "large",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("p", "g")],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": f"gsi-{number}",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
        for number in range(INDEXES)
    ],
}


async def opened(name: str, directory: Path) -> Engine:
    clock, ids = SystemClock(), SystemIds()
    if name.startswith("dear "):
        return cast("Engine", Dear(await opened(name.removeprefix("dear "), directory), is_waiting=True))
    if name == "memory":
        return await memory.open_engine("", clock=clock, ids=ids)
    return await sqlite.open_engine(str(directory), clock=clock, ids=ids)


@asynccontextmanager
async def serving(name: str, directory: Path) -> AsyncIterator[Tables]:
    """The service on an engine of its own."""
    engine = await opened(name, directory)
    tables = await Tables.open(engine, clock=SystemClock(), ids=SystemIds())
    try:
        yield tables
    finally:
        await tables.close()
        await engine.close()


async def call(tables: Tables, operation: str, **request: Any) -> Any:
    return orjson.loads(await tables.call(operation, request, Caller("0" * 12)) or b"{}")


def item(number: int, content: str = LARGE) -> dict[str, Any]:
    return {"p": {"S": f"item-{number}"}, "g": {"S": "all"}, "content": {"S": content}}


async def pages(tables: Tables, index: str, partition: str, value: str, **more: Any) -> AsyncIterator[list[Any]]:
    """The items of an index's partition, page by page."""
    start: dict[str, Any] = {}
    while True:
        page = await call(
            tables,
            "Query",
            TableName="large",
            IndexName=index,
            KeyConditionExpression=f"{partition} = :v",
            ExpressionAttributeValues={":v": {"S": value}},
            **more,
            **start,
        )
        yield page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


async def indexed(tables: Tables, index: int) -> dict[str, str]:
    """The items of an index by their keys."""
    found: dict[str, str] = {}
    async for items in pages(tables, f"gsi-{index}", "g", "all"):
        found |= {one["p"]["S"]: one["content"]["S"] for one in items}
    return found


@pytest.mark.parametrize("engine_name", ["memory", "sqlite", "dear memory", "dear sqlite"])
def test_the_largest_items_and_requests_are_written_with_all_their_index_entries(
    engine_name: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with serving(engine_name, tmp_path) as tables:
            await call(tables, "CreateTable", **TABLE)
            await call(tables, "PutItem", TableName="large", Item=item(0))
            assert await indexed(tables, INDEXES - 1) == {"item-0": LARGE}
            many = [{"Put": {"TableName": "large", "Item": item(number, "y" * 40_000)}} for number in range(100)]
            await call(tables, "TransactWriteItems", TransactItems=many)
            assert await indexed(tables, 3) == {f"item-{number}": "y" * 40_000 for number in range(100)}
            batch = [{"PutRequest": {"Item": item(number)}} for number in range(25)]
            await call(tables, "BatchWriteItem", RequestItems={"large": batch})
            assert sum(content == LARGE for content in (await indexed(tables, 0)).values()) == 25
            await call(tables, "DeleteItem", TableName="large", Key={"p": {"S": "item-0"}})
            assert len(await indexed(tables, 1)) == 99
            gone = [{"Delete": {"TableName": "large", "Key": {"p": {"S": f"item-{number}"}}}} for number in range(99)]
            await call(tables, "TransactWriteItems", TransactItems=gone)
            assert await indexed(tables, 2) == {"item-99": "y" * 40_000}

    asyncio.run(main())


class Hurried:
    """A store in which something happens right after the first page of a query was read.

    Args:
        engine: the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.happens: Callable[[], Awaitable[object]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def query(self, *arguments: Any, **options: Any) -> Page:
        """Reads a page."""
        page = await self._engine.query(*arguments, **options)
        if self.happens is not None:
            happens, self.happens = self.happens, None
            await happens()
        return page


@pytest.mark.parametrize("engine_name", ["memory", "sqlite"])
@pytest.mark.parametrize("change", ["moved", "changed", "deleted", "touched"])
def test_entries_without_their_items_are_read_as_of_one_moment(engine_name: str, change: str, tmp_path: Path) -> None:
    """Items that are too large for their entries are fetched after the page, and must not have moved on by then."""

    async def main() -> None:
        engine = await opened(engine_name, tmp_path)
        store: Any = Hurried(engine)
        tables = await Tables.open(store, clock=SystemClock(), ids=SystemIds())
        keys = [{"AttributeName": name, "KeyType": kind} for name, kind in (("g", "HASH"), ("r", "RANGE"))]
        all_of_it, none_of_it = {"ProjectionType": "ALL"}, {"ProjectionType": "KEYS_ONLY"}
        indexes = [
            {"IndexName": f"gsi-{number}", "KeySchema": keys, "Projection": none_of_it if number == 1 else all_of_it}
            for number in range(INDEXES)
        ]
        attributes = [{"AttributeName": name, "AttributeType": "S"} for name in "pgr"]
        await call(
            tables, "CreateTable", **TABLE | {"GlobalSecondaryIndexes": indexes, "AttributeDefinitions": attributes}
        )
        for number in range(2):
            await call(tables, "PutItem", TableName="large", Item=item(number) | {"r": {"S": str(number + 5)}})

        async def happen() -> None:
            key = {"p": {"S": "item-1"}}
            if change == "deleted":
                await call(tables, "DeleteItem", TableName="large", Key=key)
                return
            name, value = {"moved": ("r", "1"), "changed": ("content", "new"), "touched": ("content", "new")}[change]
            await call(
                tables,
                "UpdateItem",
                TableName="large",
                Key=key,
                UpdateExpression="SET #n = :v",
                ExpressionAttributeNames={"#n": name},
                ExpressionAttributeValues={":v": {"S": value}},
            )

        store.happens = happen
        page = await call(
            tables,
            "Query",
            TableName="large",
            IndexName="gsi-1" if change == "touched" else "gsi-0",
            KeyConditionExpression="g = :g",
            ExpressionAttributeValues={":g": {"S": "all"}},
        )
        assert store.happens is None
        found = [(one["p"]["S"], one["r"]["S"], len(one.get("content", {"S": ""})["S"])) for one in page["Items"]]
        assert page["Count"] == page["ScannedCount"] == len(found)
        assert (
            found
            == {
                "moved": [("item-1", "1", len(LARGE)), ("item-0", "5", len(LARGE))],
                "changed": [("item-0", "5", len(LARGE)), ("item-1", "6", 3)],
                "deleted": [("item-0", "5", len(LARGE))],
                "touched": [("item-0", "5", 0), ("item-1", "6", 0)],
            }[change]
        )
        await tables.close()
        await engine.close()

    asyncio.run(main())


@pytest.mark.parametrize("engine_name", ["memory", "sqlite"])
def test_a_batch_of_the_largest_items_without_indexes(engine_name: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(engine_name, tmp_path) as tables:
            await plain_table(tables)
            batch = [{"PutRequest": {"Item": item(number)}} for number in range(25)]
            assert await call(tables, "BatchWriteItem", RequestItems={"large": batch}) == {"UnprocessedItems": {}}
            # Control characters take six bytes each in JSON.
            await call(tables, "PutItem", TableName="large", Item=item(99, "\x01" * 409_000))
            found = await call(tables, "GetItem", TableName="large", Key={"p": {"S": "item-99"}})
            assert found["Item"] == item(99, "\x01" * 409_000)

    asyncio.run(main())


def number_list(length: int) -> dict[str, Any]:
    """A list that counts 3 bytes for each element and takes 10 in JSON."""
    return {"L": [{"N": "1"}] * length}


async def plain_table(tables: Tables) -> None:
    plain = {name: value for name, value in TABLE.items() if name != "GlobalSecondaryIndexes"}
    await call(tables, "CreateTable", **plain | {"AttributeDefinitions": TABLE["AttributeDefinitions"][:1]})


@pytest.mark.parametrize("engine_name", ["memory", "sqlite", "dear memory"])
def test_a_transaction_is_bounded_by_its_items_and_not_by_their_json(engine_name: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(engine_name, tmp_path) as tables:
            await plain_table(tables)
            items = [{"p": {"S": f"list-{number}"}, "content": number_list(100_000)} for number in range(10)]
            puts = [{"Put": {"TableName": "large", "Item": one}} for one in items]
            await call(tables, "TransactWriteItems", TransactItems=puts)
            found = await call(tables, "GetItem", TableName="large", Key={"p": {"S": "list-9"}})
            assert found["Item"] == items[9]
            for start in range(14):
                await call(tables, "PutItem", TableName="large", Item=item(start))
            changes = [
                {
                    "Update": {
                        "TableName": "large",
                        "Key": {"p": {"S": f"item-{number}"}},
                        "UpdateExpression": "SET q = :q",
                        "ExpressionAttributeValues": {":q": {"N": "1"}},
                    }
                }
                for number in range(14)
            ]
            with pytest.raises(ValidationException, match="4MB"):
                await call(tables, "TransactWriteItems", TransactItems=changes)

    asyncio.run(main())


@pytest.mark.parametrize("engine_name", ["memory", "sqlite"])
def test_a_page_of_a_local_index_ends_by_what_it_fetches(engine_name: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(engine_name, tmp_path) as tables:
            keys = [{"AttributeName": name, "KeyType": kind} for name, kind in (("p", "HASH"), ("s", "RANGE"))]
            await call(
                tables,
                "CreateTable",
                TableName="large",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in "psl"],
                KeySchema=keys,
                LocalSecondaryIndexes=[
                    {
                        "IndexName": "lsi",
                        "KeySchema": [keys[0], {"AttributeName": "l", "KeyType": "RANGE"}],
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                ],
            )
            for number in range(40):
                one = {"p": {"S": "p"}, "s": {"S": f"{number:02}"}, "l": {"S": "l"}, "content": {"S": LARGE}}
                await call(tables, "PutItem", TableName="large", Item=one)
            found: list[str] = []
            async for items in pages(tables, "lsi", "p", "p", Select="ALL_ATTRIBUTES"):
                assert len(items) <= 16
                found += [one["s"]["S"] for one in items]
            assert found == [f"{number:02}" for number in range(40)]

    asyncio.run(main())


@pytest.mark.parametrize("operation", ["BatchWriteItem", "TransactWriteItems"])
def test_others_have_a_turn_between_the_large_items_of_one_request(operation: str) -> None:
    async def main() -> None:
        tables = await Tables.open(await opened("memory", Path()), clock=SystemClock(), ids=SystemIds())
        items = [{"p": {"S": str(number)}, "content": number_list(100_000)} for number in range(10)]
        # Refused before the store is asked for anything, which gives others a turn too.
        items.append({"p": {"S": "last"}, "wrong": {"N": "none"}})
        puts = [{"Put": {"TableName": "large", "Item": one}} for one in items]
        requests = [{"PutRequest": {"Item": one}} for one in items]
        request = {"RequestItems": {"large": requests}} if operation == "BatchWriteItem" else {"TransactItems": puts}
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        meanwhile = asyncio.create_task(others())
        with pytest.raises(ValidationException, match="cannot be converted to a numeric value: none"):
            await call(tables, operation, **request)
        assert turns >= 10
        meanwhile.cancel()
        await tables.close()

    asyncio.run(main())
