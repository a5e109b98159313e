"""What the log of a table keeps: for as long as anybody may read it, for all who do, whoever comes and goes at once."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest

from tenet.base.clock import ManualClock
from tenet.base.ids import SeededIds
from tenet.store.contract import Engine, LogOptions, SpaceOptions
from tenet.tables.api import Caller, Tables
from tenet.tables.model import Table
from tenet.tables.rules.index_log import READER
from tests.unit.pipes.world import ACCOUNT, in_loop, memory
from tests.unit.tables.streaming import OFF, Streamed, on
from tests.unit.tables.test_streams import HOUR_MS, STORES, streamed

Make = Callable[[ManualClock], Engine]
DAY_MS = 24 * HOUR_MS


async def log_of(world: Streamed, name: str = "orders") -> LogOptions:
    table = await world.tables._context.catalog.describe(ACCOUNT, name)
    (info,) = [one for one in await world.store.list_spaces(table.space) if one.name == table.space]
    assert info.options.log is not None
    return info.options.log


async def look(tables: Tables) -> None:
    await tables._context.lifecycle._look()


async def entries(world: Streamed) -> int:
    """How many entries the log of the table has."""
    table = await world.tables._context.catalog.describe(ACCOUNT, "orders")
    pages = [await world.store.read_log(table.space, shard, after=0, limit=1_000) for shard in range(4)]
    return sum(len(page.entries) for page in pages)


# ---- for how long ----------------------------------------------------------------------------------------------------


@STORES
@pytest.mark.parametrize("is_followed", [True, False])
@in_loop
async def test_a_log_is_kept_as_long_as_a_stream_can_be_read(make: Make, *, is_followed: bool) -> None:
    async with streamed(make) as world:
        await world.make("NEW_IMAGE", indexed=True)
        readers = (await log_of(world)).readers
        if is_followed:
            source = await world.tables.following.find(ACCOUNT, "orders")
            await world.tables.following.follow(source, "somebody")
            readers = (*readers, "somebody")
        arn = (await world.call("DescribeTable", TableName="orders"))["Table"]["LatestStreamArn"]
        await world.put("a", v="1")
        await world.switch(OFF)
        world.clock.advance_ms(DAY_MS - 1)
        await look(world.tables)
        assert await log_of(world) == LogOptions(4, readers, DAY_MS)
        assert len(await world.records(arn)) == 1
        world.clock.advance_ms(1)
        await look(world.tables)
        assert await log_of(world) == LogOptions(4, readers, 0)
        # The table still tells which one was its last.
        described = (await world.call("DescribeTable", TableName="orders"))["Table"]
        assert described["LatestStreamArn"] == arn
        # Another one is kept for a day again.
        await world.switch(on("NEW_IMAGE"))
        assert await log_of(world) == LogOptions(4, readers, DAY_MS)
        world.clock.advance_ms(2 * DAY_MS)
        await look(world.tables)
        assert await log_of(world) == LogOptions(4, readers, DAY_MS)


@in_loop
async def test_what_everybody_has_read_goes_where_no_stream_can_be_read() -> None:
    async with streamed(memory) as world:
        await world.make("NEW_IMAGE")
        source = await world.tables.following.find(ACCOUNT, "orders")
        await world.tables.following.follow(source, "somebody")
        await world.switch(OFF)
        world.clock.advance_ms(DAY_MS)
        await look(world.tables)
        for number in range(20):
            await world.put(f"k-{number}", v="1")
        assert await entries(world) == 20
        for shard in range(source.shards):
            page = await world.tables.following.changes(source, shard, after=0, limit=100)
            await world.tables.following.changes(source, shard, after=page.closed, limit=1, reader="somebody")
        assert await _soon_without_entries(world)


async def _soon_without_entries(world: Streamed) -> bool:
    table = await world.tables._context.catalog.describe(ACCOUNT, "orders")
    for _ in range(100):
        pages = [await world.store.read_log(table.space, shard, after=2**62, limit=1) for shard in range(4)]
        if all(page.first > page.closed for page in pages):
            return True
        await asyncio.sleep(0.01)
    return False


@STORES
@in_loop
async def test_of_several_streams_the_last_one_that_can_be_read_counts(make: Make) -> None:
    async with streamed(make) as world:
        await world.make("NEW_IMAGE")
        await world.switch(OFF)
        world.clock.advance_ms(20 * HOUR_MS)
        await world.switch(on("KEYS_ONLY"))
        await world.switch(OFF)
        world.clock.advance_ms(20 * HOUR_MS)
        await look(world.tables)
        assert (await log_of(world)).retention_ms == DAY_MS
        world.clock.advance_ms(4 * HOUR_MS)
        await look(world.tables)
        assert (await log_of(world)).retention_ms == 0


# ---- for whom --------------------------------------------------------------------------------------------------------


@STORES
@in_loop
async def test_a_reader_that_is_missing_or_nobody_is_put_right(make: Make) -> None:
    async with streamed(make) as world:
        await world.make("NEW_IMAGE", indexed=True)
        source = await world.tables.following.find(ACCOUNT, "orders")
        await world.tables.following.follow(source, "somebody")
        right = await log_of(world)
        table = await world.tables._context.catalog.describe(ACCOUNT, "orders")
        for readers in ((), (READER,), ("somebody",), (*right.readers, "nobody")):
            wrong = SpaceOptions(log=LogOptions(4, readers, DAY_MS))
            await world.store.ensure_space(table.space, wrong)
            await look(world.tables)
            assert await log_of(world) == right


@STORES
@in_loop
async def test_where_nothing_has_to_change_nothing_is_written(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with streamed(make) as world:
        await world.make("NEW_IMAGE", indexed=True)
        await world.make(None, name="plain")
        source = await world.tables.following.find(ACCOUNT, "orders")
        await world.tables.following.follow(source, "somebody")

        async def refuse(*_: Any) -> None:
            raise AssertionError("a space is written")

        monkeypatch.setattr(world.store, "ensure_space", refuse)
        await look(world.tables)
        await world.tables.following.follow(source, "somebody")
        await world.tables.following.unfollow(source, "nobody")


@in_loop
async def test_the_log_of_a_table_that_goes_is_left_alone() -> None:
    async with streamed(memory) as world:
        await world.make("NEW_IMAGE")
        logs, catalog = world.tables._context.lifecycle.logs, world.tables._context.catalog
        table = await catalog.describe(ACCOUNT, "orders")

        def goes(now: Table | None) -> Table:
            assert now is not None
            return msgspec.structs.replace(now, status="DELETING", status_until_ms=2**50)

        await world.store.ensure_space(table.space, SpaceOptions(log=LogOptions(4, ("x",))))
        await catalog.change(ACCOUNT, "orders", goes)
        await logs.keep(table)
        assert (await log_of(world)).readers == ("x",)
        await logs.keep(msgspec.structs.replace(table, name="nothing"))
        await logs.keep(msgspec.structs.replace(table, id="0" * 8))
        assert (await log_of(world)).readers == ("x",)


# ---- all at once -----------------------------------------------------------------------------------------------------


class Stepped:
    """A store as one process sees it, none of whose calls begins before it is let through.

    Args:
        engine: the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.waiting: list[asyncio.Future[None]] = []
        self.is_stepping = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def stepped(*args: Any, **more: Any) -> Any:
            if self.is_stepping:
                turn = asyncio.get_running_loop().create_future()
                self.waiting.append(turn)
                await turn
            return await found(*args, **more)

        return stepped


