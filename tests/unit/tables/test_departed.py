"""Streams outlive their table by a day, and nothing else of it does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from tenet.base.clock import NEVER, ManualClock
from tenet.base.ids import SeededIds
from tenet.store.contract import Engine, Key, Put
from tenet.store.landing import land
from tenet.tables import keys
from tenet.tables.api import Tables, TablesSettings
from tenet.tables.ops.catalog import decode_departed
from tests.unit.pipes.world import ACCOUNT, OTHER, World, in_loop, memory
from tests.unit.tables.streaming import OFF, Streamed, item, on
from tests.unit.tables.test_streams import HOUR_MS, STORES, refused, streamed

Make = Callable[[ManualClock], Engine]
DAY_MS = 24 * HOUR_MS


async def spaces(world: Streamed) -> list[str]:
    return [info.name for info in await world.store.list_spaces("tables.") if keys.is_table_space(info.name)]


async def departed(world: Streamed) -> list[bool]:
    """Of each departed table, whether its items are gone."""
    page = await world.store.scan(keys.CATALOG_SPACE, keys.CATALOG_DEPARTED, limit=100)
    return [decode_departed(record.value).is_empty for record in page.records]


async def emptied(world: Streamed) -> None:
    for _ in range(500):
        if all(await departed(world)):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the items of a deleted table stay")


async def look(world: Streamed) -> None:
    await world.tables._context.lifecycle._look()


async def listed(world: Streamed, account: str = ACCOUNT, **more: Any) -> list[str]:
    return [one["StreamArn"] for one in (await world.ask("ListStreams", account, **more))["Streams"]]


@STORES
@pytest.mark.parametrize("is_indexed", [True, False])
@in_loop
async def test_a_stream_outlives_its_table_by_a_day(make: Make, *, is_indexed: bool) -> None:
    async with streamed(make) as world:
        first = await world.make("NEW_IMAGE", indexed=is_indexed)
        for number in range(50):
            await world.put(f"k-{number}", v="1", g="x")
        told = await world.records(first)
        live = await world.iterator(first, await world.shard_with(first, "k-1"))
        await world.call("DeleteTable", TableName="orders")
        assert (await refused(world.call("DescribeTable", TableName="orders")))[0] == "ResourceNotFoundException"
        await emptied(world)
        (space,) = await spaces(world)
        assert not (await world.store.scan(space, limit=100)).records
        # One of the same name is another table.
        world.clock.advance_ms(1)
        second = await world.make("KEYS_ONLY", indexed=is_indexed)
        await world.put("k-1", v="2")
        assert await listed(world) == await listed(world, TableName="orders") == [first, second]
        assert await listed(world, ExclusiveStartStreamArn=first) == [second]
        assert (await world.ask("ListStreams", Limit=1))["LastEvaluatedStreamArn"] == first
        assert await listed(world, OTHER) == []
        described = (await world.ask("DescribeStream", StreamArn=first))["StreamDescription"]
        assert (described["StreamStatus"], described["TableName"]) == ("DISABLED", "orders")
        assert described["KeySchema"] == [{"AttributeName": "Id", "KeyType": "HASH"}]
        assert all("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in described["Shards"])
        assert await world.records(first) == told
        assert len(told) == 50
        records, following = await world.drain(live)
        assert records
        assert following is None
        assert [one["dynamodb"]["StreamViewType"] for one in await world.records(second)] == ["KEYS_ONLY"]
        world.clock.advance_ms(DAY_MS - 2)
        await look(world)
        assert await listed(world) == [first, second]
        world.clock.advance_ms(2)
        assert await listed(world) == [second]
        code, text = await refused(world.ask("DescribeStream", StreamArn=first))
        assert (code, text) == (
            "ResourceNotFoundException",
            f"Requested resource not found: Stream: {first} not found",
        )
        await look(world)
        assert space not in await spaces(world)
        assert await departed(world) == []
        assert (await world.call("GetItem", TableName="orders", Key=item("k-1")))["Item"] == item("k-1", v="2")


@STORES
@in_loop
async def test_a_table_without_streams_leaves_nothing(make: Make) -> None:
    async with streamed(make) as world:
        await world.make(None)
        await world.put("a")
        await world.call("DeleteTable", TableName="orders")
        assert await spaces(world) == []
        await world.make("NEW_IMAGE")
        await world.switch(OFF)
        world.clock.advance_ms(DAY_MS)
        await world.call("DeleteTable", TableName="orders")
        assert (await spaces(world), await departed(world), await listed(world)) == ([], [], [])


@in_loop
async def test_of_a_tables_streams_those_outlive_it_that_can_be_read() -> None:
    async with streamed(memory) as world:
        arns = [await world.make("NEW_IMAGE")]
        for _ in range(2):
            await world.switch(OFF)
            world.clock.advance_ms(20 * HOUR_MS)
            arns.append((await world.switch(on("KEYS_ONLY")))["LatestStreamArn"])
            await world.put("a", v=arns[-1])
        await world.call("DeleteTable", TableName="orders")
        assert await listed(world) == arns[1:]
        # The middle one was switched off 20 hours ago.
        world.clock.advance_ms(10 * HOUR_MS)
        await look(world)
        assert await listed(world) == arns[2:]
        assert len(await world.records(arns[2])) == 1
        world.clock.advance_ms(14 * HOUR_MS)
        await look(world)
        assert (await spaces(world), await departed(world)) == ([], [])


@STORES
@in_loop
async def test_departed_tables_are_among_the_others_in_every_page(make: Make) -> None:
    async with streamed(make) as world:
        arns: list[str] = []
        for number in range(12):
            arns.append(await world.make("KEYS_ONLY", name=f"orders-{number // 3:02}"))
            if number % 3 < 2:
                await world.call("DeleteTable", TableName=f"orders-{number // 3:02}")
            world.clock.advance_ms(1)
        assert await listed(world) == arns
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = await world.ask("ListStreams", Limit=5, **more)
            found += [one["StreamArn"] for one in page["Streams"]]
            if "LastEvaluatedStreamArn" not in page:
                break
            more = {"ExclusiveStartStreamArn": page["LastEvaluatedStreamArn"]}
        assert found == arns
        assert await listed(world, TableName="orders-02") == arns[6:9]


@in_loop
async def test_streams_are_listed_where_there_are_many_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenet.tables.ops.list_streams._TABLES", 2)
    async with streamed(memory) as world:
        arns: list[str] = []
        for number in range(7):
            for _ in range(2):
                arns.append(await world.make("KEYS_ONLY", name=f"orders-{number}"))
                await world.call("DeleteTable", TableName=f"orders-{number}")
                world.clock.advance_ms(1)
            if number % 2:
                arns.append(await world.make("KEYS_ONLY", name=f"orders-{number}"))
        assert await listed(world) == arns


@in_loop
async def test_a_deleted_table_does_not_count() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(memory(clock), clock) as world:
        await world.tables.close()
        settings = TablesSettings(tables_max=1)
        world.tables = await Tables.open(world.store, clock=clock, ids=SeededIds(3), settings=settings)
        for _ in range(3):
            await world.make()
            assert (await refused(world.make(name="another")))[0] == "LimitExceededException"
            await world.call("DeleteTable", TableName="orders")
            clock.advance_ms(1)
        assert len(await listed(world)) == 3


@STORES
@in_loop
async def test_what_a_dead_process_has_left_of_a_table_is_removed_by_the_next(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        for number in range(40):
            await world.put(f"k-{number}")
        monkeypatch.setattr(world.tables._context.departed, "empty", lambda _table: None)
        await world.call("DeleteTable", TableName="orders")
        assert await departed(world) == [False]
        (space,) = await spaces(world)
        assert len((await world.store.scan(space, limit=100)).records) == 40
        again = await Tables.open(world.store, clock=world.clock, ids=SeededIds(7))
        await emptied(world)
        assert not (await world.store.scan(space, limit=100)).records
        assert len(await world.records(arn)) == 40
        await again.close()


@STORES
@in_loop
async def test_a_process_that_closes_leaves_off_removing(make: Make) -> None:
    async with streamed(make) as world:
        await world.make("NEW_IMAGE")
        for number in range(100):
            await world.put(f"k-{number}")
        await world.call("DeleteTable", TableName="orders")
        await world.tables.close()
        count = await departed(world)
        await asyncio.sleep(0.05)
        assert await departed(world) == count
        world.tables = await Tables.open(world.store, clock=world.clock, ids=SeededIds(7))
        await emptied(world)


@pytest.mark.parametrize("has_space", [True, False])
@STORES
@in_loop
async def test_a_departed_table_without_its_log_goes(make: Make, *, has_space: bool) -> None:
    """As a copy of the store has it, spaces and no logs; or where even the space is gone."""
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        await world.put("a")
        await world.call("DeleteTable", TableName="orders")
        await emptied(world)
        (space,) = await spaces(world)
        await world.store.drop_space(space)
        assert (await refused(world.records(arn)))[0] == "ResourceNotFoundException"
        if has_space:
            await world.store.ensure_space(space)
        await look(world)
        assert (await spaces(world), await departed(world), await listed(world)) == ([], [], [])


@in_loop
async def test_what_comes_late_to_a_deleted_table_is_in_no_stream() -> None:
    async with streamed(memory) as world:
        arn = await world.make("NEW_IMAGE")
        await world.put("a")
        table = await world.tables._context.catalog.table(ACCOUNT, "orders")
        await world.call("DeleteTable", TableName="orders")
        await emptied(world)
        late = Put(Key(table.space, b"late", keys.ITEM_PREFIX), b"x")
        await land(world.store, [late], clock=world.clock, ids=SeededIds(1), deadline=NEVER)
        assert [one["dynamodb"]["Keys"] for one in await world.records(arn)] == [item("a")]
        world.clock.advance_ms(DAY_MS)
        await look(world)
        assert await spaces(world) == []


@in_loop
async def test_a_pipe_reads_what_is_left_of_a_deleted_table() -> None:
    async with World(memory()) as world:
        await world.make_table()
        await world.table("UpdateTable", TableName="orders", StreamSpecification=on("NEW_IMAGE"))
        url = await world.make_queue("out.fifo")
        await world.make_pipe(DesiredState="STOPPED")
        await world.put("a", v="1")
        await world.table("DeleteTable", TableName="orders")
        await world.pipe("StartPipe", Name="out")
        assert len(await world.records(url, 1)) == 1


# ---- how many --------------------------------------------------------------------------------------------------------


@STORES
@in_loop
async def test_of_too_many_deleted_tables_those_that_ended_first_go(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenet.tables.ops.departed.DEPARTED_MAX", 3)
    async with streamed(make) as world:
        arns: list[str] = []
        # By name the last ones end first.
        for number in range(6):
            name = f"orders-{9 - number}"
            arns.append(await world.make("NEW_IMAGE", name=name))
            await world.call("PutItem", TableName=name, Item=item("a", v="1"))
            await world.call("DeleteTable", TableName=name)
            world.clock.advance_ms(1)
            await emptied(world)
            assert sorted(await listed(world)) == sorted(arns[-3:])
            assert len(await spaces(world)) == min(3, number + 1)
        assert [len(await world.records(arn)) for arn in arns[3:]] == [1, 1, 1]
        for arn in arns[:3]:
            assert (await refused(world.ask("DescribeStream", StreamArn=arn)))[0] == "ResourceNotFoundException"
        # A table that is there counts for nothing, and neither do those of others.
        await world.make("NEW_IMAGE")
        request: dict[str, Any] = {
            "TableName": "orders-1",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
            "StreamSpecification": on("NEW_IMAGE"),
        }
        await world.call("CreateTable", OTHER, **request)
        await world.call("DeleteTable", OTHER, TableName="orders-1")
        assert len(await listed(world)) == 4
        assert len(await listed(world, OTHER)) == 1


@in_loop
async def test_a_stream_that_is_read_when_it_goes_early_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with streamed(memory) as world:
        arn = await world.make("NEW_IMAGE")
        await world.put("a", v="1")
        iterator = await world.iterator(arn, await world.shard_with(arn, "a"))
        await world.call("DeleteTable", TableName="orders")
        assert len((await world.ask("GetRecords", ShardIterator=iterator))["Records"]) == 1
        monkeypatch.setattr("tenet.tables.ops.departed.DEPARTED_MAX", 0)
        await world.tables._context.departed.keep_few(ACCOUNT)
        assert (await refused(world.ask("GetRecords", ShardIterator=iterator)))[0] == "ResourceNotFoundException"
        assert (await spaces(world), await departed(world)) == ([], [])


@STORES
@in_loop
async def test_too_many_deleted_tables_that_a_dead_process_has_left_go_too(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streamed(make) as world:
        for number in range(5):
            await world.make("NEW_IMAGE", name=f"orders-{number}")
            await world.call("DeleteTable", TableName=f"orders-{number}")
            world.clock.advance_ms(1)
        await emptied(world)
        monkeypatch.setattr("tenet.tables.ops.departed.DEPARTED_MAX", 2)
        # Not all at once: a node that starts does not wait for hundreds of them.
        monkeypatch.setattr("tenet.tables.ops.departed._AT_ONCE", 2)
        await look(world)
        assert [arn.split("/")[1] for arn in await listed(world)] == ["orders-2", "orders-3", "orders-4"]
        await look(world)
        assert [arn.split("/")[1] for arn in await listed(world)] == ["orders-3", "orders-4"]
        assert len(await spaces(world)) == 2


class Counted:
    """Counts the records that queries of the catalog return.

    Args:
        world: whose store it stands before.
        monkeypatch: puts it there.
    """

    def __init__(self, world: Streamed, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records = self.calls = 0
        query = world.store.query

        async def counted(space: str, *args: Any, **more: Any) -> Any:
            page = await query(space, *args, **more)
            if space == keys.CATALOG_SPACE:
                self.records += len(page.records)
                self.calls += 1
            return page

        monkeypatch.setattr(world.store, "query", counted)


@pytest.mark.thorough
@in_loop
async def test_a_page_of_streams_reads_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with streamed(memory) as world:
        arns: list[str] = []
        for number in range(160):
            name = f"orders-{number // 2:03}"
            arns.append(await world.make("NEW_IMAGE", name=name))
            if number % 2 == 0 or number % 4 == 1:
                await world.call("DeleteTable", TableName=name)
            world.clock.advance_ms(1)
        counted = Counted(world, monkeypatch)
        found: list[str] = []
        more: dict[str, Any] = {}
        pages = 0
        while True:
            page = await world.ask("ListStreams", Limit=4, **more)
            found += [one["StreamArn"] for one in page["Streams"]]
            pages += 1
            if "LastEvaluatedStreamArn" not in page:
                break
            more = {"ExclusiveStartStreamArn": page["LastEvaluatedStreamArn"]}
        assert found == arns
        # Of a name that a page ends with there may be more, so that it reads on.
        assert counted.calls <= 4 * pages
        assert counted.records <= 36 * pages


@pytest.mark.parametrize("seed", range(12))
@in_loop
async def test_streams_are_listed_by_name_and_age_whatever_a_page_holds(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr("tenet.tables.ops.list_streams._TABLES", chance.randint(1, 4))
    async with streamed(memory) as world:
        arns: dict[str, list[str]] = {}
        # Names one of which begins the other, and between which a hyphen sorts.
        for name in ("orders", "orders-", "orders-a", "orders.b", "orders0"):
            for is_last in [False] * chance.randint(0, 4) + [True]:
                arn = await world.make(chance.choice(["NEW_IMAGE", "KEYS_ONLY", None]), name=name)
                arns.setdefault(name, []).extend([arn] if arn else [])
                if not is_last or chance.random() < 0.5:
                    await world.call("DeleteTable", TableName=name)
                world.clock.advance_ms(1)
        expected = [arn for name in sorted(arns) for arn in arns[name]]
        assert await listed(world) == expected
        found: list[str] = []
        more: dict[str, Any] = {"Limit": chance.randint(1, 4)}
        while True:
            page = await world.ask("ListStreams", **more)
            found += [one["StreamArn"] for one in page["Streams"]]
            if "LastEvaluatedStreamArn" not in page:
                break
            more["ExclusiveStartStreamArn"] = page["LastEvaluatedStreamArn"]
        assert found == expected
