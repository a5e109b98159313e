"""What tables do in the background, on real nodes and with two processes: streams, indexes added later, expiry."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tenet.base.clock import SystemClock
from tests.distributed.conftest import OpenEngine
from tests.distributed.test_indexes import CATCH_UP_S_MAX
from tests.sim.test_tables_indexes import called_for, entries_of
from tests.unit.pipes.world import ACCOUNT, INDEX
from tests.unit.tables.streaming import ONE_BY_ONE_S, Streamed
from tests.unit.tables.test_splits_on_engines import splits_while_others_write
from tests.unit.tables.test_streams_on_engines import active, life_of_a_stream

CLOCK = SystemClock()
ITEMS = 60
#: How soon after its answer a change is in a stream, for whoever reads it.
SEEN_S_MAX = 0.5


@asynccontextmanager
async def two(opened: OpenEngine, request_s_max: float = 30.0) -> AsyncIterator[tuple[Streamed, Streamed]]:
    """Two processes on one table, which goes at the end."""
    async with (
        opened() as first,
        opened() as second,
        Streamed(first, CLOCK, request_s_max=request_s_max) as one,
        Streamed(second, CLOCK, request_s_max=request_s_max) as other,
    ):
        yield one, other
        if (await one.call("ListTables"))["TableNames"]:
            await one.call("DeleteTable", TableName="orders")
        async with asyncio.timeout(CATCH_UP_S_MAX):
            while (await one.call("ListTables"))["TableNames"]:  # noqa: ASYNC110 (as a client waits)
                await asyncio.sleep(0.1)


@pytest.mark.time_limit_s(240)
@pytest.mark.parametrize("is_indexed", [True, False])
def test_a_stream_that_two_processes_write_to(opened: OpenEngine, *, is_indexed: bool) -> None:
    async def test() -> None:
        async with two(opened, ONE_BY_ONE_S) as (one, other):
            await life_of_a_stream(one, other, indexed=is_indexed)

    asyncio.run(test())


@pytest.mark.time_limit_s(240)
def test_a_change_is_soon_seen_by_another_process(opened: OpenEngine) -> None:
    async def test() -> None:
        async with two(opened) as (one, other):
            arn = await one.make("NEW_IMAGE")
            await active(one)
            await one.put("k", v="first")
            iterator = await other.iterator(arn, await other.shard_with(arn, "k"), "LATEST")
            took_s = []
            for number in range(30):
                await one.put("k", v=str(number))
                began_s = time.monotonic()
                answer = await other.ask("GetRecords", ShardIterator=iterator)
                while not answer["Records"]:
                    answer = await other.ask("GetRecords", ShardIterator=answer["NextShardIterator"])
                took_s.append(time.monotonic() - began_s)
                assert [record["dynamodb"]["NewImage"]["v"]["S"] for record in answer["Records"]] == [str(number)]
                iterator = answer["NextShardIterator"]
            # Of most of them: the machine has more to do than this.
            assert statistics.median(took_s) < SEEN_S_MAX, took_s

    asyncio.run(test())


@pytest.mark.time_limit_s(240)
def test_an_index_is_added_while_two_processes_write(opened: OpenEngine) -> None:
    async def test() -> None:
        async with two(opened) as (one, other):
            await one.make("NEW_IMAGE")
            arn = (await active(one))["LatestStreamArn"]
            for number in range(ITEMS):
                await (one, other)[number % 2].put(f"k-{number}", g=f"g-{number % 3}")
            is_over = asyncio.Event()

            async def write(world: Streamed, turn: int) -> None:
                while not is_over.is_set():
                    turn += 1
                    await world.put(f"k-{turn % ITEMS}", g=f"g-{turn % 5}", v=str(turn))
                    if turn % 7 == 0:
                        await world.delete(f"k-{(turn * 3) % ITEMS}")

            writers = [asyncio.create_task(write(world, turn)) for turn, world in enumerate((one, other))]
            definitions = [{"AttributeName": "g", "AttributeType": "S"}]
            updates = [{"Create": INDEX}]
            await one.call(
                "UpdateTable",
                TableName="orders",
                AttributeDefinitions=definitions,
                GlobalSecondaryIndexUpdates=updates,
            )
            async with asyncio.timeout(CATCH_UP_S_MAX + 60):
                while True:
                    indexes = (await other.call("DescribeTable", TableName="orders"))["Table"]["GlobalSecondaryIndexes"]
                    if indexes[0]["IndexStatus"] == "ACTIVE":
                        break
                    await asyncio.sleep(0.2)
            is_over.set()
            await asyncio.gather(*writers)
            table = await one.tables._context.catalog.describe(ACCOUNT, "orders")
            wanted = await called_for(one.store, table)
            assert wanted
            async with asyncio.timeout(CATCH_UP_S_MAX):
                while await entries_of(one.store, table) != wanted:  # noqa: ASYNC110 (the log is followed behind the answers)
                    await asyncio.sleep(0.1)
            records = await one.records(arn)
            assert all(record["dynamodb"]["NewImage"] for record in records if record["eventName"] != "REMOVE")
            numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
            assert len(set(numbers)) == len(numbers) > ITEMS, "what fills an index is no change of an item"

    asyncio.run(test())


@pytest.mark.time_limit_s(240)
def test_shards_split_while_two_processes_write(opened: OpenEngine) -> None:
    async def test() -> None:
        async with two(opened) as (one, other):
            await splits_while_others_write(one, other)

    asyncio.run(test())


@pytest.mark.time_limit_s(240)
def test_items_expire_and_their_stream_says_who_removed_them(opened: OpenEngine) -> None:
    async def test() -> None:
        async with two(opened) as (one, other):
            await one.make("OLD_IMAGE")
            arn = (await active(one))["LatestStreamArn"]
            now_s = int(time.time())
            for number in range(20):
                due = now_s - 10 if number % 2 else now_s + 3_600
                await other.call(
                    "PutItem", TableName="orders", Item={"Id": {"S": f"k-{number}"}, "until": {"N": str(due)}}
                )
            specification = {"AttributeName": "until", "Enabled": True}
            await one.call("UpdateTimeToLive", TableName="orders", TimeToLiveSpecification=specification)
            async with asyncio.timeout(CATCH_UP_S_MAX):
                while (await other.call("Scan", TableName="orders"))["Count"] > 10:  # noqa: ASYNC110 (it is done behind the answers)
                    await asyncio.sleep(0.2)
            assert (await other.call("Scan", TableName="orders"))["Count"] == 10
            gone = [record for record in await one.records(arn) if record["eventName"] == "REMOVE"]
            assert len(gone) == 10
            service = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
            assert [record["userIdentity"] for record in gone] == [service] * 10

    asyncio.run(test())
