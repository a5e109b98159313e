"""Stamps: raised by every commit into what they cover, so that whoever checks one is safe from phantoms."""

from __future__ import annotations

import asyncio

import pytest

from tenet.store.contract import (
    Add,
    Committed,
    Delete,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    Page,
    Put,
    Range,
    SpaceOptions,
    StampOf,
    Write,
)
from tenet.store.suite.stage import STAMPED, Client, Stage, all_of, rounds

BUCKETED = SpaceOptions(stamps=True, stamp_prefix_bytes=2)


def of_key(key: Key) -> StampOf:
    return StampOf(key.space, key.partition)


async def query_with_stamp(client: Client, of: StampOf, within: Range | None = None) -> Page:
    """Reads all of a small range with its stamp."""
    page = await client.patiently(
        lambda: client.store.query(of.space, of.partition, within or Range(), limit=1_000, stamp=of)
    )
    assert page.stamp is not None
    return page


class TestStamps:
    """When a stamp rises, and when not."""

    async def test_it_is_nought_before_the_first_commit(self, stage: Stage) -> None:
        key = await stage.key(b"s", STAMPED)
        assert await stage.client.stamp(of_key(key)) == 0
        assert (await query_with_stamp(stage.client, of_key(key))).stamp == 0
        await stage.client.write(Put(key, b"x"), checks=[IsStamp(of_key(key), 0)])
        await stage.client.refused(Put(key, b"y"), checks=[IsStamp(of_key(key), 0)])

    @pytest.mark.parametrize("kind", ["new put", "put", "delete", "new add", "add"])
    async def test_every_write_raises_it(self, stage: Stage, kind: str) -> None:
        client, key = stage.client, await stage.key(b"s", STAMPED)
        await client.write(Put(key, b"old", {"n": 1}))
        new = Key(key.space, key.partition, b"new")
        writes: dict[str, Write] = {
            "new put": Put(new, b"x"),
            "put": Put(key, b"old"),
            "delete": Delete(key),
            "new add": Add(new, "n", 1),
            "add": Add(key, "n", 1),
        }
        page = await query_with_stamp(client, of_key(key))
        await client.write(writes[kind])
        assert page.stamp is not None
        assert await client.stamp(of_key(key)) > page.stamp
        target = await stage.key()
        conflict = await client.refused(Put(target, b"x"), checks=[IsStamp(of_key(key), page.stamp)])
        assert conflict.stamps == {of_key(key): await client.stamp(of_key(key))}
        await client.write(Put(target, b"x"), checks=[IsStamp(of_key(key), conflict.stamps[of_key(key)])])

    async def test_it_only_rises(self, stage: Stage) -> None:
        key = await stage.key(b"s", STAMPED)
        stamps = [await stage.client.stamp(of_key(key))]
        for number in range(12):
            await stage.client.write(Delete(key) if number % 3 == 2 else Put(key, b"x"))
            stamps.append(await stage.client.stamp(of_key(key)))
        assert stamps == sorted(set(stamps))
        assert all(0 <= stamp < 2**63 for stamp in stamps)

    async def test_nothing_else_raises_it(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key(b"s", STAMPED)
        version = (await client.write(Put(key, b"x"))).version
        before = await client.stamp(of_key(key))
        neighbour = Key(key.space, key.partition + b"x", b"s")
        await client.write(Put(neighbour, b"other partition"), checks=[IsVersion(key, version)])
        await client.write(checks=[IsPresent(key), IsStamp(of_key(key), before)])
        await client.refused(Put(key, b"refused"), checks=[IsVersion(key, None)])
        await client.refused(Add(key, "n", 1, at_most=0))
        await client.get(key)
        assert await client.stamp(of_key(key)) == before

    async def test_discard_leaves_it(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key(b"s", STAMPED)
        await client.write(Put(key, b"x"))
        before = await client.stamp(of_key(key))
        await client.patiently(lambda: client.store.discard(key.space, key.partition))
        assert await client.stamp(of_key(key)) == before

    async def test_a_commit_checks_stamps_of_partitions_that_it_does_not_write(self, stage: Stage) -> None:
        client = stage.client
        keys = [await stage.key(b"s", STAMPED) for _ in range(3)]
        target = await stage.key()
        stamps = [await client.stamp(of_key(key)) for key in keys]
        checks = [IsStamp(of_key(key), stamp) for key, stamp in zip(keys, stamps, strict=True)]
        await client.write(Put(target, b"1"), checks=checks)
        await client.write(Put(keys[1], b"x"))
        conflict = await client.refused(Put(target, b"2"), checks=checks)
        assert list(conflict.failed) == [1]
        assert await client.value(target) == b"1"


class TestBuckets:
    """A bucket is the records whose sort keys begin with the same bytes."""

    async def test_a_commit_raises_the_stamps_of_its_buckets_alone(self, stage: Stage) -> None:
        client, partition = stage.client, stage.partition()
        space = await stage.space(BUCKETED)
        sorts = {
            b"": b"",
            b"a": b"a",
            b"ab": b"ab",
            b"abc": b"ab",
            b"ab\xff": b"ab",
            b"ac": b"ac",
            b"\x00\x00\x01": b"\x00\x00",
        }
        buckets = sorted(set(sorts.values()))
        for sort, bucket in sorts.items():
            before = {name: await client.stamp(StampOf(space, partition, name)) for name in buckets}
            await client.write(Put(Key(space, partition, sort), b"x"))
            after = {name: await client.stamp(StampOf(space, partition, name)) for name in buckets}
            assert [name for name in buckets if after[name] != before[name]] == [bucket]
            assert after[bucket] > before[bucket]

    async def test_a_query_of_a_bucket_is_guarded_by_its_stamp(self, stage: Stage) -> None:
        client, partition = stage.client, stage.partition()
        space = await stage.space(BUCKETED)
        of = StampOf(space, partition, b"ab")
        await client.write(Put(Key(space, partition, b"ab1"), b"x"))
        page = await query_with_stamp(client, of, Range(b"ab", b"ac"))
        assert page.stamp is not None
        await client.write(Put(Key(space, partition, b"ac1"), b"elsewhere"))
        await client.write(checks=[IsStamp(of, page.stamp)])
        await client.write(Put(Key(space, partition, b"ab2"), b"phantom"))
        await client.refused(Put(Key(space, partition, b"ab3"), b"x"), checks=[IsStamp(of, page.stamp)])


class TestPhantoms:
    """Rules over what a query found hold, whoever else commits."""

    @pytest.mark.parametrize("options", [STAMPED, BUCKETED])
    async def test_no_more_are_let_in_than_there_is_room(self, stage: Stage, options: SpaceOptions) -> None:
        # Everybody counts the guests and adds one while there is room; without the stamp, two would take the last seat.
        client, partition = stage.client, stage.partition()
        space = await stage.space(options)
        of = StampOf(space, partition, b"g#"[: options.stamp_prefix_bytes])
        within = Range(b"g#", b"g$")
        room, done = 12, asyncio.Event()

        async def let_in(guest: int) -> bool:
            while True:
                page = await query_with_stamp(client, of, within)
                assert page.stamp is not None
                if len(page.records) >= room:
                    return False
                key = Key(space, partition, b"g#%d" % guest)
                outcome = await client.attempt(Put(key, b""), checks=[IsStamp(of, page.stamp)])
                if isinstance(outcome, Committed):
                    return True

        async def look() -> None:
            while not done.is_set():
                assert len(await client.query_all(space, partition, within)) <= room
                await asyncio.sleep(0)

        async def everybody() -> None:
            let = await all_of(*(let_in(guest) for guest in range(32)))
            assert sum(let) == room
            done.set()

        await all_of(everybody(), look())
        assert len(await client.query_all(space, partition, within)) == room

    async def test_one_is_always_on_call(self, stage: Stage) -> None:
        # Two wards, each of which may be left only while somebody is on call in the other: a write skew.
        client, space = stage.client, await stage.space(STAMPED)
        for _ in range(rounds(20, 300)):
            wards = [stage.partition(), stage.partition()]
            await client.write(*(Put(Key(space, ward, b"doctor"), b"") for ward in wards))

            async def leave(mine: bytes, other: bytes) -> None:
                of = StampOf(space, other)
                page = await query_with_stamp(client, of)
                assert page.stamp is not None
                if page.records:
                    await client.attempt(Delete(Key(space, mine, b"doctor")), checks=[IsStamp(of, page.stamp)])

            await all_of(leave(*wards), leave(*reversed(wards)), leave(*wards))
            left = [await client.query_all(space, ward) for ward in wards]
            assert any(left), "both wards are empty"
