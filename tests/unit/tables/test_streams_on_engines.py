"""Streams on the engines that hold real data: the embedded one, and the one over Cassandra on a cluster in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenet.base.clock import Clock, ManualClock, SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Engine
from tenet.store.sqlite.engine import open_engine
from tenet.tables.api import TablesError
from tenet.tables.rules import index_log
from tests.cassandra_model.stand import Stand
from tests.unit.pipes.world import ACCOUNT
from tests.unit.tables.streaming import OFF, ONE_BY_ONE_S, VIEWS, Streamed, item, on

DAY_MS = 24 * 3_600_000
#: How soon a reader sees a change on the embedded engine, beside what a busy machine takes.
SEEN_S_MAX = 0.1
BUSY = 10


async def told(world: Streamed, arn: str) -> list[tuple[str, str]]:
    """Events of the stream with their items, those of each item in their order."""
    records = await world.records(arn, limit=3)
    numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
    assert len(set(numbers)) == len(numbers)
    return sorted(((one["dynamodb"]["Keys"]["Id"]["S"], one["eventName"]) for one in records), key=lambda one: one[0])


async def active(world: Streamed) -> dict[str, Any]:
    """Waits until no transition of the table runs; returns its description."""
    for _ in range(1_000):
        described: dict[str, Any] = (await world.call("DescribeTable", TableName="orders"))["Table"]
        if described["TableStatus"] == "ACTIVE":
            return described
        await asyncio.sleep(0.02)
    raise AssertionError("the table is not active")


async def life_of_a_stream(one: Streamed, other: Streamed, *, indexed: bool) -> None:
    """Two processes, which may be one, write to a table whose stream is switched on, off and on; then it is deleted."""
    await one.make(None, indexed=indexed)
    await active(one)
    await other.put("before", v="1")
    await one.switch(on("NEW_AND_OLD_IMAGES"))
    first = (await active(one))["LatestStreamArn"]
    worlds = (one, other)
    for number in range(12):
        await worlds[number % 2].put(f"k-{number % 3}", v=str(number), g="g")
    await other.delete("k-0")
    transaction = [{"Put": {"TableName": "orders", "Item": item(f"t-{number}")}} for number in range(3)]
    await other.call("TransactWriteItems", TransactItems=transaction)
    busy = await one.shard_with(first, "k-1")
    await one.split(first, busy)
    assert len(await other.shards(first)) == 6
    await other.put("k-1", v="split")
    await one.put("k-1", v="again")
    assert await other.shard_with(first, "k-1") == busy
    expected = [
        *[("k-0", "INSERT"), *[("k-0", "MODIFY")] * 3, ("k-0", "REMOVE")],
        *[("k-1", "INSERT"), *[("k-1", "MODIFY")] * 5],
        *[("k-2", "INSERT"), *[("k-2", "MODIFY")] * 3],
        *[(f"t-{number}", "INSERT") for number in range(3)],
    ]
    assert await told(one, first) == expected
    assert await told(other, first) == expected
    live = await other.iterator(first, await other.shard_with(first, "k-1"))
    assert (await other.drain(live))[1] is None
    child = (await other.shards(first))[-1]["ShardId"]
    live = await other.iterator(first, child)
    await one.switch(OFF)
    await active(one)
    await other.put("unseen")
    assert await told(other, first) == expected
    assert (await other.drain(live))[1] is None
    await one.switch(on("KEYS_ONLY"))
    second = (await active(one))["LatestStreamArn"]
    await other.put("k-1", v="at last")
    assert await told(one, second) == [("k-1", "MODIFY")]
    assert await told(other, first) == expected
    live = await other.iterator(second, await other.shard_with(second, "k-1"))
    await one.call("DeleteTable", TableName="orders")
    assert await told(other, first) == expected
    for _ in range(1_000):
        described = await other.ask("DescribeStream", StreamArn=second)
        if described["StreamDescription"]["StreamStatus"] == "DISABLED":
            break
        await asyncio.sleep(0.02)
    assert [record["eventName"] for record in (await other.drain(live))[0]] == ["MODIFY"]
    assert (await other.drain(live))[1] is None
    assert await told(one, second) == [("k-1", "MODIFY")]
    assert await told(one, first) == expected


# ---- the embedded engine ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def embedded(folder: Path, clock: Clock) -> AsyncIterator[Streamed]:
    store: Engine = await open_engine(str(folder), clock=clock, ids=SystemIds())
    try:
        async with Streamed(store, clock) as world:
            yield world
    finally:
        await store.close()


@pytest.mark.parametrize("is_indexed", [True, False])
def test_a_stream_on_the_embedded_engine(tmp_path: Path, *, is_indexed: bool) -> None:
    async def test() -> None:
        async with embedded(tmp_path / "store", SystemClock()) as world:
            await life_of_a_stream(world, world, indexed=is_indexed)

    asyncio.run(test())


@pytest.mark.parametrize("view", VIEWS)
def test_a_stream_outlives_its_process(tmp_path: Path, view: str) -> None:
    async def test() -> None:
        async with embedded(tmp_path / "store", SystemClock()) as world:
            arn = await world.make(view)
            await world.put("a", v="1")
            before = await world.records(arn)
            iterator = await world.iterator(arn, await world.shard_with(arn, "a"), "LATEST")
        async with embedded(tmp_path / "store", SystemClock()) as world:
            assert await world.records(arn) == before
            await world.put("a", v="2")
            assert [one["eventName"] for one in (await world.drain(iterator))[0]] == ["MODIFY"]
            assert [one["eventName"] for one in await world.records(arn)] == ["INSERT", "MODIFY"]

    asyncio.run(test())


def test_records_are_trimmed_after_a_day_on_the_embedded_engine(tmp_path: Path) -> None:
    async def test() -> None:
        clock = ManualClock(wall_ms=SystemClock().wall_ms())
        async with embedded(tmp_path / "store", clock) as world:
            arn = await world.make("NEW_IMAGE")
            await world.put("a", v="1")
            clock.advance_ms(DAY_MS - 3_600_000)
            await world.put("a", v="2")
            assert await told(world, arn) == [("a", "INSERT"), ("a", "MODIFY")]
            clock.advance_ms(2 * 3_600_000)
            for _ in range(500):
                await world.put("a", v="3")
                if await told(world, arn) == [("a", "MODIFY"), ("a", "MODIFY")]:
                    return
                await asyncio.sleep(0.02)
            raise AssertionError("what is older than a day is kept")

    asyncio.run(test())


def test_a_change_is_seen_at_once_on_the_embedded_engine(tmp_path: Path) -> None:
    async def test() -> None:
        async with embedded(tmp_path / "store", SystemClock()) as world:
            arn = await world.make("NEW_IMAGE")
            await world.put("a", v="0")
            iterator = await world.iterator(arn, await world.shard_with(arn, "a"), "LATEST")
            for number in range(20):
                await world.put("a", v=str(number + 1))
                began_s = time.monotonic()
                answer = await world.ask("GetRecords", ShardIterator=iterator)
                assert time.monotonic() - began_s < SEEN_S_MAX * BUSY
                # The very next read has it: nothing has to be waited for.
                assert [one["dynamodb"]["NewImage"]["v"]["S"] for one in answer["Records"]] == [str(number + 1)]
                iterator = answer["NextShardIterator"]

    asyncio.run(test())


# ---- over Cassandra --------------------------------------------------------------------------------------------------


async def on_cluster(stand: Stand, stack: AsyncExitStack, name: str) -> Streamed:
    process = await stand.process(name)
    return await stack.enter_async_context(Streamed(process.engine, process.clock, request_s_max=ONE_BY_ONE_S))


@pytest.mark.thorough
@pytest.mark.parametrize("is_indexed", [True, False])
def test_a_stream_over_cassandra(*, is_indexed: bool) -> None:
    async def test(stand: Stand) -> None:
        async with AsyncExitStack() as stack:
            one = await on_cluster(stand, stack, "one")
            other = await on_cluster(stand, stack, "other")
            await life_of_a_stream(one, other, indexed=is_indexed)

    Stand().run(test)


def test_records_are_trimmed_over_cassandra_though_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    # Looks at every second of a day take half a minute.
    monkeypatch.setattr(index_log, "RETENTION_MS", 600_000)

    async def test(stand: Stand) -> None:
        async with AsyncExitStack() as stack:
            world = await on_cluster(stand, stack, "one")
            arn = await world.make("NEW_IMAGE")
            await world.put("a", v="1")
            await asyncio.sleep(500)
            await world.put("a", v="2")
            assert await told(world, arn) == [("a", "INSERT"), ("a", "MODIFY")]
            shard = await world.shard_with(arn, "a")
            (described,) = [one for one in await world.shards(arn) if one["ShardId"] == shard]
            number = described["SequenceNumberRange"]["StartingSequenceNumber"]
            await world.iterator(arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=number)
            await asyncio.sleep(200)
            table = await world.tables._context.catalog.table(ACCOUNT, "orders")
            stale = [await world.store.read_log(table.space, at, after=2**62, limit=1, stale=True) for at in range(4)]
            assert sorted(page.first for page in stale) == [1, 1, 1, 2]
            assert await told(world, arn) == [("a", "MODIFY")]
            with pytest.raises(TablesError, match="trimmed"):
                await world.iterator(arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=number)

    Stand().run(test)
