"""How many statements each call of the store costs on a cluster: what ``DESIGN.md`` of the engine says, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

from tenet.base.clock import NEVER, SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.engine import CassandraEngine
from tenet.store.contract import (
    Add,
    Append,
    Commit,
    Committed,
    Conflict,
    IsVersion,
    Key,
    LogOptions,
    Put,
    SpaceOptions,
    StampOf,
    new_commit_id,
)
from tests.distributed.conftest import OpenEngine

CLOCK, IDS = SystemClock(), SystemIds()
NUMBERS = count()


class Counted:
    """An engine whose statements are counted."""

    def __init__(self, engine: CassandraEngine, space: str) -> None:
        self.engine = engine
        self.space = space

    def key(self, sort: bytes = b"") -> Key:
        return Key(self.space, b"p%d" % next(NUMBERS), sort)

    async def commit(self, *writes: Put | Add, **more: object) -> Committed | Conflict:
        outcome = await self.engine.commit(Commit(new_commit_id(CLOCK, IDS), writes, **more))  # type: ignore[arg-type]
        assert isinstance(outcome, Committed | Conflict)
        return outcome

    async def cost(self, call: Callable[[], Awaitable[object]]) -> tuple[int, int, int]:
        """Returns how many reads, plain writes and conditional batches a call sends, with what it leaves behind."""
        await self.engine.is_quiet()
        before = dict(self.engine.driver.sent)
        await call()
        await self.engine.is_quiet()
        sent = self.engine.driver.sent
        assert sent["second"] == before["second"], "a node did not answer in time"
        return (
            sent["read"] - before["read"],
            sent["write"] - before["write"],
            sent["conditional"] - before["conditional"],
        )


def counted(opened: OpenEngine, options: SpaceOptions, work: Callable[[Counted], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened() as engine:
            space = f"rounds-{next(NUMBERS)}"
            await engine.ensure_space(space, options)
            await work(Counted(engine, space))

    asyncio.run(run())


def test_within_a_partition(opened: OpenEngine) -> None:
    async def work(store: Counted) -> None:
        key = store.key()
        await store.commit(Put(store.key(), b"warm"))
        assert await store.cost(lambda: store.engine.get([key])) == (1, 0, 0)
        assert await store.cost(lambda: store.commit(Put(key, b"new"))) == (0, 0, 1)
        assert await store.cost(lambda: store.commit(Put(key, b"over it"))) == (0, 0, 1)
        (record,) = await store.engine.get([key])
        assert record is not None
        check = [IsVersion(key, record.version)]
        assert await store.cost(lambda: store.commit(Put(key, b"checked"), checks=check)) == (0, 0, 1)
        assert await store.cost(lambda: store.commit(Put(key, b"refused"), checks=check)) == (0, 0, 1)
        assert await store.cost(lambda: store.engine.query(store.space, key.partition, limit=20)) == (1, 0, 0)

    counted(opened, SpaceOptions(), work)


def test_adds(opened: OpenEngine) -> None:
    async def work(store: Counted) -> None:
        counter, other = store.key(), store.key()

        async def add() -> None:
            await store.commit(Add(counter, "n", 1, at_most=7))

        async def three_at_once() -> None:
            await asyncio.gather(add(), add(), add())

        assert await store.cost(add) == (1, 0, 1), "what is there has to be seen"
        assert await store.cost(add) == (0, 0, 1), "this process has left it there"
        assert await store.cost(three_at_once) == (0, 0, 3), "one behind the other"
        assert await store.cost(lambda: store.commit(Add(counter, "n", 1), Put(store.key(), b""))) == (0, 2, 3)
        assert await store.cost(lambda: store.commit(Put(store.key(), b""), Add(counter, "n", 1))) == (0, 2, 3)
        refused = Commit(new_commit_id(CLOCK, IDS), [Add(counter, "n", 1, at_most=7)])
        assert await store.cost(lambda: store.engine.commit(refused)) == (1, 0, 0), "a bound refuses what was read"
        async with opened() as engine:
            there = Counted(engine, store.space)
            await there.commit(Add(counter, "n", 1), Add(other, "n", 1))
        assert await store.cost(lambda: store.commit(Add(counter, "n", 1))) == (0, 0, 2), "another process was there"
        (record,) = await store.engine.get([counter])
        assert record is not None
        assert record.cells == {"n": 9}

    counted(opened, SpaceOptions(), work)


def test_a_put_from_a_process_that_has_not_seen_the_partition(opened: OpenEngine) -> None:
    async def work(store: Counted) -> None:
        key = store.key()
        await store.commit(Put(key, b"new"))
        async with opened() as other:
            there = Counted(other, store.space)
            await there.commit(Put(there.key(), b"warm"))
            # It takes the partition to be new, learns by the refusal, and knows from then on.
            assert await there.cost(lambda: there.commit(Put(key, b"1"))) == (0, 0, 2)
            assert await there.cost(lambda: there.commit(Put(key, b"2"))) == (0, 0, 1)

    counted(opened, SpaceOptions(), work)


def test_with_a_log(opened: OpenEngine) -> None:
    async def work(store: Counted) -> None:
        key = store.key()

        async def put() -> None:
            await store.commit(Put(key, b"x"), appends=[Append(key, None, b"x")])

        assert await store.cost(put) == (0, 1, 1)
        assert await store.cost(put) == (0, 0, 1)

    counted(opened, SpaceOptions(log=LogOptions(readers=("tail",))), work)


def test_looks_at_a_log(opened: OpenEngine) -> None:
    async def work(store: Counted) -> None:
        key = store.key()
        entries = 0

        async def put() -> None:
            nonlocal entries
            await store.commit(Put(key, b"x"), appends=[Append(key, None, b"%d" % entries)])
            entries += 1

        async def look() -> None:
            await store.engine.read_log(store.space, 0, after=1_000, limit=1)

        await put()
        # Pointers, the head, the segment; the outbox; four to take the shard, and the outbox again.
        assert await store.cost(look) == (3 + 1 + 4 + 1, 1, 2 + 1)
        assert await store.cost(look) == (3 + 1, 0, 0)
        await put()
        assert await store.cost(look) == (3 + 2, 1, 1), "it was told that something was added"
        # The pointer stands, and that it is written anew and what is older goes changes nothing for it.
        logs, space = store.engine._logs, (await store.engine._find([store.space], NEVER))[store.space]
        await logs._pointers._remove_traces(space, 0, NEVER)
        assert await store.cost(put) == (0, 0, 1)
        page = await store.engine.read_log(store.space, 0, after=0, limit=10)
        assert [entry.new for entry in page.entries] == [b"0", b"1", b"2"]
        # Everything has been taken out, by one range each time.
        rows = await store.engine.driver.select(
            space.statements.get_outbox, (b"\x00" + key.partition, space.log_id, space.log_id + b"\xff" * 13, 10)
        )
        assert rows == []

    counted(opened, SpaceOptions(log=LogOptions(readers=("tail",))), work)


def test_with_stamps(opened: OpenEngine) -> None:
    async def work(store: Counted) -> None:
        key = store.key(b"s")
        stamp = StampOf(key.space, key.partition)
        await store.commit(Put(key, b"x"))
        query = store.engine.query
        assert await store.cost(lambda: query(store.space, key.partition, limit=9, stamp=stamp)) == (2, 0, 0)

    counted(opened, SpaceOptions(stamps=True), work)


def test_over_partitions(opened: OpenEngine) -> None:
    async def work(store: Counted) -> None:
        await store.commit(Put(store.key(), b"warm"))
        for partitions in (2, 3, 10):
            keys = [store.key() for _ in range(partitions)]
            writes = [Put(key, b"x") for key in keys]
            cost = await store.cost(lambda writes=writes: store.commit(*writes))  # type: ignore[misc]
            # A lock and an end for each but the anchor, whose one batch decides; it is noted beside the locks, and
            # then the fate ages.
            assert cost == (0, 2, 2 * partitions - 1)
            cost = await store.cost(lambda keys=keys: store.engine.read_together(keys))  # type: ignore[misc]
            assert cost == (2 * partitions, 0, 0)

    counted(opened, SpaceOptions(), work)
