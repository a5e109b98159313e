"""What the log shows of commits that were answered, and what looks at it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from itertools import count, pairwise

import pytest

from tenet.base.clock import NEVER
from tenet.store.cassandra import idle
from tenet.store.cassandra.pointers import encode_pointer
from tenet.store.cassandra.schema import REMEMBERED_S, registry
from tenet.store.cassandra.sending import Bound
from tenet.store.cassandra.skew import SKEW_MS_PROMISED
from tenet.store.contract import Append, Commit, Delete, Key, Limits, LogEntry, LogOptions, Put, Range, SpaceOptions
from tenet.store.errors import DeadlineExceeded
from tests.cassandra_model.cluster import Fate
from tests.cassandra_model.stand import Process, Stand, Wanted, statement
from tests.cassandra_model.tables import Table

LOGGED = SpaceOptions(log=LogOptions(readers=("tail",)))
CARRIES_OUT = statement("lk = null WHERE p = ? IF lk = ?")
#: How many statements a look at the log sends at least while a pointer is taken away.
STATEMENTS = 9
#: How many pointers of a shard stay for a while that lead to nothing.
KEPT = 8
#: How many rows that are gone a read may meet, where that is made less.
TRACES_MAX = 40


def nth(number: int) -> Wanted:
    """Returns what picks a statement by how many others it asked about before."""
    numbers = count()
    return lambda _kind, _bound: next(numbers) == number


def log_commit(process: Process, *keys: Key, each: int = 1, value: bytes = b"") -> Commit:
    appends = [Append(key, None, value + b"%d" % number) for key in keys for number in range(each)]
    return Commit(process.client.new_id(), [Put(key, b"x") for key in keys], appends=appends)


async def read(process: Process) -> Sequence[LogEntry]:
    """Brings the log up to date by this process, and returns all of it."""
    entries = await process.client.log_all("logged")
    await process.engine.is_quiet()
    return entries


def places(entries: Sequence[LogEntry]) -> list[tuple[bytes, bytes | None]]:
    return [(entry.partition, entry.new) for entry in entries]


async def cost(process: Process, call: Awaitable[object]) -> tuple[int, int, int]:
    """Returns how many reads, plain writes and conditional batches a call sends, with what it leaves behind."""
    before = dict(process.driver.sent)
    await call
    await process.engine.is_quiet()
    reads, writes, batches = (process.driver.sent[kind] - before[kind] for kind in ("read", "write", "conditional"))
    return reads, writes, batches


def look(process: Process) -> Awaitable[object]:
    return process.engine.read_log("logged", 0, after=10_000, limit=1)


# ---- nothing is left out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(STATEMENTS))
def test_no_entry_is_left_behind_wherever_its_commit_comes_while_a_pointer_is_taken_away(number: int) -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        key = Key("logged", b"p")
        assert await writer.client.attempt_commit(log_commit(writer, key, value=b"first"))
        assert len(await read(sequencer)) == 1
        await read(sequencer)
        await asyncio.sleep(20)
        hold = sequencer.script.hold(nth(number))
        reading = asyncio.ensure_future(read(sequencer))
        await hold.reached.wait()
        assert await writer.client.attempt_commit(log_commit(writer, key, value=b"second"))
        hold.go.set()
        await reading
        assert places(await read(sequencer)) == [(b"p", b"first0"), (b"p", b"second0")]
        assert writer.driver.sent["second"] == 0

    Stand().run(test)


@pytest.mark.parametrize("is_known", [False, True])
def test_the_entries_of_a_commit_that_was_answered_are_read_though_it_is_not_carried_out_yet(*, is_known: bool) -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        keys = [Key("logged", b"anchor"), Key("logged", b"other")]
        known = []
        if is_known:
            assert await writer.client.attempt_commit(log_commit(writer, *keys, value=b"before"))
            await writer.engine.is_quiet()
            known = places(await read(sequencer))
            await read(sequencer)
        hold = writer.script.hold(CARRIES_OUT, Fate.NEVER)
        assert await writer.client.attempt_commit(log_commit(writer, *keys))
        await hold.reached.wait()
        entries = places(await read(sequencer))
        assert sorted(entries[len(known) :]) == [(b"anchor", b"0"), (b"other", b"0")]
        hold.go.set()
        await writer.engine.is_quiet()
        assert places(await read(sequencer)) == entries

    Stand().run(test)


def test_the_entries_of_a_commit_that_was_answered_are_read_though_it_is_carried_out_meanwhile() -> None:
    """Behind the look into an outbox that is new to the sequencer, and before its look at the lock, which is gone."""

    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"before")))
        # Whoever takes the shard looks twice.
        assert len(await read(sequencer)) == 1
        held = writer.script.hold(CARRIES_OUT)
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"a"), Key("logged", b"b")))
        await held.reached.wait()

        def is_of_lock(_kind: str, bound: Sequence[Bound]) -> bool:
            ((text, values), *_) = bound
            return "SELECT h, lk, pe" in text and b"before" not in values[0]

        lock = sequencer.script.hold(is_of_lock)
        reading = asyncio.ensure_future(sequencer.engine.read_log("logged", 0, after=1, limit=100))
        await lock.reached.wait()
        held.go.set()
        await writer.engine.is_quiet()
        lock.go.set()
        page = await reading
        assert sorted(places(page.entries)) == [(b"a", b"0"), (b"b", b"0")]

    Stand().run(test)


@pytest.mark.thorough
def test_what_a_process_remembers_of_an_outbox_hides_nothing_that_another_one_moved_or_left_there() -> None:
    async def test(stand: Stand) -> None:
        writer, first, second = [await stand.process(name) for name in ("writer", "first", "second")]
        await writer.engine.ensure_space("logged", LOGGED)
        for number in range(40):
            key = Key("logged", b"%d" % (number % 3))
            assert await writer.client.attempt_commit(
                log_commit(writer, key, each=1 + number % 20, value=b"%d " % number)
            )
            if number % 5 == 4:
                reading = asyncio.ensure_future(read(first))
                await asyncio.sleep(0)
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
            await read((first, second)[number % 2])
        entries = places(await read(first))
        assert len(entries) == len(set(entries)) == sum(1 + number % 20 for number in range(40))
        assert entries == places(await read(second))
        assert stand.rows(4) == []

    Stand().run(test)


# ---- nobody waits for what is not for him ----------------------------------------------------------------------------


def test_a_call_does_not_wait_for_another_one_beyond_its_deadline() -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"p")))
        hold = sequencer.script.hold(statement("SET nx = ?"))
        reading = asyncio.ensure_future(read(sequencer))
        await hold.reached.wait()
        begun_s = stand.clock.monotonic_s()
        with pytest.raises(DeadlineExceeded, match="others brought the shard of the log up to date"):
            await sequencer.engine.read_log("logged", 0, after=0, limit=1, deadline=begun_s + 1)
        assert stand.clock.monotonic_s() - begun_s < 1.1
        hold.go.set()
        assert len(await reading) == 1

    Stand().run(test)


def test_pointers_that_nobody_needs_are_taken_away_behind_the_call_and_some_at_a_time() -> None:
    partitions = 300

    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        pointer_table = stand.cluster.table("stand.pointers")

        def standing() -> int:
            return sum(len(content[1]) for content in pointer_table.content(stand.clock.wall_ms()).values())

        for number in range(partitions):
            assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"%d" % number)))
        assert len(await read(sequencer)) == partitions
        await look(sequencer)
        await asyncio.sleep(1)
        hold = sequencer.script.hold(statement("IF lk = null AND h"))
        await asyncio.wait_for(look(sequencer), 1)
        await hold.reached.wait()
        hold.go.set()
        await sequencer.engine.is_quiet()
        assert standing() == partitions - 256
        # Some stay a while longer: where there are few, it costs little to look into their outboxes.
        await look(sequencer)
        await sequencer.engine.is_quiet()
        assert standing() == KEPT
        await asyncio.sleep(20)
        await read(sequencer)
        assert standing() == 0

    Stand().run(test)


@pytest.mark.thorough
def test_pointers_that_come_back_stay_longer_each_time() -> None:
    """What is written to every second or two pays for its pointer three times, and then no more."""
    partitions = 3 * KEPT

    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        pointed = []
        for _ in range(8):
            before = writer.driver.sent["write"]
            for number in range(partitions):
                assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"%d" % number)))
            pointed.append(writer.driver.sent["write"] - before)
            for _ in range(10):
                await asyncio.sleep(0.3)
                await read(sequencer)
        assert pointed[0] == partitions
        # Each time of those that were beyond what is kept.
        assert 0 < pointed[1] < partitions
        assert 0 < pointed[2] < partitions
        assert pointed[3:] == [0] * 5

    Stand().run(test)


def test_a_pointer_whose_commit_is_on_its_way_stays_however_many_there_are() -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        held = writer.script.hold(statement("SET pe = ?"))
        committing = asyncio.ensure_future(writer.client.attempt_commit(log_commit(writer, Key("logged", b"slow"))))
        await held.reached.wait()
        await read(sequencer)
        for number in range(3 * KEPT):
            assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"%d" % number)))
        for _ in range(10):
            await asyncio.sleep(0.5)
            await read(sequencer)
        sent = writer.driver.sent["conditional"]
        held.go.set()
        assert await committing
        assert writer.driver.sent["conditional"] == sent, "it was not refused"
        assert (b"slow", b"0") in places(await read(sequencer))

    Stand().run(test)


def test_a_process_that_is_new_takes_a_shard_with_many_pointers_that_lead_to_nothing() -> None:
    async def test(stand: Stand) -> None:
        writer, former, fresh = [await stand.process(name) for name in ("writer", "former", "fresh")]
        await writer.engine.ensure_space("logged", LOGGED)
        for number in range(40):
            assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"%02d" % number)))
        await read(former)
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"~last")))
        assert len(await read(fresh)) == 41

    Stand().run(test)


def test_what_it_costs_to_take_a_pointer_away_is_no_look_where_nothing_has_come() -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"p")))
        assert len(await read(sequencer)) == 1
        before = await cost(sequencer, look(sequencer))
        await asyncio.sleep(20)
        assert await cost(sequencer, look(sequencer)) == (before[0], before[1] + 1, before[2] + 1)

    Stand().run(test)


async def left_alone_with_traces(stand: Stand, process: Process) -> Key:
    """Returns the last record of a partition whose other ones are deleted, and which was left until its header went."""
    await process.engine.ensure_space("logged", LOGGED)
    key = Key("logged", b"p", b"~")
    assert await process.client.attempt_commit(log_commit(process, key))
    gone = [Key("logged", b"p", b"%03d" % number) for number in range(2 * TRACES_MAX)]
    await process.client.write(*(Put(one, b"x") for one in gone))
    await process.client.write(*map(Delete, gone))
    stand.clock.advance_ms(1000 * (REMEMBERED_S + 1))
    return key


def test_a_partition_whose_head_is_deleted_stops_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Table, "traces_max", TRACES_MAX)

    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        key = await left_alone_with_traces(stand, writer)
        assert places(await read(sequencer)) == [(b"p", b"0")]
        await read(sequencer)
        await asyncio.sleep(20)
        # Its pointer is taken away, and the next entry comes with another one.
        await read(sequencer)
        assert not stand.cluster.table("stand.pointers").content(stand.clock.wall_ms())
        assert await writer.client.attempt_commit(log_commit(writer, key, value=b"next"))
        assert len(await read(sequencer)) == 2

    Stand().run(test)


def test_a_range_is_discarded_in_a_partition_whose_head_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Table, "traces_max", TRACES_MAX)

    async def test(stand: Stand) -> None:
        process = await stand.process("process")
        key = await left_alone_with_traces(stand, process)
        await process.engine.discard("logged", b"p", Range(b"~"))
        assert await process.client.read(key) is None

    Stand().run(test)


@pytest.mark.parametrize("stands", [None, -1, -2, 2])
def test_a_pointer_goes_however_its_partition_that_has_no_header_says_it_stands(stands: int | None) -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        space = (await writer.engine._find(["logged"], NEVER))["logged"]
        pe = [] if stands is None else [encode_pointer(space.log_id, stands)]
        for one in pe:
            await writer.driver.decide([(space.statements.point + "lk = null", [one, b"\x00p"])])
        await writer.driver.write([(space.log_statements.point, [space.log_id, 0, b"\x00p", 1])])
        await read(sequencer)
        await asyncio.sleep(20)
        await read(sequencer)
        assert not stand.cluster.table("stand.pointers").content(stand.clock.wall_ms())
        (found,) = await writer.driver.select(f"SELECT pe FROM {space.statements.table} WHERE p = ?", (b"\x00p",))
        left = stands if stands is not None and abs(stands) > 1 else -2
        assert found == (encode_pointer(space.log_id, left),)

    Stand().run(test)


def test_what_is_read_before_it_is_moved_has_a_bound_in_bytes() -> None:
    value = bytes(1024 * 1024)
    asked: list[int] = []

    def note(_kind: str, bound: Sequence[Bound]) -> bool:
        text, values = bound[0]
        if text.startswith("SELECT sort, v"):
            asked.append(values[-1])
        return False

    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        for number in range(60):
            key = Key("logged", b"%d" % (number % 40))
            assert await writer.client.attempt_commit(log_commit(writer, key, value=value))
        sequencer.script.hold(note)
        hold = sequencer.script.hold(statement("SET nx = ?"))
        reading = asyncio.ensure_future(look(sequencer))
        await hold.reached.wait()
        assert len(asked) == 2 * 16, "the first outboxes, again when the shard was taken, and then they are moved"
        hold.go.set()
        await reading
        assert stand.rows(4) == []
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"0"), value=value))
        await look(sequencer)
        assert asked[-1] == 1, "of what had more than a mebibyte one is asked for"

    Stand().run(test)


# ---- costs -----------------------------------------------------------------------------------------------------------


def test_what_a_logged_commit_and_a_look_at_the_log_send() -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        keys = [Key("logged", b"%d" % number) for number in range(5)]
        # Its pointers, the head of the shard and its newest segment.
        shard = 3
        assert await cost(sequencer, look(sequencer)) == (shard, 0, 0)
        for key in keys:
            # The pointer comes first.
            assert await cost(writer, writer.engine.commit(log_commit(writer, key))) == (0, 1, 1)
        # Then the shard is taken, which is four reads and two batches, and the outboxes are read again.
        assert await cost(sequencer, look(sequencer)) == (shard + 5 + 4 + 5, 5, 1 + 2)
        assert await cost(sequencer, look(sequencer)) == (shard + 5, 0, 0), "one read for each pointer"
        for key in keys:
            assert await cost(writer, writer.engine.commit(log_commit(writer, key))) == (0, 0, 1)
        # One batch into the log, and a write to clear each outbox.
        assert await cost(sequencer, look(sequencer)) == (shard + 2 * 5, 5, 1), "it was told that something was added"
        for _ in range(3):
            assert await cost(sequencer, look(sequencer)) == (shard + 5, 0, 0)
        for number in range(4):
            for key in keys:
                assert await cost(writer, writer.engine.commit(log_commit(writer, key))) == (0, 0, 1)
            reads = 2 * 5 if number < 2 else 5
            assert await cost(sequencer, look(sequencer)) == (shard + reads, 5, 1)
        assert await cost(sequencer, look(sequencer)) == (shard + 2 * 5, 0, 0), "not where something is always added"
        assert await cost(sequencer, look(sequencer)) == (shard + 5, 0, 0)

    Stand().run(test)


def test_a_look_at_an_outbox_meets_one_trace_however_many_entries_were_taken_out() -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer, late = [await stand.process(name) for name in ("writer", "sequencer", "late")]
        await writer.engine.ensure_space("logged", LOGGED)
        key = Key("logged", b"p")
        for _ in range(50):
            assert await writer.client.attempt_commit(log_commit(writer, key, each=3))
            await read(sequencer)
        table = next(table for name, table in stand.cluster.tables.items() if ".s_" in name)
        (partition,) = table.partitions.values()
        deleted = [one for one in partition.deleted if one[0][0] == 4]
        assert len(deleted) == 50
        # Each contains all before it, and is newer: of such Cassandra keeps the last one.
        for before, after in pairwise(deleted):
            assert after[0] == before[0]
            assert after[1] is not None
            assert before[1] is not None
            assert after[1] > before[1]
            assert after[2] > before[2]
        assert len(await read(late)) == 150

    Stand().run(test)


def test_the_traces_of_pointers_go_and_no_pointer_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_TRACES_MAX", 20)

    async def log(writer: Process, *names: str) -> None:
        for name in names:
            assert await writer.client.attempt_commit(log_commit(writer, Key("logged", name.encode())))

    async def test(stand: Stand) -> None:
        writer, sequencer, late = [await stand.process(name) for name in ("writer", "sequencer", "late")]
        await writer.engine.ensure_space("logged", LOGGED)
        await log(writer, *(f"old {number}" for number in range(40)))
        await read(sequencer)
        await asyncio.sleep(20)
        await read(sequencer)
        (partition,) = stand.cluster.table("stand.pointers").partitions.values()
        assert sum(row.deleted_us > 0 for row in partition.rows.values()) == 40
        await log(writer, "stays")
        await asyncio.sleep(2_000)
        await log(writer, *(f"new {number}" for number in range(25)))
        await read(sequencer)
        await asyncio.sleep(20)
        before = writer.driver.sent["write"]
        await log(writer, "stays")
        await read(sequencer)
        (mark_us,) = [timestamp for first, _, timestamp in partition.deleted if first == ()]
        assert sum(row.deleted_us > mark_us for row in partition.rows.values()) == 25, "what is older is one mark"
        await log(writer, "stays")
        assert writer.driver.sent["write"] == before, "it relies on the pointer that stands since before the mark"
        assert len(await read(late)) == 40 + 25 + 3

    Stand().run(test)


def test_no_trace_goes_by_which_a_pointer_could_that_somebody_is_about_to_rely_on() -> None:
    # Written by a process that is behind, relied on at the end of the window, found by one that is ahead.
    assert Limits.settle_window_s + 2 * SKEW_MS_PROMISED / 1000 + 300 <= idle._TRACES_OLD_S


def test_traces_of_pointers_are_kept_for_minutes() -> None:
    definitions = registry("keyspace", 86_400)
    assert "gc_grace_seconds = 600" in definitions.pop("pointers")
    assert all("gc_grace_seconds = 86400" in text for text in definitions.values())
