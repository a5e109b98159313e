"""Limits: a request at each limit of the contract is carried out, one above it is refused and leaves nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tenet.store.contract import (
    Add,
    Append,
    Check,
    Commit,
    CommitId,
    Committed,
    Delete,
    IsOlderThan,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    Limits,
    LogOptions,
    Put,
    Range,
    SpaceOptions,
    StampOf,
    Write,
)
from tenet.store.errors import InvalidRequest, LimitExceeded
from tenet.store.suite.commits import LAST_VERSION
from tenet.store.suite.queries import page_of
from tenet.store.suite.spaces import drop, ensure
from tenet.store.suite.stage import LOGGED, STAMPED, Client, Stage
from tenet.store.validate import commit_bytes

CELL_MIN = -Limits.cell_max - 1


async def assert_refused(
    client: Client, witness: Key, *writes: Write, checks: list[Check] | None = None, appends: list[Append] | None = None
) -> None:
    """Commits what is beyond a limit, beside a put whose absence shows that nothing was written."""
    with pytest.raises(LimitExceeded):
        await client.attempt(Put(witness, b"x"), *writes, checks=checks or (), appends=appends or ())
    assert await client.read(witness) is None


class TestLimitsOfKeys:
    """Names, keys and values."""

    async def test_names_of_spaces(self, stage: Stage) -> None:
        name = (stage.new_name() + ".").ljust(Limits.space_name_chars_max, "x")
        await ensure(stage.client, name, SpaceOptions())
        await stage.client.write(Put(Key(name, b"p"), b"x"))
        assert await stage.client.value(Key(name, b"p")) == b"x"
        with pytest.raises(LimitExceeded):
            await ensure(stage.client, name + "x", SpaceOptions())
        await drop(stage.client, name)

    @pytest.mark.parametrize("part", ["partition", "sort"])
    async def test_keys(self, stage: Stage, part: str) -> None:
        client, store = stage.client, stage.store
        space, logged = await stage.space(), await stage.space(LOGGED)
        if part == "partition":
            partition, sort = stage.partition().ljust(Limits.partition_bytes_max, b"\xff"), b""
            long = Key(space, partition + b"\xff", b"")
        else:
            partition, sort = stage.partition(), b"\xff" * Limits.sort_bytes_max
            long = Key(space, partition, sort + b"\xff")
        key = Key(space, partition, sort)
        await client.write(Put(key, b"v"))
        await client.write(Add(key, "n", 1), checks=[IsPresent(key)])
        assert await client.value(key) == b"v"
        assert [r.sort for r in await client.query_all(space, partition, Range(sort, sort + b"\x00"))] == [sort]
        await client.write(appends=[Append(Key(logged, partition, sort), None, b"x")])
        witness = await stage.key()
        for write in (Put(long, b""), Delete(long), Add(long, "n", 1)):
            await assert_refused(client, witness, write)
        checks: list[Check] = [IsVersion(long, None), IsOlderThan(long, LAST_VERSION), IsPresent(long)]
        for check in checks:
            await assert_refused(client, witness, checks=[check])
        log_key = Key(logged, long.partition, long.sort)
        await assert_refused(client, witness, appends=[Append(log_key, None, b"")])
        for read in (lambda: store.get([witness, long]), lambda: store.read_together([witness, long])):
            with pytest.raises(LimitExceeded):
                await client.patiently(read)

    async def test_partitions_of_reads(self, stage: Stage) -> None:
        client, store, long = stage.client, stage.store, b"p" * (Limits.partition_bytes_max + 1)
        space, stamped = await stage.space(), await stage.space(STAMPED)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.query(space, long, limit=1),
            lambda: store.discard(space, long),
            lambda: store.read_together([StampOf(stamped, long)]),
            lambda: client.attempt(checks=[IsStamp(StampOf(stamped, long), 0)]),
        ]
        for call in calls:
            with pytest.raises(LimitExceeded):
                await client.patiently(call)

    async def test_values(self, stage: Stage) -> None:
        client = stage.client
        key, logged = await stage.key(), await stage.key(b"s", LOGGED)
        largest = b"v" * Limits.value_bytes_max
        await client.write(Put(key, largest), appends=[Append(logged, largest, largest)])
        assert await client.value(key) == largest
        witness = await stage.key()
        await assert_refused(client, witness, Put(key, largest + b"v"))
        await assert_refused(client, witness, appends=[Append(logged, largest + b"v", None)])
        await assert_refused(client, witness, appends=[Append(logged, None, largest + b"v")])
        assert await client.value(key) == largest


class TestLimitsOfCells:
    """How many, how long their names, how large their numbers."""

    async def test_how_many(self, stage: Stage) -> None:
        client, key, witness = stage.client, await stage.key(), await stage.key()
        full = {f"cell{number}": number for number in range(Limits.cells_max)}
        await client.write(Put(key, b"", full))
        await client.write(*(Add(key, name, 1) for name in full))
        await assert_refused(client, witness, Put(key, b"", {**full, "more": 1}))
        await assert_refused(client, witness, Add(key, "more", 1))
        assert await client.cells(key) == {name: number + 1 for name, number in full.items()}
        new = await stage.key()
        await assert_refused(client, witness, *(Add(new, f"c{number}", 1) for number in range(Limits.cells_max + 1)))
        assert await client.read(new) is None
        await client.write(*(Add(new, f"c{number}", 1) for number in range(Limits.cells_max)))
        assert len(await client.cells(new) or {}) == Limits.cells_max

    async def test_their_names(self, stage: Stage) -> None:
        client, key, witness = stage.client, await stage.key(), await stage.key()
        name = "ß" * Limits.cell_name_chars_max
        await client.write(Put(key, b"", {name: 1}))
        await client.write(Add(key, name, 1))
        assert await client.cells(key) == {name: 2}
        await assert_refused(client, witness, Put(key, b"", {name + "x": 1}))
        await assert_refused(client, witness, Add(key, name + "x", 1))
        with pytest.raises(InvalidRequest):
            await client.attempt(Add(key, "", 1))

    async def test_their_numbers(self, stage: Stage) -> None:
        client, key, witness = stage.client, await stage.key(), await stage.key()
        await client.write(Put(key, b"", {"max": Limits.cell_max, "min": CELL_MIN}))
        await client.write(Add(key, "max", CELL_MIN), Add(key, "min", Limits.cell_max))
        assert await client.cells(key) == {"max": -1, "min": -1}
        for number in (Limits.cell_max + 1, CELL_MIN - 1):
            await assert_refused(client, witness, Put(key, b"", {"n": number}))
            await assert_refused(client, witness, Add(key, "n", number))


class TestLimitsOfCommits:
    """How much one commit may hold."""

    async def test_checks(self, stage: Stage) -> None:
        client, witness = stage.client, await stage.key()
        keys = [await stage.key() for _ in range(Limits.checks_max + 1)]
        checks: list[Check] = [IsVersion(key, None) for key in keys]
        await client.write(Put(await stage.key(), b"x"), checks=checks[:-1])
        await assert_refused(client, witness, checks=checks)

    @pytest.mark.parametrize("kind", ["put", "delete", "add", "mixed"])
    async def test_writes(self, stage: Stage, kind: str) -> None:
        client, witness = stage.client, await stage.key()
        key = await stage.key()
        sorts = [Key(key.space, key.partition, b"%05d" % at) for at in range(Limits.writes_max + 1)]
        kinds: list[Callable[[Key], Write]] = [lambda at: Put(at, b"v"), Delete, lambda at: Add(at, "n", 1)]
        chosen = {"put": kinds[:1], "delete": kinds[1:2], "add": kinds[2:], "mixed": kinds}[kind]
        writes = [chosen[index % len(chosen)](at) for index, at in enumerate(sorts)]
        await client.write(*writes[:-1])
        found = len(await client.query_all(key.space, key.partition, page=10_000))
        assert found == sum(not isinstance(write, Delete) for write in writes[:-1])
        with pytest.raises(LimitExceeded):
            await client.attempt(*writes)
        await assert_refused(client, witness, *writes[:-1])

    async def test_appends(self, stage: Stage) -> None:
        client, witness = stage.client, await stage.key()
        space = await stage.own_space(LOGGED)
        appends = [Append(Key(space, b"p"), None, b"%d" % at) for at in range(Limits.appends_max + 1)]
        await assert_refused(client, witness, appends=appends)
        assert await client.log_all(space) == []
        await client.write(appends=appends[:-1])
        assert [entry.new for entry in await client.log_all(space)] == [append.new for append in appends[:-1]]

    @pytest.mark.parametrize("filler", ["value", "append"])
    async def test_bytes(self, stage: Stage, filler: str) -> None:
        client, witness = stage.client, await stage.key()
        space = await stage.own_space(LOGGED)
        largest = bytes(Limits.value_bytes_max)
        keys = [Key(space, b"partition", b"sort%d" % at) for at in range(4)]

        def commit_of(spare: int) -> tuple[list[Write], list[Append]]:
            """Returns what is as large as a commit may be, less so many bytes."""
            writes: list[Write] = [Put(key, largest) for key in keys[:3]]
            taken = commit_bytes(Commit(CommitId(bytes(16)), writes))
            left = Limits.commit_bytes_max - taken - len(b"partition") - len(b"sort3") - spare
            if filler == "value":
                return [*writes, Put(keys[3], bytes(left))], []
            return writes, [Append(keys[3], None, bytes(left))]

        writes, appends = commit_of(-1)
        with pytest.raises(LimitExceeded):
            await client.attempt(*writes, appends=appends)
        assert await client.scan_all(space) == []
        writes, appends = commit_of(0)
        await client.write(*writes, appends=appends)
        assert len(await client.scan_all(space)) == len(writes)
        await assert_refused(client, witness, *writes, appends=appends)

    async def test_partitions(self, stage: Stage) -> None:
        client, witness = stage.client, await stage.key()
        most = stage.store.capabilities.partitions_max
        assert most >= 200
        space = await stage.space()
        base = stage.partition()
        puts = min(most, Limits.writes_max)
        writes = [Put(Key(space, base + b"/%d" % at), b"x") for at in range(puts)]
        await client.write(*writes)
        records = [await client.get(*(write.key for write in writes[at : at + 1_000])) for at in range(0, puts, 1_000)]
        assert all(record is not None for page in records for record in page)
        if most < Limits.writes_max:
            await assert_refused(client, witness, *writes)

    async def test_origins(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key(b"s", LOGGED)
        await client.write(appends=[Append(key, None, None, "o" * 32)])
        for origin in ("", "o" * 33):
            with pytest.raises((InvalidRequest, LimitExceeded)):
                await client.attempt(Put(key, b"x"), appends=[Append(key, None, None, origin)])
        assert await client.read(key) is None

    async def test_ids(self, stage: Stage) -> None:
        key = await stage.key()
        for length in (0, 15, 17):
            wrong = CommitId(stage.client.new_id().ljust(20)[:length])
            with pytest.raises(InvalidRequest):
                await stage.client.attempt_commit(Commit(wrong, [Put(key, b"x")]))
        assert await stage.client.read(key) is None


class TestLimitsOfReads:
    """How much one read may ask for."""

    async def test_keys_of_a_get(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        await client.write(Put(key, b"x"))
        keys = [Key(key.space, key.partition, b"%d" % at if at % 2 else b"") for at in range(Limits.get_keys_max + 1)]
        records = await client.get(*keys[:-1])
        assert [record is not None for record in records] == [at % 2 == 0 for at in range(Limits.get_keys_max)]
        with pytest.raises(LimitExceeded):
            await client.get(*keys)

    async def test_reads_together(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        await client.write(Put(key, b"x"))
        keys = [Key(key.space, key.partition, b"%d" % at if at % 2 else b"") for at in range(Limits.together_max + 1)]
        records = await client.together(*keys[:-1])
        assert [record is not None for record in records] == [at % 2 == 0 for at in range(Limits.together_max)]
        with pytest.raises(LimitExceeded):
            await client.together(*keys)

    async def test_records_of_a_page(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        await page_of(client, key, limit=Limits.page_records_max)
        with pytest.raises(LimitExceeded):
            await page_of(client, key, limit=Limits.page_records_max + 1)

    async def test_shards_of_a_log(self, stage: Stage) -> None:
        most = Limits.log_shards_max
        space = await stage.own_space(SpaceOptions(log=LogOptions(shards=most, readers=("tail",))))
        await stage.client.write(appends=[Append(Key(space, b"p"), None, b"x")])
        found = [
            entry for shard in range(most) for entry in (await stage.client.log_page(space, shard, after=0)).entries
        ]
        assert [entry.new for entry in found] == [b"x"]
        with pytest.raises(LimitExceeded):
            await ensure(stage.client, stage.new_name(), SpaceOptions(log=LogOptions(shards=most + 1)))

    async def test_a_commit_at_a_limit_is_settled_like_any_other(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        writes = [Put(Key(key.space, key.partition, b"%d" % at), b"v" * 1_000) for at in range(Limits.writes_max)]
        commit = Commit(client.new_id(), writes)
        await client.attempt_commit(commit)
        has_landed = isinstance(await client.settle(commit), Committed)
        assert len(await client.query_all(key.space, key.partition)) == (Limits.writes_max if has_landed else 0)