class Processes:
    """Two processes that work with one store, a step of one or of the other at a time.

    Args:
        world: makes tables, and looks at what became of them.
    """

    def __init__(self, world: Streamed) -> None:
        self.world = world
        self.stores = [Stepped(world.store) for _ in range(2)]
        self.tables: list[Tables] = []

    async def open(self) -> None:
        for number, store in enumerate(self.stores):
            ids = SeededIds(number + 10)
            self.tables.append(await Tables.open(cast("Engine", store), clock=self.world.clock, ids=ids))

    async def close(self) -> None:
        for tables in self.tables:
            await tables.close()

    async def run(self, chance: random.Random, *calls: Awaitable[Any]) -> None:
        """Carries out a call for each process; whose next step it is, chance says."""
        tasks = [asyncio.ensure_future(call) for call in calls]
        for store in self.stores:
            store.is_stepping = True
        # One of them is often ahead of the other for long.
        bias = chance.choice((0.1, 0.5, 0.9))
        while not all(task.done() for task in tasks):
            for _ in range(4):
                # Both come to their next call.
                await asyncio.sleep(0)
            waiting = [store.waiting for store in self.stores if store.waiting]
            if waiting:
                one = waiting[0] if chance.random() < bias else waiting[-1]
                one.pop(0).set_result(None)
        for store in self.stores:
            store.is_stepping = False
            for turn in store.waiting:
                turn.set_result(None)
            store.waiting.clear()
        for task in tasks:
            task.result()

    async def switch(self, number: int, name: str, specification: dict[str, Any]) -> None:
        request = {"TableName": name, "StreamSpecification": specification}
        await self.tables[number].call("UpdateTable", request, Caller(ACCOUNT))
        while await self.world.status(name) != "ACTIVE":  # noqa: ASYNC110 - what is waited for happens in the store
            await asyncio.sleep(0)


