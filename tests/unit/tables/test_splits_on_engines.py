"""Shards that split on the engines that hold real data, while two processes write and a consumer reads from both."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tenet.base.clock import SystemClock
from tenet.tables.rules.index_log import LOG_SHARDS
from tests.cassandra_model.stand import Stand
from tests.unit.tables.streaming import Streamed
from tests.unit.tables.test_streams_on_engines import active, embedded, on_cluster
from tests.unit.tables.walking import Walker, check_order

KEYS = 16
ROUNDS = 8


async def splits_while_others_write(one: Streamed, other: Streamed) -> None:
    """Two processes, which may be one, write and split; a consumer asks both in turn."""
    await one.make()
    arn = str((await active(one))["LatestStreamArn"])
    turns = itertools.cycle((one, other))
    is_over = False

    async def ask(operation: str, **request: Any) -> dict[str, Any]:
        return await next(turns).ask(operation, **request)

    async def write(world: Streamed, name: str) -> None:
        for number in range(ROUNDS):
            for at in range(KEYS):
                await world.put(f"k-{at}", v=f"{name}/{number}")

    async def split() -> None:
        nonlocal is_over
        for number in (0, 2, 4, 9, 1):
            shards = await one.shards(arn)
            # Both at once: one of them does it.
            await asyncio.gather(*(world.split(arn, shards[number]["ShardId"]) for world in (one, other)))
        is_over = True

    async def read() -> None:
        while not is_over:
            await walker.step(5)
            await asyncio.sleep(0.01)

    walker = Walker(ask, arn)
    await asyncio.gather(write(one, "one"), write(other, "other"), split(), read())
    for at in range(KEYS):
        await other.put(f"k-{at}", v="last")
    records = await walker.to_the_end(7)
    scanned = (await one.call("Scan", TableName="orders"))["Items"]
    assert check_order(records) == {str(sorted({"Id": item["Id"]}.items())): item for item in scanned}
    shards = await walker.shards()
    assert LOG_SHARDS + 8 <= len(shards) <= LOG_SHARDS + 10
    assert len(walker.ended) == (len(shards) - LOG_SHARDS) // 2
    again = await Walker(ask, arn).to_the_end()
    assert {record["eventID"] for record in again} == {record["eventID"] for record in records}


def test_shards_split_on_the_embedded_engine(tmp_path: Path) -> None:
    async def test() -> None:
        async with embedded(tmp_path / "store", SystemClock()) as world:
            await splits_while_others_write(world, world)

    asyncio.run(test())


@pytest.mark.thorough
def test_shards_split_over_cassandra() -> None:
    async def test(stand: Stand) -> None:
        async with AsyncExitStack() as stack:
            one = await on_cluster(stand, stack, "one")
            other = await on_cluster(stand, stack, "other")
            await splits_while_others_write(one, other)

    Stand().run(test)


def test_splits_are_there_when_a_process_begins_anew(tmp_path: Path) -> None:
    async def test() -> None:
        async with embedded(tmp_path / "store", SystemClock()) as world:
            arn = await world.make()
            await world.put("a", v="1")
            busy = await world.shard_with(arn, "a")
            walker = Walker(world.ask, arn)
            await walker.to_the_end()
            await world.split(arn, busy)
            await world.put("a", v="2")
            shards = await world.shards(arn)
        async with embedded(tmp_path / "store", SystemClock()) as world:
            assert await world.shards(arn) == shards
            walker.ask = world.ask
            await world.put("a", v="3")
            records = await walker.to_the_end()
            assert [record["dynamodb"]["NewImage"]["v"]["S"] for record in records] == ["1", "2", "3"]
            assert walker.ended == {busy}

    asyncio.run(test())
