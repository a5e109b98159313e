"""Streams that are switched on and off while some of those who write know of it and others do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from tenet.base.clock import ManualClock
from tenet.store.cached import STALE_S
from tenet.store.contract import Capabilities, Commit, Engine, LogOptions, Outcome, SpaceOptions
from tenet.tables.api import Caller, Tables
from tenet.tables.model import Table
from tenet.tables.rules.stream_settings import stream_arn
from tests.dear import Dear
from tests.unit.pipes.world import ACCOUNT, IDS, dear, in_loop, memory
from tests.unit.tables.streaming import NEVER_SPLIT, ONE_BY_ONE_S, Streamed, item, on

STORES = pytest.mark.parametrize("make", [memory, dear])
Make = Callable[[ManualClock], Engine]
HOUR_MS = 3_600_000


def streamed(make: Make) -> Streamed:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    return Streamed(make(clock), clock)


class Remote(Dear):
    """A store that other processes write to over a network."""

    @property
    def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(super().capabilities, remote=True)


class Held(Remote):
    """A store whose commits wait until they may go."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def commit(self, commit: Commit, **options: Any) -> Outcome:
        await self.may_go.wait()
        return await super().commit(commit, **options)


async def with_status(world: Streamed, **changes: Any) -> Table:
    """Gives the table's stream what another process has given it that died then, while the table was being updated."""

    def decide(table: Table | None) -> Table | None:
        assert table is not None
        (stream,) = table.streams
        fresh = msgspec.structs.replace(stream, **changes)
        return msgspec.structs.replace(table, status="UPDATING", streams=(fresh,))

    after = await world.tables._context.catalog.change(ACCOUNT, "orders", decide)
    assert after is not None
    return after


async def half_switched_on(world: Streamed) -> Table:
    """Makes a table and has its stream switched on, up to where the process waits for its requests to end."""
    await world.make(None)
    await world.switch(on("NEW_IMAGE"))
    table = await world.tables._context.catalog.describe(ACCOUNT, "orders")
    while table.streams[0].status != "ENABLED":
        await asyncio.sleep(0.01)
        table = await world.tables._context.catalog.describe(ACCOUNT, "orders")
    return table


