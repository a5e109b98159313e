"""Records: what is put is what is read, to the byte, under every key; and what a version is."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenet.base.clock import SystemClock
from tenet.base.dice import Dice
from tenet.store.contract import Add, Delete, IsPresent, Key, Limits, Put, Range
from tenet.store.suite.stage import SEED, Stage, rounds

#: Keys that are easily confused with one another.
AWKWARD = [
    b"",
    b"\x00",
    b"\x00\x00",
    b"\x00\x01",
    b"\x01",
    b"a",
    b"a\x00",
    b"a\x00\x00",
    b"a\x00b",
    b"a\xff",
    b"ab",
    b"'\"; --",
    b"\x7f",
    b"\x80",
    "ä/ß".encode(),
    b"\xfe",
    b"\xfe\xff",
    b"\xff",
    b"\xff\x00",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
    bytes(range(256)),
]


class TestRecords:
    """Single records."""

    async def test_absent_is_none(self, stage: Stage) -> None:
        assert await stage.client.read(await stage.key(b"s")) is None

    async def test_what_is_put_is_read(self, stage: Stage) -> None:
        key = await stage.key(b"s")
        committed = await stage.client.write(Put(key, b"value", {"a": 1, "b": -(2**63), "c": 2**63 - 1}))
        record = await stage.client.read(key)
        assert record is not None
        assert (record.partition, record.sort, record.value) == (key.partition, b"s", b"value")
        assert record.version == committed.version
        assert len(record.version) == 16
        assert dict(record.cells) == {"a": 1, "b": -(2**63), "c": 2**63 - 1}

    @pytest.mark.parametrize("value_bytes", [0, 1, 2, 255, 256, 4_095, 4_096, 65_536, 400_000, 2 * 1024 * 1024])
    async def test_values_of_every_size_come_back_to_the_byte(self, stage: Stage, value_bytes: int) -> None:
        key = await stage.key(b"s")
        for value in (Dice(SEED + value_bytes).bytes(value_bytes), bytes(value_bytes), b"\xff" * value_bytes):
            await stage.client.write(Put(key, value))
            assert await stage.client.value(key) == value

    async def test_a_put_replaces_and_its_version_is_larger(self, stage: Stage) -> None:
        key = await stage.key()
        versions = []
        for number in range(20):
            versions.append((await stage.client.write(Put(key, b"%d" % number))).version)
            record = await stage.client.read(key)
            assert record is not None
            assert (record.value, record.version) == (b"%d" % number, versions[-1])
        assert versions == sorted(set(versions))

    async def test_all_puts_of_a_commit_have_its_version(self, stage: Stage) -> None:
        keys = [await stage.key(b"%d" % index) for index in range(3)]
        other = Key(await stage.own_space(), b"p", b"s")
        committed = await stage.client.write(*(Put(key, b"x") for key in (*keys, other)))
        records = await stage.client.get(*keys, other)
        assert {record.version for record in records if record} == {committed.version}

    async def test_deleted_is_absent_and_deleting_nothing_is_fine(self, stage: Stage) -> None:
        key = await stage.key()
        await stage.client.write(Delete(key))
        await stage.client.write(Put(key, b"x", {"n": 5}))
        await stage.client.write(Delete(key))
        assert await stage.client.read(key) is None
        await stage.client.write(Delete(key))
        # A new record under the key has nothing of the old one.
        await stage.client.write(Put(key, b"y"))
        assert (await stage.client.value(key), await stage.client.cells(key)) == (b"y", {})

    async def test_a_record_with_an_empty_value_is_there(self, stage: Stage) -> None:
        key = await stage.key()
        await stage.client.write(Put(key, b""))
        await stage.client.write(checks=[IsPresent(key)])
        assert await stage.client.value(key) == b""

    async def test_put_keeps_cells_unless_it_gives_some(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        await client.write(Put(key, b"1", {"a": 1, "b": 2}))
        await client.write(Put(key, b"2"))
        assert await client.cells(key) == {"a": 1, "b": 2}
        await client.write(Put(key, b"3", {"c": 3}))
        assert await client.cells(key) == {"c": 3}
        await client.write(Add(key, "d", 4))
        await client.write(Put(key, b"4", None))
        assert (await client.value(key), await client.cells(key)) == (b"4", {"c": 3, "d": 4})
        await client.write(Put(key, b"5", {}))
        assert await client.cells(key) == {}

    async def test_cells_have_any_name(self, stage: Stage) -> None:
        cells = {name: index for index, name in enumerate(["a", "A", "a.b", "käse", "x'\"", "日本", "n" * 64, " "])}
        key = await stage.key()
        await stage.client.write(Put(key, b"", cells))
        assert await stage.client.cells(key) == cells
        await stage.client.write(*(Add(key, name, 10) for name in cells))
        assert await stage.client.cells(key) == {name: index + 10 for name, index in cells.items()}

    async def test_stale_reads_show_something_that_was_there(self, stage: Stage) -> None:
        key = await stage.key()
        written: list[bytes | None] = [None]
        for number in range(10):
            written.append(b"%d" % number)
            await stage.client.write(Put(key, b"%d" % number))
            (record,) = await stage.client.patiently(lambda: stage.store.get([key], stale=True))
            assert (record.value if record else None) in written


class TestKeys:
    """Every byte string is a key, and no two of them are the same."""

    async def test_awkward_partitions_and_sorts_do_not_mix(self, stage: Stage) -> None:
        space = await stage.own_space()
        keys = [Key(space, partition, sort) for partition in AWKWARD for sort in AWKWARD]
        await stage.client.write(*(Put(key, key.partition + b"|" + key.sort) for key in keys))
        for start in range(0, len(keys), 400):
            some = keys[start : start + 400]
            records = await stage.client.get(*some)
            assert [(r.partition, r.sort, r.value) if r else None for r in records] == [
                (key.partition, key.sort, key.partition + b"|" + key.sort) for key in some
            ]
        for partition in AWKWARD:
            found = await stage.client.query_all(space, partition)
            assert [record.sort for record in found] == sorted(AWKWARD)
            assert {record.partition for record in found} == {partition}
        assert len(await stage.client.scan_all(space)) == len(keys)
        await stage.client.write(*(Delete(Key(space, b"a", sort)) for sort in AWKWARD))
        assert await stage.client.query_all(space, b"a") == []
        assert len(await stage.client.scan_all(space)) == len(keys) - len(AWKWARD)

    async def test_long_keys_differ_in_their_last_byte(self, stage: Stage) -> None:
        space = await stage.space()
        partition = stage.partition().ljust(Limits.partition_bytes_max, b"p")
        other = partition[:-1] + b"q"
        sort = b"s" * Limits.sort_bytes_max
        keys = [Key(space, one, two) for one in (partition, other) for two in (sort[:-1], sort, sort[:-1] + b"t")]
        await stage.client.write(
            *(Put(key, key.partition[-1:] + key.sort[-1:] + b"%d" % len(key.sort)) for key in keys)
        )
        values = [record.value if record else None for record in await stage.client.get(*keys)]
        assert values == [key.partition[-1:] + key.sort[-1:] + b"%d" % len(key.sort) for key in keys]
        found = await stage.client.query_all(space, partition, Range(sort), page=1)
        assert [record.sort for record in found] == [sort, sort[:-1] + b"t"]

    async def test_get_is_in_the_order_of_the_keys(self, stage: Stage) -> None:
        one, two = await stage.key(b"1"), await stage.key(b"2")
        other = Key(await stage.own_space(), one.partition, one.sort)
        await stage.client.write(Put(one, b"one"), Put(two, b"two"), Put(other, b"other"))
        missing = await stage.key(b"missing")
        records = await stage.client.get(two, missing, one, two, other, one)
        values = [record.value if record else None for record in records]
        assert values == [b"two", None, b"one", b"two", b"other", b"one"]
        assert list(await stage.client.get()) == []

    def test_any_record_comes_back(self, stage: Stage) -> None:
        space = stage.run(stage.space())
        number = st.integers(-(2**63), 2**63 - 1)
        cells = st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64), number, max_size=4
        )

        @settings(max_examples=rounds(60, 1_000), deadline=None)
        @given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=2_000), cells)
        def come_back(partition: bytes, sort: bytes, value: bytes, cells: dict[str, int]) -> None:
            key = Key(space, partition, sort)
            stage.run(stage.client.write(Put(key, value, cells)))
            record = stage.run(stage.client.read(key))
            assert record is not None
            assert (record.partition, record.sort, record.value) == (partition, sort, value)
            assert dict(record.cells) == cells
            stage.run(stage.client.write(Delete(key)))

        come_back()


class SteppedClock(SystemClock):
    """The machine's clock, with a wall clock that a test may step."""

    def __init__(self) -> None:
        self.step_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.step_ms


