"""Shards that split: which there are, what they hold, and that each record is read once, parents before children."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from tenet.base.clock import ManualClock, SystemClock
from tenet.base.ids import SeededIds
from tenet.mesh.shares import Everything
from tenet.store.contract import CommitId, Engine, LogEntry, LogPage, Version, log_shard
from tenet.tables.api import SplitSettings, Tables
from tenet.tables.model import Stream, Table
from tenet.tables.rules import stream_splits
from tenet.tables.rules.index_log import LOG_SHARDS
from tenet.tables.rules.stream_splits import DEPTH_MAX, NUMBERS, Shard, begun, busy, ended, shard_numbered, shards_of
from tests.unit.pipes.world import ACCOUNT, in_loop, memory
from tests.unit.tables.streaming import OFF, Streamed, item
from tests.unit.tables.test_streams import HOUR_MS, STORES, refused, streamed
from tests.unit.tables.walking import Walker, check_order

Make = Callable[[ManualClock], Engine]
KEYS = [f"k-{number}" for number in range(40)]
FRESH = Stream("label", "NEW_IMAGE", 1, starts=(5, 6, 7, 8))


# ---- the rules -------------------------------------------------------------------------------------------------------


def split_everywhere(stream: Stream, depth: int) -> Stream:
    for number in range(NUMBERS):
        shard = shard_numbered(stream, number)
        if shard is not None and shard.depth < depth:
            stream = ended(begun(stream, number, held=10), number, end=20 + number, now_ms=1)
    return stream


def test_a_stream_that_never_split_has_the_shards_of_its_log() -> None:
    shards = shards_of(FRESH, 0)
    assert [(one.number, one.log, one.start, one.end, one.is_open) for one in shards] == [
        (number, number, 5 + number, None, True) for number in range(LOG_SHARDS)
    ]
    off = msgspec.structs.replace(FRESH, status="DISABLED", ends=(9, 9, 9, 9))
    assert [one.end for one in shards_of(off, 0)] == [9] * LOG_SHARDS
    assert shards_of(msgspec.structs.replace(FRESH, status="ENABLING"), 0) == []
    assert [shard_numbered(FRESH, number) for number in (-1, LOG_SHARDS, NUMBERS)] == [None] * 3


@pytest.mark.parametrize("depth", range(DEPTH_MAX + 1))
def test_each_record_is_in_one_shard_of_those_that_are_open(depth: int) -> None:
    stream = split_everywhere(FRESH, depth)
    shards = shards_of(stream, 2)
    assert [one.number for one in shards] == list(range(LOG_SHARDS * (2 ** (depth + 1) - 1)))
    for number in range(1_000):
        partition = f"partition-{number}".encode()
        log = log_shard(partition, LOG_SHARDS)
        holding = [one for one in shards if one.log == log and one.holds(partition)]
        # From the root to a leaf, each behind the one before.
        assert [one.depth for one in holding] == list(range(depth + 1))
        assert [one.is_open for one in holding] == [False] * depth + [True]
        for parent, child in itertools.pairwise(holding):
            assert stream_splits.parent_of(child.number) == parent.number < child.number
            assert child.start == parent.end == 20 + parent.number


def test_a_shard_splits_once_and_not_too_deep() -> None:
    stream = begun(FRESH, 2, held=3)
    shard = shard_numbered(stream, 2)
    assert shard == Shard(2, 7, None, 7)
    assert not shard.is_open
    assert begun(stream, 2, held=30) is stream
    assert stream_splits.unfinished(stream) == (2,)
    assert [one.number for one in shards_of(stream, 0)] == [0, 1, 2, 3]
    done = ended(stream, 2, end=40, now_ms=9)
    assert shard_numbered(done, 2) == Shard(2, 7, 40, 7, 9)
    assert ended(done, 2, end=50, now_ms=10) is done
    assert begun(done, 2, held=50) is done
    assert ended(done, 1, end=50, now_ms=10) is done
    assert stream_splits.unfinished(done) == ()
    assert [one.number for one in shards_of(done, 10)] == [0, 1, 2, 3, 8, 9]
    deep = split_everywhere(FRESH, DEPTH_MAX)
    for number in range(NUMBERS):
        assert begun(deep, number, held=99) is deep
    # Nobody has handed out anything behind the end, and so the end is not before what may have been.
    assert ended(begun(FRESH, 1, held=70), 1, end=60, now_ms=9).splits[0].end == 70


def test_a_stream_that_ends_ends_its_splits() -> None:
    held = begun(FRESH, 2, held=30)
    for status in ("DISABLING", "DISABLED"):
        off = msgspec.structs.replace(held, status=status)
        assert ended(off, 2, end=50, now_ms=9) is off
        assert begun(off, 1, held=50) is off
    over = msgspec.structs.replace(held, status="DISABLED", ends=(60, 61, 62, 63))
    assert [(one.number, one.end) for one in shards_of(over, 9)] == [(0, 60), (1, 61), (2, 62), (3, 63)]
    split = msgspec.structs.replace(ended(held, 2, end=40, now_ms=9), status="DISABLED", ends=(60, 61, 62, 63))
    ends = {one.number: (one.start, one.end) for one in shards_of(split, 9)}
    assert ends == {0: (5, 60), 1: (6, 61), 2: (7, 40), 3: (8, 63), 8: (40, 62), 9: (40, 62)}


def test_shards_go_when_all_their_records_are_old() -> None:
    stream = ended(begun(FRESH, 0, held=5), 0, end=9, now_ms=1_000)
    assert 0 in {one.number for one in shards_of(stream, 1_000 + 24 * HOUR_MS - 1)}
    assert [one.number for one in shards_of(stream, 1_000 + 24 * HOUR_MS)] == [1, 2, 3, 4, 5]


def entry(at: str, at_ms: int) -> LogEntry:
    commit_id = CommitId(at_ms.to_bytes(6, "big") + bytes(10))
    return LogEntry(at_ms, commit_id, Version(bytes(16)), at.encode(), b"", None, b"x", "client")


def entries_of(log: int, count: int) -> list[LogEntry]:
    """Entries of many partitions, one each millisecond."""
    found = [f"p-{number}" for number in range(20 * count) if log_shard(f"p-{number}".encode(), LOG_SHARDS) == log]
    return [entry(at, 1_000 + number) for number, at in enumerate(found[:count])]


def test_a_shard_is_busy_when_it_has_many_records_of_several_keys() -> None:
    entries = entries_of(1, 500)
    assert len(entries) == 500
    seconds = stream_splits.seconds_of(entries, elapsed_s=30, is_all=False)
    assert seconds == 0.499
    assert stream_splits.seconds_of(entries, elapsed_s=30, is_all=True) == 30
    assert busy(FRESH, 1, entries, seconds=seconds, rate_per_s=1_000) == {1}
    assert busy(FRESH, 1, entries, seconds=30, rate_per_s=1_000) == set()
    assert busy(FRESH, 1, entries, seconds=0.5, rate_per_s=1_001) == set()
    one_key = [entry(entries[0].partition.decode(), 1_000) for _ in range(500)]
    assert busy(FRESH, 1, one_key, seconds=0.1, rate_per_s=1_000) == set()
    # Its children have half of them each; what is being split or lies deepest does not split.
    halves = ended(begun(FRESH, 1, held=9), 1, end=9, now_ms=1)
    assert busy(halves, 1, entries, seconds=seconds, rate_per_s=1_000) == set()
    assert busy(halves, 1, entries, seconds=seconds, rate_per_s=300) == {6, 7}
    assert busy(begun(halves, 6, held=9), 1, entries, seconds=seconds, rate_per_s=300) == {7}
    assert busy(split_everywhere(FRESH, DEPTH_MAX), 1, entries, seconds=seconds, rate_per_s=1) == set()


# ---- reading ---------------------------------------------------------------------------------------------------------


async def fill(world: Streamed, value: str) -> None:
    for at in KEYS:
        await world.put(at, v=value)


def names(shards: list[dict[str, Any]]) -> list[str]:
    return [shard["ShardId"] for shard in shards]


async def check_walk(world: Streamed, arn: str, *, count: int, limit: int = 1_000) -> None:
    records = await Walker(world.ask, arn).to_the_end(limit)
    assert len(records) == count
    scanned = (await world.call("Scan", TableName="orders"))["Items"]
    assert check_order(records) == {str(sorted(item(one["Id"]["S"]).items())): one for one in scanned}


@STORES
@in_loop
async def test_records_are_read_once_and_in_order_through_splits(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make()
        await fill(world, "0")
        roots = names(await world.shards(arn))
        for shard in roots:
            await world.split(arn, shard)
        await fill(world, "1")
        level = names(await world.shards(arn))[LOG_SHARDS:]
        assert len(level) == 2 * LOG_SHARDS
        for shard in level[1:]:
            await world.split(arn, shard)
        await fill(world, "2")
        shards = await world.shards(arn)
        assert len(shards) == NUMBERS - 2
        for limit in (1_000, 3, 1):
            await check_walk(world, arn, count=3 * len(KEYS), limit=limit)
        by_name = {shard["ShardId"]: shard for shard in shards}
        assert names(shards) == sorted(by_name)
        for one in shards:
            numbers = one["SequenceNumberRange"]
            has_children = any(other.get("ParentShardId") == one["ShardId"] for other in shards)
            assert ("EndingSequenceNumber" in numbers) == has_children
            if "ParentShardId" in one:
                parent = by_name[one["ParentShardId"]]
                ending = parent["SequenceNumberRange"]["EndingSequenceNumber"]
                assert int(ending) < int(numbers["StartingSequenceNumber"])


@STORES
@in_loop
async def test_iterators_of_every_type_on_parents_and_children(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        await world.put("a", v="0")
        parent = await world.shard_with(arn, "a")
        live = await world.iterator(arn, parent, "LATEST")
        await world.put("a", v="1")
        await world.split(arn, parent)
        world.clock.advance_ms(1_000)
        await world.put("a", v="2")
        await world.put("a", v="3")
        children = [one for one in await world.shards(arn) if one.get("ParentShardId") == parent]
        assert len(children) == 2
        told = {one["ShardId"]: await told_of(world, await world.iterator(arn, one["ShardId"])) for one in children}
        assert sorted(told.values()) == [([], True), (["2", "3"], True)]
        child = next(name for name, (values, _) in told.items() if values)
        above = await numbers_of(world, arn, parent)
        below = await numbers_of(world, arn, child)
        assert await told_of(world, live) == (["1"], False)
        for at, kind, more, expected in (
            (parent, "TRIM_HORIZON", {}, (["0", "1"], False)),
            (parent, "LATEST", {}, ([], False)),
            (parent, "AT_SEQUENCE_NUMBER", {"SequenceNumber": above["1"]}, (["1"], False)),
            (parent, "AFTER_SEQUENCE_NUMBER", {"SequenceNumber": above["1"]}, ([], False)),
            (parent, "AT_TIMESTAMP", {"Timestamp": 0}, (["0", "1"], False)),
            (parent, "AT_TIMESTAMP", {"Timestamp": 1_750_000_001}, ([], False)),
            (child, "LATEST", {}, ([], True)),
            (child, "AT_SEQUENCE_NUMBER", {"SequenceNumber": below["3"]}, (["3"], True)),
            (child, "AFTER_SEQUENCE_NUMBER", {"SequenceNumber": below["2"]}, (["3"], True)),
            (child, "AT_TIMESTAMP", {"Timestamp": 1_750_000_001}, (["2", "3"], True)),
        ):
            assert await told_of(world, await world.iterator(arn, at, kind, **more)) == expected, (at, kind)
        for shard, wrong in ((parent, below["2"]), (child, above["0"])):
            code, text = await refused(world.iterator(arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=wrong))
            assert (code, text) == ("ValidationException", "Invalid SequenceNumber for the shard")
        for shard in (parent, child):
            where = (await described(world, arn, shard))["SequenceNumberRange"]
            start = where["StartingSequenceNumber"]
            assert (await told_of(world, await world.iterator(arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=start)))[
                0
            ]


@in_loop
async def test_a_shard_without_records_ends_where_it_began() -> None:
    async with streamed(memory) as world:
        arn = await world.make()
        (shard, *_) = names(await world.shards(arn))
        await world.split(arn, shard)
        where = (await described(world, arn, shard))["SequenceNumberRange"]
        assert where["EndingSequenceNumber"] == where["StartingSequenceNumber"]
        for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            at = await world.iterator(arn, shard, kind, SequenceNumber=where["StartingSequenceNumber"])
            assert await world.drain(at) == ([], None)


async def told_of(world: Streamed, iterator: str) -> tuple[list[str], bool]:
    """The values that an iterator leads to, and whether there may be more."""
    records, following = await world.drain(iterator)
    return [one["dynamodb"]["NewImage"]["v"]["S"] for one in records], following is not None


async def numbers_of(world: Streamed, arn: str, shard: str) -> dict[str, str]:
    records, _ = await world.drain(await world.iterator(arn, shard))
    return {one["dynamodb"]["NewImage"]["v"]["S"]: one["dynamodb"]["SequenceNumber"] for one in records}


async def described(world: Streamed, arn: str, shard: str) -> dict[str, Any]:
    return next(one for one in await world.shards(arn) if one["ShardId"] == shard)


@in_loop
async def test_shards_are_described_in_pages_and_by_their_parent() -> None:
    async with streamed(memory) as world:
        arn = await world.make()
        for shard in names(await world.shards(arn))[:2]:
            await world.split(arn, shard)
        whole = await world.shards(arn)
        assert len(whole) == 8
        for limit in (1, 3, 8):
            assert await Walker(world.ask, arn).shards(limit) == whole
        for parent in names(whole):
            wanted = {"Type": "CHILD_SHARDS", "ShardId": parent}
            for limit in (1, 100):
                filtered = (await world.ask("DescribeStream", StreamArn=arn, ShardFilter=wanted, Limit=limit))[
                    "StreamDescription"
                ]
                children = [one for one in whole if one.get("ParentShardId") == parent]
                assert filtered["Shards"] == children[:limit]
                assert ("LastEvaluatedShardId" in filtered) == (len(children) > limit)
        missing = names(whole)[0][:-8] + f"{LOG_SHARDS + 7:08x}"
        for name in (missing, "x" * 30):
            wanted = {"Type": "CHILD_SHARDS", "ShardId": name}
            filtered = await world.ask("DescribeStream", StreamArn=arn, ShardFilter=wanted)
            assert filtered["StreamDescription"]["Shards"] == []
        assert await refused(world.iterator(arn, missing)) == ("ResourceNotFoundException", "Shard does not exist")


@STORES
@in_loop
async def test_a_parent_goes_after_a_day_and_is_named_still(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make("NEW_IMAGE")
        await world.put("a", v="0")
        parent = await world.shard_with(arn, "a")
        before = await world.iterator(arn, parent)
        await world.split(arn, parent)
        world.clock.advance_ms(24 * HOUR_MS)
        await world.put("a", v="1")
        shards = await world.shards(arn)
        assert parent not in names(shards)
        children = [one for one in shards if one.get("ParentShardId") == parent]
        wanted = {"Type": "CHILD_SHARDS", "ShardId": parent}
        filtered = (await world.ask("DescribeStream", StreamArn=arn, ShardFilter=wanted))["StreamDescription"]
        assert filtered["Shards"] == children
        assert len(children) == 2
        after = (await world.ask("DescribeStream", StreamArn=arn, ExclusiveStartShardId=parent))["StreamDescription"]
        assert after["Shards"] == [one for one in shards if one["ShardId"] > parent]
        assert await refused(world.iterator(arn, parent)) == ("ResourceNotFoundException", "Shard does not exist")
        assert (await refused(world.ask("GetRecords", ShardIterator=before)))[0] == "ExpiredIteratorException"
        records = await Walker(world.ask, arn).to_the_end()
        assert [one["dynamodb"]["NewImage"]["v"]["S"] for one in records] == ["1"]


# ---- while a shard is being split ------------------------------------------------------------------------------------


async def change(world: Streamed, decide: Callable[[Stream], Stream]) -> None:
    def changed(table: Table | None) -> Table | None:
        assert table is not None
        return msgspec.structs.replace(table, streams=tuple(decide(one) for one in table.streams))

    await world.tables._context.catalog.change(ACCOUNT, "orders", changed)


async def hold(world: Streamed, arn: str, shard: str) -> int:
    """Begins to split a shard, as a process does that dies then; returns its number."""
    number = int(shard[-8:], 16)
    table = await world.tables._context.catalog.describe(ACCOUNT, "orders")
    stand = await world.store.read_log(table.space, stream_splits.log_of(number), after=2**62, limit=1)
    await change(world, lambda stream: begun(stream, number, held=stand.closed))
    return number


@STORES
@in_loop
async def test_nothing_is_handed_out_behind_where_a_shard_is_held(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make()
        await world.put("a", v="0")
        shard = await world.shard_with(arn, "a")
        latest = await world.iterator(arn, shard, "LATEST")
        await hold(world, arn, shard)
        await world.put("a", v="1")
        iterator = await world.iterator(arn, shard)
        for _ in range(2):
            assert await told_of(world, iterator) == (["0"], True)
            assert await told_of(world, latest) == ([], True)
            assert await told_of(world, await world.iterator(arn, shard, "LATEST")) == ([], True)
            assert await told_of(world, await world.iterator(arn, shard, "AT_TIMESTAMP", Timestamp=0)) == (["0"], True)
        assert len(await world.shards(arn)) == LOG_SHARDS
        (_, following) = await world.drain(iterator)
        # The next process ends it.
        again = await Tables.open(world.store, clock=world.clock, ids=SeededIds(7))
        for _ in range(500):
            if len(await world.shards(arn)) > LOG_SHARDS:
                break
            await asyncio.sleep(0.01)
        await again.close()
        assert following is not None
        assert await told_of(world, following) == (["1"], False)
        assert await told_of(world, latest) == (["1"], False)
        await world.put("a", v="2")
        await check_walk(world, arn, count=3)


class Meddled:
    """A store in which something happens right before a log is read."""

    def __init__(self, store: Engine) -> None:
        self._store = store
        self.before: Callable[[], Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read_log(self, *args: Any, **more: Any) -> LogPage:
        if self.before is not None:
            before, self.before = self.before, None
            await before()
        return await self._store.read_log(*args, **more)


@contextlib.asynccontextmanager
async def splitting_meanwhile(make: Make) -> AsyncIterator[tuple[Streamed, str, str, Callable[[], None]]]:
    """A table with a stream and one record, its stream's ARN, the shard of that record, and what has the shard split,
    and a second record written, right before a log is read next.
    """
    clock = ManualClock(wall_ms=1_750_000_000_123)
    store: Any = Meddled(make(clock))
    async with Streamed(store, clock) as world:
        arn = await world.make()
        await world.put("a", v="0")
        shard = await world.shard_with(arn, "a")

        async def split() -> None:
            await world.split(arn, shard)
            await world.put("a", v="1")

        def before_the_next() -> None:
            store.before = split

        yield world, arn, shard, before_the_next


@STORES
@in_loop
async def test_a_read_that_is_overtaken_by_a_split_keeps_to_the_parent(make: Make) -> None:
    async with splitting_meanwhile(make) as (world, arn, shard, split_before_the_next):
        iterator = await world.iterator(arn, shard)
        split_before_the_next()
        # The read has found an open shard, and what it reads of the log then is the child's as well.
        answer = await world.ask("GetRecords", ShardIterator=iterator)
        assert [one["dynamodb"]["NewImage"]["v"]["S"] for one in answer["Records"]] == ["0"]
        assert "NextShardIterator" not in answer
        await check_walk(world, arn, count=2)


@STORES
@in_loop
async def test_the_latest_place_of_a_shard_that_is_split_meanwhile_is_its_end(make: Make) -> None:
    async with splitting_meanwhile(make) as (world, arn, shard, split_before_the_next):
        split_before_the_next()
        latest = await world.iterator(arn, shard, "LATEST")
        assert await told_of(world, latest) == ([], False)


@STORES
@in_loop
async def test_a_shard_that_is_held_ends_with_its_stream(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make()
        for at in KEYS:
            await world.put(at, v="0")
        first, second = names(await world.shards(arn))[:2]
        await world.split(arn, first)
        number = await hold(world, arn, second)
        await fill(world, "1")
        await world.switch(OFF)
        table = await world.tables._context.catalog.describe(ACCOUNT, "orders")
        await world.tables._splitting.end(table, arn.rpartition("/")[2], number)
        await world.split(arn, second)
        shards = await world.shards(arn)
        assert len(shards) == LOG_SHARDS + 2
        assert all("EndingSequenceNumber" in one["SequenceNumberRange"] for one in shards)
        await check_walk(world, arn, count=2 * len(KEYS))


@STORES
@in_loop
async def test_split_shards_outlive_their_table(make: Make) -> None:
    async with streamed(make) as world:
        arn = await world.make()
        await fill(world, "0")
        for shard in names(await world.shards(arn)):
            await world.split(arn, shard)
        await fill(world, "1")
        walker = Walker(world.ask, arn)
        await walker.step(5)
        await world.call("DeleteTable", TableName="orders")
        assert len(await world.shards(arn)) == 3 * LOG_SHARDS
        records = await walker.to_the_end(7)
        assert len(records) == 2 * len(KEYS)
        assert {one["v"]["S"] for one in check_order(records).values()} == {"1"}
        assert len(walker.ended) == 3 * LOG_SHARDS


# ---- when ------------------------------------------------------------------------------------------------------------


@STORES
def test_the_shards_of_a_busy_stream_split(make: Callable[[Any], Engine]) -> None:
    async def test() -> None:
        clock = SystemClock()
        async with Streamed(make(clock), clock, SplitSettings(rate_per_s=5, look_s=0.02)) as world:
            arn = await world.make()
            walker = Walker(world.ask, arn)
            count = 0
            async with asyncio.timeout(30):
                while len(await world.shards(arn)) < NUMBERS - 4:
                    await fill(world, str(count))
                    count += 1
                    await walker.step(20)
            await fill(world, "last")
            records = await walker.to_the_end()
            assert len(records) == (count + 1) * len(KEYS)
            assert {one["v"]["S"] for one in check_order(records).values()} == {"last"}

    asyncio.run(test())


@in_loop
async def test_a_stream_that_is_not_busy_enough_keeps_its_shards() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(memory(clock), clock) as world:
        arn = await world.make()
        splitting = world.tables._splitting
        splitting._settings = SplitSettings(rate_per_s=10, look_s=1)
        splitting._assignment = Everything()
        for is_busy in (False, True, False, True):
            await fill(world, f"{clock.wall_ms()}")
            clock.advance_ms(500 if is_busy else 30_000)
            assert await splitting.look()
            assert len(await world.shards(arn)) == LOG_SHARDS
        await fill(world, "last")
        clock.advance_ms(500)
        assert await splitting.look()
        assert len(await world.shards(arn)) == 3 * LOG_SHARDS
        # A look that comes early neither counts nor begins anew what is counted.
        for is_early in (False, True, True, True):
            await fill(world, f"{clock.wall_ms()}")
            clock.advance_ms(10 if is_early else 500)
            assert await splitting.look()
            assert len(await world.shards(arn)) == 3 * LOG_SHARDS
        # What is forgotten is what is known of streams that are gone.
        assert splitting._seen
        await world.call("DeleteTable", TableName="orders")
        assert await splitting.look()
        assert not splitting._seen


@in_loop
async def test_what_is_trimmed_before_it_is_looked_at_says_nothing() -> None:
    clock = ManualClock(wall_ms=1_750_000_000_123)
    async with Streamed(memory(clock), clock) as world:
        arn = await world.make()
        splitting = world.tables._splitting
        splitting._settings = SplitSettings(rate_per_s=0.001, look_s=0.02)
        splitting._assignment = Everything()
        assert await splitting.look()
        await fill(world, "old")
        clock.advance_ms(25 * HOUR_MS)
        await fill(world, "new")
        for _ in range(5):
            assert await splitting.look()
            await fill(world, f"{clock.wall_ms()}")
            clock.advance_ms(20)
        assert len(await world.shards(arn)) > LOG_SHARDS
