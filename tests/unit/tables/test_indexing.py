"""Global indexes that are kept from the log, on engines of this project that declare commits over partitions dear."""

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
from tenet.store.contract import Engine
from tenet.store.sqlite import engine as sqlite
from tenet.tables import keys
from tenet.tables.api import Caller, Tables
from tenet.wire.door import Measured
from tests.dear import Dear, caught_up

CLOCK, IDS = SystemClock(), SystemIds()
ACCOUNT = "0" * 12
WAIT_S_MAX = 30.0


def schema(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


TABLE: dict[str, Any] = {
    "TableName": "things",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("p", "s", "g", "l")],
    "KeySchema": schema("p", "s"),
    "GlobalSecondaryIndexes": [
        {"IndexName": "by-g", "KeySchema": schema("g"), "Projection": {"ProjectionType": "ALL"}},
        {"IndexName": "by-l", "KeySchema": schema("l", "g"), "Projection": {"ProjectionType": "KEYS_ONLY"}},
    ],
    "LocalSecondaryIndexes": [
        {"IndexName": "local", "KeySchema": schema("p", "l"), "Projection": {"ProjectionType": "ALL"}}
    ],
}


def item(number: int, **more: str) -> dict[str, Any]:
    return {"p": {"S": f"p-{number}"}, "s": {"S": "s"}} | {name: {"S": value} for name, value in more.items()}


class Service:
    """The service on a dear engine.

    Args:
        tables: the service.
        store: the engine.
    """

    def __init__(self, tables: Tables, store: Dear) -> None:
        self.tables = tables
        self.store = store

    async def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(await self.tables.call(operation, request, Caller(ACCOUNT)))
        return answer

    async def create(self) -> str:
        """Makes the table and returns the name of its space."""
        await self("CreateTable", **TABLE)
        async with asyncio.timeout(WAIT_S_MAX):
            while True:
                table = (await self("DescribeTable", TableName="things"))["Table"]
                if table["TableStatus"] == "ACTIVE":
                    return keys.table_space(table["TableId"])
                await asyncio.sleep(0.01)

    async def found(self, index: str, partition: str, value: str) -> list[str]:
        """The partition keys of the items in a partition of an index."""
        page = await self(
            "Query",
            TableName="things",
            IndexName=index,
            KeyConditionExpression=f"{partition} = :v",
            ExpressionAttributeValues={":v": {"S": value}},
        )
        return sorted(one["p"]["S"] for one in page["Items"])


@asynccontextmanager
async def service(engine: Engine) -> AsyncIterator[Service]:
    store = Dear(engine)
    tables = await Tables.open(cast("Engine", store), clock=CLOCK, ids=IDS)
    try:
        yield Service(tables, store)
    finally:
        await tables.close()


