"""Spaces: made, changed, listed and dropped, also while others read and write them."""

from __future__ import annotations

import asyncio

import pytest

from tenet.store.contract import (
    Add,
    Append,
    Committed,
    Delete,
    IsPresent,
    IsVersion,
    Key,
    LogOptions,
    Put,
    SpaceInfo,
    SpaceOptions,
    StampOf,
)
from tenet.store.errors import InvalidRequest, SpaceMismatch, SpaceNotFound
from tenet.store.suite.stage import LOGGED, PLAIN, STAMPED, Client, Stage, all_of, rounds

ALL_OPTIONS = SpaceOptions(
    stamps=True, stamp_prefix_bytes=3, log=LogOptions(shards=4, readers=("one", "two"), retention_ms=60_000)
)


async def ensure(client: Client, name: str, options: SpaceOptions) -> SpaceInfo:
    return await client.patiently(lambda: client.store.ensure_space(name, options))


async def drop(client: Client, name: str) -> None:
    await client.patiently(lambda: client.store.drop_space(name))


async def listed(client: Client, prefix: str) -> list[SpaceInfo]:
    return list(await client.patiently(lambda: client.store.list_spaces(prefix)))


class TestSpaces:
    """Making, changing, listing and dropping."""

    async def test_a_space_that_was_made_is_listed_with_its_options(self, stage: Stage) -> None:
        name = stage.new_name()
        info = await ensure(stage.client, name, ALL_OPTIONS)
        assert info == SpaceInfo(name, ALL_OPTIONS)
        assert [SpaceInfo(name, ALL_OPTIONS)] == [one for one in await listed(stage.client, name) if one.name == name]

    async def test_list_is_by_name_and_by_prefix(self, stage: Stage) -> None:
        base = stage.new_name() + "."
        names = [base + end for end in ("b", "a", "a.b", "ab", "a-b", "a_b", "z9")]
        await all_of(*(ensure(stage.client, name, PLAIN) for name in names))
        assert [one.name for one in await listed(stage.client, base)] == sorted(names)
        assert [one.name for one in await listed(stage.client, base + "a.")] == [base + "a.b"]
        assert await listed(stage.client, base + "nothing") == []
        everything = [one.name for one in await listed(stage.client, "")]
        assert set(names) <= set(everything)
        assert everything == sorted(everything)

    async def test_ensure_again_changes_nothing_and_keeps_the_records(self, stage: Stage) -> None:
        name = await stage.own_space(STAMPED)
        key = Key(name, b"p", b"s")
        await stage.client.write(Put(key, b"kept", {"n": 7}))
        before = await stage.client.together(key, StampOf(name, b"p"))
        infos = await all_of(*(ensure(stage.client, name, STAMPED) for _ in range(8)))
        assert infos == [SpaceInfo(name, STAMPED)] * 8
        assert await stage.client.together(key, StampOf(name, b"p")) == before

    async def test_the_same_space_made_by_many_at_once_is_one(self, stage: Stage) -> None:
        name = stage.new_name()
        await all_of(*(ensure(stage.client, name, PLAIN) for _ in range(8)))
        assert [one.name for one in await listed(stage.client, name)] == [name]

    @pytest.mark.parametrize(
        "other",
        [
            SpaceOptions(),
            SpaceOptions(stamps=True, stamp_prefix_bytes=2),
            SpaceOptions(stamps=True, stamp_prefix_bytes=4, log=LogOptions(shards=2)),
            SpaceOptions(stamps=True, stamp_prefix_bytes=3, log=LogOptions(shards=1)),
            SpaceOptions(stamps=True, stamp_prefix_bytes=3, log=LogOptions(shards=3)),
        ],
    )
    async def test_a_change_that_is_ruled_out_changes_nothing(self, stage: Stage, other: SpaceOptions) -> None:
        name = stage.new_name()
        options = SpaceOptions(stamps=True, stamp_prefix_bytes=3, log=LogOptions(shards=2))
        await ensure(stage.client, name, options)
        with pytest.raises(SpaceMismatch):
            await ensure(stage.client, name, other)
        assert await listed(stage.client, name) == [SpaceInfo(name, options)]

    async def test_a_log_is_switched_on_and_off_and_its_readers_change(self, stage: Stage) -> None:
        name = await stage.own_space()
        key = Key(name, b"p")
        client = stage.client
        with pytest.raises(InvalidRequest):
            await client.write(Put(key, b"1"), appends=[Append(key, None, b"1")])
        for readers in (("tail",), ("tail", "other"), ("other",)):
            options = SpaceOptions(log=LogOptions(readers=readers, retention_ms=600_000))
            assert (await ensure(client, name, options)).options == options
            await client.write(Put(key, readers[0].encode()), appends=[Append(key, None, readers[0].encode())])
        assert [entry.new for entry in await client.log_all(name)] == [b"tail", b"tail", b"other"]
        await ensure(client, name, PLAIN)
        with pytest.raises(InvalidRequest):
            await client.log_page(name, after=0)
        assert await client.value(key) == b"other"
        # Without its log, the shards of a new one are free to choose; what it held is gone.
        await ensure(client, name, SpaceOptions(log=LogOptions(shards=5, readers=("tail",))))
        assert [entry for shard in range(5) for entry in await client.log_all(name, shard)] == []

    @pytest.mark.parametrize("name", ["", "1a", "A", "aB", "a b", "a/b", "-a", ".a", "_a", "ä", "a\n", "a\x00", "a:b"])
    async def test_what_is_no_name_is_refused(self, stage: Stage, name: str) -> None:
        with pytest.raises(InvalidRequest):
            await ensure(stage.client, name, PLAIN)

    @pytest.mark.parametrize(
        "options",
        [
            SpaceOptions(stamp_prefix_bytes=1),
            SpaceOptions(stamps=True, stamp_prefix_bytes=-1),
            SpaceOptions(log=LogOptions(shards=0)),
            SpaceOptions(log=LogOptions(retention_ms=-1)),
            SpaceOptions(log=LogOptions(readers=("a", "a"))),
            SpaceOptions(log=LogOptions(readers=("",))),
        ],
    )
    async def test_options_that_make_no_sense_are_refused(self, stage: Stage, options: SpaceOptions) -> None:
        name = stage.new_name()
        with pytest.raises(InvalidRequest):
            await ensure(stage.client, name, options)
        assert await listed(stage.client, name) == []

    async def test_many_spaces_are_fine(self, stage: Stage) -> None:
        base = stage.new_name() + "."
        names = [f"{base}{number:04}" for number in range(rounds(stage.harness.spaces_many, 400))]
        for start in range(0, len(names), 20):
            await all_of(*(ensure(stage.client, name, PLAIN) for name in names[start : start + 20]))
        keys = [Key(name, b"p", b"s") for name in names]
        for start in range(0, len(keys), 50):
            await stage.client.write(*(Put(key, key.space.encode()) for key in keys[start : start + 50]))
        records = await stage.client.get(*keys)
        assert [record.value if record else None for record in records] == [name.encode() for name in names]
        assert [one.name for one in await listed(stage.client, base)] == names
        for start in range(0, len(names), 20):
            await all_of(*(drop(stage.client, name) for name in names[start : start + 20]))
        assert await listed(stage.client, base) == []