async def at_once(scene: Callable[[Processes, str, random.Random], Awaitable[None]], *, count: int) -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(memory(clock), clock) as world:
        processes = Processes(world)
        await processes.open()
        for seed in range(count):
            name = f"orders-{seed:04}"
            try:
                await scene(processes, name, random.Random(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
        await processes.close()


@pytest.mark.thorough
@in_loop
async def test_a_follower_comes_while_a_stream_is_switched_on() -> None:
    async def scene(processes: Processes, name: str, chance: random.Random) -> None:
        await processes.world.make(None, name=name)
        following = processes.tables[0].following
        source = await following.find(ACCOUNT, name)
        await processes.run(chance, following.follow(source, "somebody"), processes.switch(1, name, on("NEW_IMAGE")))
        assert await log_of(processes.world, name) == LogOptions(4, ("somebody",), DAY_MS)

    await at_once(scene, count=100)


@pytest.mark.thorough
@in_loop
async def test_followers_come_and_go_while_a_stream_is_switched_on_and_off() -> None:
    async def scene(processes: Processes, name: str, chance: random.Random) -> None:
        await processes.world.make(None if chance.random() < 0.5 else "NEW_IMAGE", name=name)
        following = processes.tables[0].following
        source = await following.find(ACCOUNT, name)
        await following.follow(source, "former")
        is_on = (await processes.world.ask("ListStreams", TableName=name))["Streams"]

        async def come_and_go() -> None:
            if chance.random() < 0.5:
                await following.follow(source, "somebody")
                await following.unfollow(source, "former")
            else:
                await following.unfollow(source, "former")
                await following.follow(source, "somebody")

        await processes.run(chance, come_and_go(), processes.switch(1, name, OFF if is_on else on("NEW_IMAGE")))
        assert await log_of(processes.world, name) == LogOptions(4, ("somebody",), DAY_MS)

    await at_once(scene, count=100)


@pytest.mark.thorough
@in_loop
async def test_two_followers_come_at_two_processes() -> None:
    async def scene(processes: Processes, name: str, chance: random.Random) -> None:
        await processes.world.make(None, name=name)
        first, second = (tables.following for tables in processes.tables)
        source = await first.find(ACCOUNT, name)
        await processes.run(chance, first.follow(source, "one"), second.follow(source, "two"))
        assert sorted((await log_of(processes.world, name)).readers) == ["one", "two"]

    await at_once(scene, count=100)


@pytest.mark.thorough
@in_loop
async def test_a_stream_is_switched_on_while_another_process_finds_that_the_former_is_too_old() -> None:
    async def scene(processes: Processes, name: str, chance: random.Random) -> None:
        world = processes.world
        await world.make("NEW_IMAGE", name=name)
        following = processes.tables[0].following
        await following.follow(await following.find(ACCOUNT, name), "somebody")
        await processes.switch(1, name, OFF)
        world.clock.advance_ms(DAY_MS)
        context = processes.tables[0]._context
        table = await context.catalog.describe(ACCOUNT, name)
        # As its look of each minute does.
        keeping = context.lifecycle.logs.keep(table)
        await processes.run(chance, keeping, processes.switch(1, name, on("KEYS_ONLY")))
        assert await log_of(world, name) == LogOptions(4, ("somebody",), DAY_MS)

    await at_once(scene, count=100)