Run = Callable[[Callable[[Engine], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test on an engine."""
    module = {"memory": memory, "sqlite": sqlite}[request.param]

    def on_engine(test: Callable[[Engine], Awaitable[None]]) -> None:
        async def main() -> None:
            engine: Engine = await module.open_engine(str(tmp_path / "data"), clock=CLOCK, ids=IDS)
            try:
                await test(engine)
            finally:
                await engine.close()

        asyncio.run(main())

    return on_engine


def test_a_write_keeps_to_the_partition_of_its_item(run: Run) -> None:
    async def test(engine: Engine) -> None:
        async with service(engine) as serve:
            space = await serve.create()
            serve.store.reached.clear()
            whole = item(1, g="a", l="x")
            await serve("PutItem", TableName="things", Item=whole)
            await serve(
                "UpdateItem",
                TableName="things",
                Key=item(1),
                UpdateExpression="SET g = :g",
                ExpressionAttributeValues={":g": {"S": "b"}},
            )
            batch = [{"PutRequest": {"Item": item(number, g="c", l="y")}} for number in range(2, 9)]
            await serve("BatchWriteItem", RequestItems={"things": batch})
            await serve("DeleteItem", TableName="things", Key=item(8))
            assert await serve.found("local", "p", "p-2") == ["p-2"], "local indexes are exact at any time"
            await caught_up(engine, space)
            assert all(len(places) == 1 for places in serve.store.reached)
            assert {f"{space}.2", f"{space}.3"} <= {name for places in serve.store.reached for name, _ in places}
            assert await serve.found("by-g", "g", "a") == []
            assert await serve.found("by-g", "g", "b") == ["p-1"]
            assert await serve.found("by-l", "l", "y") == [f"p-{number}" for number in range(2, 8)]
            described = (await serve("DescribeTable", TableName="things"))["Table"]
            assert [index["ItemCount"] for index in described["GlobalSecondaryIndexes"]] == [7, 7]
            assert [index["IndexStatus"] for index in described["GlobalSecondaryIndexes"]] == ["ACTIVE", "ACTIVE"]

    run(test)


def test_a_transaction_is_one_commit_and_its_entries_follow(run: Run) -> None:
    async def test(engine: Engine) -> None:
        async with service(engine) as serve:
            space = await serve.create()
            serve.store.reached.clear()
            puts = [{"Put": {"TableName": "things", "Item": item(number, g="a", l="x")}} for number in range(20)]
            answer = await serve("TransactWriteItems", TransactItems=puts, ReturnConsumedCapacity="INDEXES")
            (consumed,) = answer["ConsumedCapacity"]
            assert consumed["GlobalSecondaryIndexes"]["by-g"]["CapacityUnits"] == 20.0
            wide = [places for places in serve.store.reached if len(places) > 1]
            assert wide == [{(space, f"p-{number}".encode()) for number in range(20)}]
            await caught_up(engine, space)
            assert len(await serve.found("by-g", "g", "a")) == 20
            gone = [{"Delete": {"TableName": "things", "Key": item(number)}} for number in range(20)]
            await serve("TransactWriteItems", TransactItems=gone)
            await caught_up(engine, space)
            assert await serve.found("by-g", "g", "a") == []

    run(test)


def test_many_entries_share_the_commits_of_a_partition(run: Run) -> None:
    async def test(engine: Engine) -> None:
        async with service(engine) as serve:
            space = await serve.create()
            puts = [{"Put": {"TableName": "things", "Item": item(number, g="a", l="x")}} for number in range(100)]
            serve.store.reached.clear()
            await serve("TransactWriteItems", TransactItems=puts)
            await caught_up(engine, space)
            into = [places for places in serve.store.reached if places == {(f"{space}.2", b"a")}]
            assert 1 <= len(into) <= 8, "a commit or two for each shard of the log"

    run(test)


def test_an_idle_table_is_left_alone(run: Run) -> None:
    async def test(engine: Engine) -> None:
        async with service(engine) as serve:
            space = await serve.create()
            await serve("PutItem", TableName="things", Item=item(1, g="a", l="x"))
            await caught_up(engine, space)
            # What follows a write for a while has ended when no cursor moves and no log is read any more.
            before = -1
            async with asyncio.timeout(WAIT_S_MAX):
                while serve.store.log_reads != before:
                    before = serve.store.log_reads
                    await asyncio.sleep(1.5)
            commits, reads = len(serve.store.reached), serve.store.log_reads
            await asyncio.sleep(4)
            assert len(serve.store.reached) == commits, "an idle log writes nothing"
            assert serve.store.log_reads - reads <= 4 * 4, "each shard is looked at every two seconds"

    run(test)


def test_a_table_made_again_shares_nothing_with_the_one_before(run: Run) -> None:
    async def test(engine: Engine) -> None:
        async with service(engine) as serve:
            first = await serve.create()
            for number in range(10):
                await serve("PutItem", TableName="things", Item=item(number, g="a", l="x"))
            await serve("DeleteTable", TableName="things")
            async with asyncio.timeout(WAIT_S_MAX):
                while True:
                    if (await serve("ListTables"))["TableNames"] == []:
                        break
                    await asyncio.sleep(0.01)
            assert await engine.list_spaces(first) == []
            second = await serve.create()
            assert second != first
            await serve("PutItem", TableName="things", Item=item(99, g="a", l="x"))
            await caught_up(engine, second)
            assert await serve.found("by-g", "g", "a") == ["p-99"]
            cursors = (await engine.scan(keys.KEEPERS_SPACE, limit=100)).records
            assert {keys.table_space(keys.cursor_table(one.partition)) for one in cursors} == {second}

    run(test)


def test_what_was_not_followed_is_at_the_next_start(run: Run) -> None:
    async def test(engine: Engine) -> None:
        async with service(engine) as serve:
            space = await serve.create()
            for number in range(30):
                await serve("PutItem", TableName="things", Item=item(number, g="a", l="x"))
        async with service(engine) as serve:
            await caught_up(engine, space)
            assert len(await serve.found("by-g", "g", "a")) == 30
            async with asyncio.timeout(WAIT_S_MAX):
                while True:
                    if len(serve.tables.jobs()) == 4:
                        break
                    await asyncio.sleep(0.01)
            lags = [measure.values for measure in serve.tables.measures() if isinstance(measure, Measured)]
            assert all((ACCOUNT, "things", name) in lags[0] for name in ("by-g", "by-l"))

    run(test)