@STORES
@in_loop
async def test_writes_go_into_a_stream_until_its_end_is_known(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        table = await with_status(world, status="DISABLING")
        await world.put("a", v="still told")
        ended = await world.tables._context.lifecycle._finish(table)
        assert ended is not None
        await world.put("a", v="told no more")
        (record,) = await world.records(arn)
        assert record["dynamodb"]["NewImage"]["v"] == {"S": "still told"}


@in_loop
async def test_a_stream_that_was_left_half_switched_on_begins_where_all_write_into_it() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(cast("Engine", Remote(memory(clock))), clock, request_s_max=ONE_BY_ONE_S) as world:
        arn = await world.make("NEW_IMAGE")
        table = await with_status(world, created_ms=clock.wall_ms() - 1_000, is_settled=False)
        await world.put("a", v="by somebody who knew of it, as not all did")
        # Whoever found meanwhile that the table needs no log for streams said so late.
        await world.store.ensure_space(table.space, SpaceOptions(log=LogOptions(shards=4)))
        before = asyncio.get_running_loop().time()
        ended = await world.tables._context.lifecycle._finish(table)
        assert asyncio.get_running_loop().time() - before >= STALE_S + ONE_BY_ONE_S
        assert ended is not None
        assert ended.status == "ACTIVE"
        (info,) = await world.store.list_spaces(table.space)
        assert info.options.log == LogOptions(shards=4, retention_ms=24 * HOUR_MS)
        await world.put("a", v="by anybody")
        (record,) = await world.records(arn)
        assert record["dynamodb"]["NewImage"]["v"] == {"S": "by anybody"}


@in_loop
async def test_an_update_soon_after_a_stream_was_switched_on_takes_nothing_out_of_it() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(cast("Engine", Remote(memory(clock))), clock, request_s_max=ONE_BY_ONE_S) as world:
        await world.make(None)
        await world.switch(on("NEW_IMAGE"))
        await world.active()
        table = await world.tables._context.catalog.describe(ACCOUNT, "orders")
        await world.put("a", v="told")
        await with_status(world)
        _ = await world.tables._context.lifecycle._finish(
            await world.tables._context.catalog.describe(ACCOUNT, "orders")
        )
        (record,) = await world.records(stream_arn(table, table.streams[-1]))
        assert record["dynamodb"]["NewImage"]["v"] == {"S": "told"}


@STORES
@in_loop
async def test_a_stream_begins_behind_the_requests_that_do_not_know_of_it(make: Make) -> None:
    async with streamed(make) as world:
        await world.make(None)
        phase = world.tables._context.barrier.enter()
        described = await world.switch(on("NEW_IMAGE"))
        arn = described["LatestStreamArn"]
        assert await world.status("orders") == "UPDATING"
        await world.put("a", v="while one is under way that does not know of it")
        world.tables._context.barrier.leave(phase)
        await world.active()
        await world.put("a", v="behind it")
        (record,) = await world.records(arn)
        assert record["dynamodb"]["NewImage"]["v"] == {"S": "behind it"}


@in_loop
async def test_a_stream_begins_behind_the_requests_of_other_processes_that_do_not_know_of_it() -> None:
    clock, takes_s = ManualClock(wall_ms=1_750_000_000_123), 2.0
    async with Streamed(cast("Engine", Remote(memory(clock))), clock, request_s_max=takes_s) as world:
        await world.make(None)
        store = Held(world.store)
        other = await Tables.open(cast("Engine", store), clock=clock, ids=IDS, splits=NEVER_SPLIT)
        store.may_go.clear()
        request = {"TableName": "orders", "Item": item("a", v="by one who does not know of it")}
        late = asyncio.create_task(other.call("PutItem", request, Caller(ACCOUNT)))
        await asyncio.sleep(0)
        arn = (await world.switch(on("NEW_AND_OLD_IMAGES")))["LatestStreamArn"]
        await asyncio.sleep(takes_s - 0.1)
        assert await world.status("orders") == "UPDATING", "a write is under way that is in no stream"
        store.may_go.set()
        await late
        await world.active()
        await world.put("a", v="behind it")
        (record,) = await world.records(arn)
        assert record["dynamodb"]["OldImage"]["v"] == {"S": "by one who does not know of it"}
        await other.close()


@in_loop
async def test_tags_that_come_while_a_stream_is_switched_on_leave_its_beginning_where_it_belongs() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(cast("Engine", Remote(memory(clock))), clock, request_s_max=ONE_BY_ONE_S) as world:
        table = await half_switched_on(world)
        await world.put("a", v="while the beginning is open")
        tags = {"ResourceArn": table.arn, "Tags": [{"Key": "k", "Value": "v"}]}
        await world.tables.call("TagResource", tags, Caller(ACCOUNT))
        await world.active()
        (stream,) = (await world.tables._context.catalog.describe(ACCOUNT, "orders")).streams
        assert stream.is_settled
        await world.put("a", v="told")
        (record,) = await world.records(stream_arn(table, stream))
        assert record["dynamodb"]["NewImage"]["v"] == {"S": "told"}


@in_loop
async def test_of_two_that_carry_one_transition_the_later_one_moves_nothing() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(cast("Engine", Remote(memory(clock))), clock, request_s_max=ONE_BY_ONE_S) as world:
        other = await Tables.open(world.store, clock=clock, ids=IDS, splits=NEVER_SPLIT, request_s_max=ONE_BY_ONE_S)
        barrier = world.tables._context.barrier
        phase = barrier.enter()
        table = await half_switched_on(world)
        await world.put("a", v="while the beginning is open")
        # What the other one read of the catalog before that.
        (stream,) = table.streams
        before = msgspec.structs.replace(stream, status="ENABLING", starts=())
        late = msgspec.structs.replace(table, revision=table.revision - 1, streams=(before,))
        ended = await other._context.lifecycle._finish(late)
        assert ended is not None
        assert (ended.status, ended.streams[0].is_settled) == ("ACTIVE", True)
        await world.put("a", v="told")
        barrier.leave(phase)
        await world.active()
        await world.call("UpdateTable", TableName="orders", TableClass="STANDARD")
        await world.active()
        (record,) = await world.records(stream_arn(table, stream))
        assert record["dynamodb"]["NewImage"]["v"] == {"S": "told"}
        await other.close()


@in_loop
async def test_who_is_late_ends_no_transition_that_began_since() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(cast("Engine", Remote(memory(clock))), clock, request_s_max=ONE_BY_ONE_S) as world:
        other = await Tables.open(world.store, clock=clock, ids=IDS, splits=NEVER_SPLIT, request_s_max=ONE_BY_ONE_S)
        catalog, barrier = world.tables._context.catalog, world.tables._context.barrier
        phase = barrier.enter()
        table = await half_switched_on(world)
        assert (ended := await other._context.lifecycle._finish(table)) is not None
        assert ended.status == "ACTIVE"

        # Another transition begins, and what it needs is not there yet.
        def began(now: Table | None) -> Table | None:
            assert now is not None
            return msgspec.structs.replace(now, status="UPDATING", status_until_ms=clock.wall_ms() + 60_000)

        begun = await catalog.change(ACCOUNT, "orders", began)
        assert begun is not None
        barrier.leave(phase)
        await asyncio.sleep(0.2)
        assert await catalog.describe(ACCOUNT, "orders") == begun
        await other.close()
