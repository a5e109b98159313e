"""Upkeep of the distributed engine on real nodes: what the cluster in memory takes for granted about them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.engine import CassandraEngine, open_engine
from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.contract import Append, Commit, Committed, Key, LogOptions, Put, SpaceOptions, new_commit_id
from tenet.store.errors import StoreUnavailable
from tests.distributed.conftest import OpenEngine
from tools.cluster.cluster import Cluster

IDS = SystemIds()
TABLES = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?"


class Ahead(SystemClock):
    """A clock that is ahead of what it was when everything began: so much later it is for who has it."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self._ahead_ms = int(1000 * ahead_s)

    def wall_ms(self) -> int:
        return super().wall_ms() + self._ahead_ms


@pytest.fixture
def location(cassandra_cluster: Cluster) -> str:
    return f"//{','.join(cassandra_cluster.contact_points)}/upkeep_{IDS.draw(6).hex()}"


@asynccontextmanager
async def engine_at(location: str, ahead_s: float = 0.0) -> AsyncIterator[CassandraEngine]:
    engine = await open_engine(location, clock=Ahead(ahead_s), ids=IDS)
    try:
        yield engine
    finally:
        await engine.close()


async def tables(engine: CassandraEngine) -> set[str]:
    rows = await engine.driver.select(TABLES, (engine.driver.location.keyspace,), is_serial=False)
    return {name for (name,) in rows if name.startswith("s_")}


async def rows_of(engine: CassandraEngine, table: str) -> list[tuple[object, ...]]:
    return await engine.driver.select(f"SELECT * FROM {engine.driver.location.keyspace}.{table}", (), is_serial=False)


async def kept_up(engine: CassandraEngine, is_done: Callable[[], Awaitable[bool]]) -> None:
    """Takes turns of the job until all is done: what a turn leaves on busy nodes, the next one does.

    A turn that goes through may leave something too, which a node did not answer in time for.
    """
    for _ in range(20):
        try:
            await engine._upkeep.sweeping.begin()
            await engine._upkeep.sweeping.sweep()
            await engine._upkeep.remove()
        except StoreUnavailable as error:
            print(f"a turn has failed: {error.message}")
        else:
            if await is_done():
                return
        await asyncio.sleep(1)
    pytest.fail("twenty turns have not done it")


@pytest.mark.time_limit_s(240)
def test_dropped_tables_dead_logs_and_what_was_left_open(location: str) -> None:
    async def test() -> None:
        async with engine_at(location) as engine:
            logged = SpaceOptions(log=LogOptions(readers=("tail",)))
            await engine.ensure_space("logged", logged)
            await engine.ensure_space("stays")
            dropped = f"s_{(await engine._spaces.find('logged')).space_id}"
            for number in range(3):
                key = Key("logged", b"%d" % number)
                commit = Commit(new_commit_id(SystemClock(), IDS), [Put(key, b"x")], appends=[Append(key, None, b"x")])
                assert isinstance(await engine.commit(commit), Committed)
                if number == 1:
                    assert len((await engine.read_log("logged", 0, after=0, limit=9)).entries) == 2
            await _leave_open(engine)
            await engine.drop_space("logged")
            await engine.is_quiet()
            assert dropped in await tables(engine)
        async with engine_at(location, 2 * REMEMBERED_S + 120) as later:

            async def is_done() -> bool:
                left = [await rows_of(later, name) for name in ("logs", "heads", "pointers")]
                return dropped not in await tables(later) and not any(left) and await is_decided()

            async def is_decided() -> bool:
                (row,) = await later.driver.select(decided, (b"\0b", b""))
                return row == (None, b"decided")

            decided = (
                f"SELECT lk, v FROM {later.driver.location.keyspace}"
                f".s_{(await later._spaces.find('stays')).space_id} WHERE p = ? AND kind = 1 AND sort = ?"
            )
            await kept_up(later, is_done)
            found = await tables(later)
            assert f"s_{(await later._spaces.find('stays')).space_id}" in found
            await kept_up(later, is_done)
            assert await tables(later) == found

    asyncio.run(test())


async def _leave_open(engine: CassandraEngine) -> None:
    """Leaves a commit as a process does that dies behind its decision."""

    async def never(*_: object, **__: object) -> None:
        return

    carry_out, engine._endings.carry_out = engine._endings.carry_out, never  # type: ignore[method-assign]
    puts = [Put(Key("stays", partition), b"decided") for partition in (b"a", b"b")]
    assert isinstance(await engine.commit(Commit(new_commit_id(SystemClock(), IDS), puts)), Committed)
    await engine.is_quiet()
    engine._endings.carry_out = carry_out  # type: ignore[method-assign]


@pytest.mark.time_limit_s(240)
def test_a_table_that_is_condemned_is_given_to_no_space(location: str) -> None:
    async def test() -> None:
        async with engine_at(location) as engine, engine_at(location) as other:
            await engine.ensure_space("first")
            await engine.is_quiet()
            (spare,) = await tables(engine) - {f"s_{(await engine._spaces.find('first')).space_id}"}
            taken = asyncio.Event()
            go = asyncio.Event()
            take = engine._spaces._take_spare

            async def slowly(deadline: float) -> str | None:
                found = await take(deadline)
                taken.set()
                await go.wait()
                return found

            engine._spaces._take_spare = slowly  # type: ignore[method-assign]
            work = asyncio.create_task(engine.ensure_space("second"))
            await taken.wait()
            assert await other._upkeep.removal._remove_table(spare.removeprefix("s_"))
            assert spare not in await tables(other)
            engine._spaces._take_spare = take  # type: ignore[method-assign]
            go.set()
            await work
            commit = Commit(new_commit_id(SystemClock(), IDS), [Put(Key("second", b"a"), b"x")])
            assert isinstance(await other.commit(commit), Committed)

    asyncio.run(test())


@pytest.mark.time_limit_s(240)
def test_a_write_into_a_table_that_is_gone_fails_and_lands_nowhere(opened: OpenEngine) -> None:
    async def test() -> None:
        async with opened() as engine, opened() as other:
            await engine.ensure_space("gone")
            await other.get([Key("gone", b"a")])
            believed = await other._spaces.find("gone")
            await engine.drop_space("gone")
            assert await engine._upkeep.removal._remove_table(believed.space_id)
            await engine.ensure_space("gone")
            # However long all that took, the other process still goes by what it read before.
            other._spaces._known["gone"] = (believed, SystemClock().monotonic_s())
            commit = Commit(new_commit_id(SystemClock(), IDS), [Put(Key("gone", b"a"), b"late")])
            with pytest.raises(StoreUnavailable, match="dropped, or made again"):
                await other.commit(commit)
            assert await other.get([Key("gone", b"a")]) == [None]

    asyncio.run(test())