class TestVersions:
    """A newer version is a larger one, whatever the clock does."""

    async def test_versions_grow_while_the_clock_steps_back(self, stage: Stage) -> None:
        clock = SteppedClock()
        versions = []
        async with stage.private_engine(clock) as engine:
            key = Key(await engine.space(), b"p")
            # Less than the settle window, so that the ids of the commits stay young enough.
            for step_ms in (0, -1, -200_000, 60_000, -250_000) if stage.harness.takes_clock else (0, 0, 0):
                clock.step_ms += step_ms
                versions += [(await engine.client.write(Put(key, b"%d" % number))).version for number in range(3)]
                await engine.reopen()
        assert versions == sorted(set(versions))

    async def test_versions_of_many_writers_of_a_key_are_different_and_grow(self, stage: Stage) -> None:
        key = await stage.key()

        async def put_on(writer: int) -> list[bytes]:
            versions = []
            for number in range(10):
                versions.append((await stage.client.write(Put(key, b"%d.%d" % (writer, number)))).version)
                await asyncio.sleep(0)
            return list(versions)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(put_on(writer)) for writer in range(16)]
        of_writers = [task.result() for task in tasks]
        assert all(versions == sorted(versions) for versions in of_writers)
        assert len({version for versions in of_writers for version in versions}) == 160
        record = await stage.client.read(key)
        assert record is not None
        assert record.version == max(version for versions in of_writers for version in versions)