class TestDroppedSpaces:
    """What is left of a space that was dropped: nothing."""

    async def test_every_call_on_it_says_so(self, stage: Stage) -> None:
        client, store = stage.client, stage.store
        name = await stage.own_space(LOGGED)
        await client.write(Put(Key(name, b"p"), b"gone"))
        await drop(client, name)
        await drop(client, name)
        key = Key(name, b"p")
        other = await stage.key(b"untouched")
        calls = [
            lambda: store.get([other, key]),
            lambda: store.query(name, b"p", limit=1),
            lambda: store.scan(name, limit=1),
            lambda: store.read_together([other, key]),
            lambda: store.read_together([StampOf(name, b"p")]),
            lambda: store.read_log(name, 0, after=0, limit=1),
            lambda: store.discard(name, b"p"),
            lambda: client.attempt(Put(other, b"x"), Put(key, b"x")),
            lambda: client.attempt(Put(other, b"x"), Delete(key)),
            lambda: client.attempt(Put(other, b"x"), Add(key, "n", 1)),
            lambda: client.attempt(Put(other, b"x"), checks=[IsVersion(key, None)]),
            lambda: client.attempt(Put(other, b"x"), checks=[IsPresent(key)]),
            lambda: client.attempt(Put(other, b"x"), appends=[Append(key, None, b"x")]),
        ]
        for call in calls:
            with pytest.raises(SpaceNotFound):
                await client.patiently(call)
        assert await client.read(other) is None

    async def test_made_again_it_is_empty(self, stage: Stage) -> None:
        client = stage.client
        name = await stage.own_space(SpaceOptions(stamps=True, log=LogOptions(readers=("tail",))))
        keys = [Key(name, b"p%d" % (index % 7), b"s%d" % index) for index in range(50)]
        await client.write(*(Put(key, b"old", {"n": 1}) for key in keys), appends=[Append(keys[0], None, b"old")])
        await drop(client, name)
        # Other options than before: nothing of the old space binds the new one.
        options = SpaceOptions(stamps=True, stamp_prefix_bytes=1, log=LogOptions(shards=3, readers=("tail",)))
        await ensure(client, name, options)
        assert list(await client.get(*keys)) == [None] * 50
        assert await client.scan_all(name) == []
        assert [await client.log_all(name, shard) for shard in range(3)] == [[], [], []]
        assert await client.stamp(StampOf(name, b"p0")) == 0
        await client.write(Put(keys[0], b"new"), checks=[IsVersion(keys[0], None)])
        assert [record.value for record in await client.scan_all(name)] == [b"new"]
        assert await client.cells(keys[0]) == {}

    async def test_reads_during_a_drop_complete_or_say_so(self, stage: Stage) -> None:
        client = stage.client
        for _ in range(rounds(3, 20)):
            name = await stage.own_space()
            keys = [Key(name, b"p%d" % (index % 4), b"%03d" % index) for index in range(400)]
            await client.write(*(Put(key, bytes(2_000)) for key in keys))
            gone = asyncio.Event()
            readers = [read_until_gone(client, name, keys, gone) for _ in range(4)]

            async def drop_it(name: str = name, gone: asyncio.Event = gone) -> None:
                await asyncio.sleep(0.003)
                await drop(client, name)
                gone.set()

            await all_of(*readers, drop_it())

    async def test_commits_during_a_drop_leave_nothing_behind(self, stage: Stage) -> None:
        client = stage.client
        name = await stage.own_space()
        for round_number in range(rounds(3, 20)):
            begun = asyncio.Event()
            value = b"before %d" % round_number

            async def write_on(writer: int, value: bytes = value, begun: asyncio.Event = begun) -> None:
                for index in range(40):
                    try:
                        outcome = await client.attempt(Put(Key(name, b"p%d" % writer, b"%d" % index), value))
                    except SpaceNotFound:
                        return
                    assert isinstance(outcome, Committed)
                    begun.set()

            async def drop_it(begun: asyncio.Event = begun) -> None:
                await begun.wait()
                await drop(client, name)

            await all_of(*(write_on(writer) for writer in range(6)), drop_it())
            await ensure(client, name, PLAIN)
            assert await client.scan_all(name) == []


async def read_until_gone(client: Client, name: str, keys: list[Key], gone: asyncio.Event) -> None:
    """Reads in every way until the space is gone; what is answered before is complete."""
    while not gone.is_set():
        try:
            assert None not in await client.get(*keys[:100])
            assert len(await client.query_all(name, b"p1", page=30)) == 100
            assert len(await client.scan_all(name, page=70)) == 400
            assert None not in await client.together(*keys[:20])
        except SpaceNotFound:
            return
