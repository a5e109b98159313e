"""The sequencing of logs, where processes die, are held up, or are in each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tenet.store.cassandra import idle, logs, pointers, segments, sequencer
from tenet.store.contract import Append, Commit, Key, LogEntry, LogOptions, Put, SpaceOptions
from tests.cassandra_model.cluster import Dead, Fate
from tests.cassandra_model.stand import Process, Stand, statement

LOGGED = SpaceOptions(log=LogOptions(readers=("tail",)))

COMMIT = statement("SET h = ?")
INTO_THE_LOG = statement("SET nx = ?")
OUT_OF_THE_OUTBOX = statement("USING TIMESTAMP ?")


def log_commit(process: Process, *keys: Key, each: int = 1) -> Commit:
    appends = [Append(key, None, b"%d" % number) for key in keys for number in range(each)]
    return Commit(process.client.new_id(), [Put(key, b"x") for key in keys], appends=appends)


async def read(process: Process) -> Sequence[LogEntry]:
    """Brings the log up to date by this process, and returns all of it."""
    entries = await process.client.log_all("logged")
    await process.engine.is_quiet()
    return entries


def places(entries: Sequence[LogEntry]) -> list[tuple[bytes, bytes | None]]:
    return [(entry.partition, entry.new) for entry in entries]


def test_a_pointer_is_not_taken_away_from_a_commit_that_is_held_up() -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        hold = writer.script.hold(COMMIT)
        commit = asyncio.ensure_future(writer.engine.commit(log_commit(writer, Key("logged", b"p"))))
        await hold.reached.wait()  # Its pointer is written, and its batch is not sent.
        for _ in range(5):
            assert await read(sequencer) == []
            await asyncio.sleep(20)
        hold.go.set()
        await commit
        assert places(await read(sequencer)) == [(b"p", b"0")]

    Stand().run(test)


def test_a_pointer_is_taken_away_after_a_while_and_written_again() -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        pointer_table = stand.cluster.table("stand.pointers")
        for number in range(1, 4):
            assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"p")))
            assert len(await read(sequencer)) == number
            assert len(pointer_table.content(stand.clock.wall_ms())) == 1
            for _ in range(2):
                await asyncio.sleep(20)
                await read(sequencer)
            assert not pointer_table.content(stand.clock.wall_ms())
        assert writer.driver.sent["second"] == 0

    Stand().run(test)


@pytest.mark.thorough
def test_no_entry_is_moved_twice_however_many_a_dead_sequencer_had_moved() -> None:
    async def test(stand: Stand) -> None:
        writer, first, second = [await stand.process(name) for name in ("writer", "first", "second")]
        await writer.engine.ensure_space("logged", LOGGED)
        for number in range(24):
            assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"%02d" % number), each=100))
        first.script.then(OUT_OF_THE_OUTBOX, Fate.DIED)
        with suppress(Dead):
            await read(first)
        entries = places(await read(second))
        assert len(entries) == len(set(entries)) == 2_400
        assert stand.rows(4) == []

    Stand().run(test)


def test_what_was_moved_by_another_between_two_looks_is_not_moved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "_UNCLEARED_MAX", 2)

    async def test(stand: Stand) -> None:
        writer, slow, quick = [await stand.process(name) for name in ("writer", "slow", "quick")]
        await writer.engine.ensure_space("logged", LOGGED)
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"p"), each=7))
        hold = slow.script.hold(statement("SELECT seg, tk"))
        reading = asyncio.ensure_future(read(slow))
        await hold.reached.wait()  # It has looked into the outbox, and not taken the shard yet.
        assert len(await read(quick)) == 7
        hold.go.set()
        assert len(await reading) == len(await read(quick)) == 7

    Stand().run(test)


def test_every_pointer_is_followed_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_POINTERS_MAX", 4)

    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        for number in range(10):
            assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"%d" % number)))
        assert sorted(places(await read(sequencer))) == [(b"%d" % number, b"0") for number in range(10)]

    Stand().run(test)


def test_a_read_that_is_cancelled_while_entries_are_moved_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "_BATCH_ENTRIES_MAX", 1)

    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        behind = await stand.process("behind", behind_ms=60_000)
        await writer.engine.ensure_space("logged", LOGGED)
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"zero")))
        assert len(await read(sequencer)) == 1  # From here on it has the shard.
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"one")))
        sequencer.script.then(INTO_THE_LOG, Fate.LATE)
        hold = sequencer.script.hold(INTO_THE_LOG)
        reading = asyncio.ensure_future(read(sequencer))
        await hold.reached.wait()
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        assert sequencer.script.land() == 1
        # An entry whose place is before that of the one which was under way.
        assert await behind.client.attempt_commit(log_commit(behind, Key("logged", b"two")))
        assert sorted(places(await read(sequencer))) == [(b"one", b"0"), (b"two", b"0"), (b"zero", b"0")]

    Stand().run(test)


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.NEVER])
@pytest.mark.parametrize("text", ["SET tk = ?", "SET nx = ?"])
def test_what_was_committed_is_read_though_nobody_knows_what_became_of_a_step(text: str, fate: Fate) -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"p")))
        sequencer.script.then(statement(text), fate)
        assert places(await read(sequencer)) == [(b"p", b"0")]

    Stand().run(test)


def test_entries_of_a_commit_whose_process_died_come_although_nobody_comes_to_its_partition() -> None:
    async def test(stand: Stand) -> None:
        writer, sequencer = await stand.process("writer"), await stand.process("sequencer")
        await writer.engine.ensure_space("logged", LOGGED)
        writer.script.then(COMMIT, Fate.DIED)  # The decision: it takes effect.
        with suppress(Dead):
            await writer.engine.commit(log_commit(writer, Key("logged", b"anchor"), Key("logged", b"other")))
        for _ in range(3):
            await read(sequencer)
            await asyncio.sleep(10)
        entries = places(await read(sequencer))
        assert sorted(entries) == [(b"anchor", b"0"), (b"other", b"0")]

    Stand().run(test)


def test_a_segment_that_is_full_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT", 5)

    async def test(stand: Stand) -> None:
        writer, first, second = [await stand.process(name) for name in ("writer", "first", "second")]
        await writer.engine.ensure_space("logged", LOGGED)
        for number in range(6):
            commit = log_commit(writer, Key("logged", b"%d" % (number % 2)), each=3)
            assert await writer.client.attempt_commit(commit)
            await read(first if number % 2 else second)
        entries = await read(first)
        assert [entry.position for entry in entries] == list(range(1, 19))
        page = await first.engine.read_log("logged", 0, after=7, limit=100, reader="tail")
        assert [entry.position for entry in page.entries] == list(range(8, 19))
        assert page.first == 8
        assert {at[2] for at in stand.cluster.table("stand.logs").content(stand.clock.wall_ms())} == {1, 2, 3}

    Stand().run(test)


def test_a_look_takes_nothing_from_who_follows_the_log() -> None:
    async def test(stand: Stand) -> None:
        keeper, other = await stand.process("keeper"), await stand.process("other")
        await keeper.engine.ensure_space("logged", LOGGED)
        after = 0
        for number in range(5):
            commit = log_commit(keeper, Key("logged", b"%d" % number))
            assert await keeper.client.attempt_commit(commit)
            changed = (other.driver.sent["conditional"], other.driver.sent["write"])
            for _ in range(8):
                page = await other.engine.read_log("logged", 0, after=after, limit=1, stale=True)
                assert (list(page.entries), page.waiting) == ([], commit.id)
            assert (other.driver.sent["conditional"], other.driver.sent["write"]) == changed
            before = keeper.driver.sent["conditional"]
            page = await keeper.engine.read_log("logged", 0, after=after, limit=9, reader="tail")
            after = page.entries[-1].position
            if number:
                # One batch into the log, and one that says what was read: it has not lost the shard meanwhile.
                assert keeper.driver.sent["conditional"] - before <= 3
            page = await other.engine.read_log("logged", 0, after=after, limit=1, stale=True)
            assert (list(page.entries), page.waiting) == ([], None)

    Stand().run(test)


def test_a_look_misses_nothing_that_is_moved_meanwhile() -> None:
    async def test(stand: Stand) -> None:
        keeper, other = await stand.process("keeper"), await stand.process("other")
        await keeper.engine.ensure_space("logged", LOGGED)
        commit = log_commit(keeper, Key("logged", b"p"))
        assert await keeper.client.attempt_commit(commit)
        hold = other.script.hold(statement("SELECT sort, v, h, lk, pe"))
        looking = asyncio.ensure_future(other.engine.read_log("logged", 0, after=0, limit=1, stale=True))
        await hold.reached.wait()  # It knows of the outbox, and has not looked into it yet.
        assert len(await read(keeper)) == 1
        hold.go.set()
        page = await looking
        assert [entry.commit_id for entry in page.entries] == [commit.id]
        assert page.waiting is None

    Stand().run(test)


def test_a_look_at_what_a_dead_sequencer_left_half_moved_says_so_until_somebody_reads() -> None:
    async def test(stand: Stand) -> None:
        writer, first, second = [await stand.process(name) for name in ("writer", "first", "second")]
        await writer.engine.ensure_space("logged", LOGGED)
        for number in range(3):
            assert await writer.client.attempt_commit(log_commit(writer, Key("logged", b"%d" % number)))
        first.script.then(OUT_OF_THE_OUTBOX, Fate.DIED)
        with suppress(Dead):
            await read(first)
        page = await second.engine.read_log("logged", 0, after=3, limit=1, stale=True)
        assert not page.entries
        moved = await second.engine.read_log("logged", 0, after=0, limit=9, stale=True)
        assert page.waiting in [entry.commit_id for entry in moved.entries]
        assert len(await read(second)) == 3
        page = await second.engine.read_log("logged", 0, after=3, limit=1, stale=True)
        assert (list(page.entries), page.waiting) == ([], None)

    Stand().run(test)


class TestEpochs:
    """The column ``pe``."""

    @pytest.mark.parametrize("epoch", [1, -1, 2**62, -(2**62)])
    def test_they_come_back_as_they_were_written(self, epoch: int) -> None:
        assert pointers.epoch_of(b"12345678", pointers.encode_pointer(b"12345678", epoch)) == epoch

    def test_those_of_another_log_say_nothing(self) -> None:
        assert pointers.epoch_of(b"12345678", pointers.encode_pointer(b"87654321", 5)) == 0
        assert pointers.epoch_of(b"12345678", None) == 0


@pytest.mark.parametrize("sleep_s", [0, 1])
def test_positions_go_on_where_all_up_to_the_end_of_a_segment_was_read(
    monkeypatch: pytest.MonkeyPatch, sleep_s: float
) -> None:
    monkeypatch.setattr(segments, "SEGMENT", 5)

    async def test(stand: Stand) -> None:
        first = await stand.process("first")
        await first.engine.ensure_space("logged", LOGGED)
        key = Key("logged", b"p")
        after = 0
        for number in range(1, 15):
            # Another one each time, as where nodes come and go: it knows nothing but what stands in the log.
            other = await stand.process(f"number {number}")
            assert await first.client.attempt_commit(log_commit(first, key))
            page = await other.engine.read_log("logged", 0, after=after, limit=9, reader="tail")
            assert [entry.position for entry in page.entries] == [number]
            after = page.closed
            await asyncio.sleep(sleep_s)
            await other.engine.read_log("logged", 0, after=after, limit=9, reader="tail")
        segments = {at[2] for at in stand.cluster.tables["stand.logs"].content(stand.clock.wall_ms())}
        assert segments <= {1, 2}, "what was read is let go"

    Stand().run(test)


def test_large_entries_are_read_a_few_at_a_time_and_go_a_few_at_a_time() -> None:
    day_ms, count, size = 86_400_000, 300, 40_000

    async def test(stand: Stand) -> None:
        first = await stand.process("first")
        await first.engine.ensure_space("logged", SpaceOptions(log=LogOptions(retention_ms=day_ms)))
        for number in range(count // 10):
            key = Key("logged", b"%d" % number)
            appends = [Append(key, None, b"x" * size) for _ in range(10)]
            assert await first.client.attempt_commit(Commit(first.client.new_id(), [Put(key, b"x")], appends=appends))
        after, pages = 0, 0
        while after < count:
            page = await first.engine.read_log("logged", 0, after=after, limit=1_000)
            assert [entry.position for entry in page.entries] == list(range(after + 1, after + 1 + len(page.entries)))
            assert 0 < len(page.entries) * size <= 64 * size + logs._PORTION_BYTES
            after, pages = page.entries[-1].position, pages + 1
        assert pages > 1
        await asyncio.sleep(day_ms / 1_000)
        begins = [(await first.engine.read_log("logged", 0, after=count, limit=1)).first for _ in range(10)]
        assert begins == sorted(begins)
        assert 1 < begins[0] <= 1 + logs._TRIM_PORTIONS * 64, "some go with each read, and not all at once"
        assert begins[-1] == count + 1

    Stand().run(test)


def test_nothing_goes_by_options_that_are_not_those_of_this_moment() -> None:
    async def test(stand: Stand) -> None:
        first, other = await stand.process("first"), await stand.process("other")
        await first.engine.ensure_space("logged", SpaceOptions(log=LogOptions()))
        await other.engine.read_log("logged", 0, after=0, limit=1)
        await first.engine.ensure_space("logged", SpaceOptions(log=LogOptions(retention_ms=86_400_000)))
        await asyncio.sleep(1.5)
        assert await first.client.attempt_commit(log_commit(first, Key("logged", b"p")))
        await other.engine.read_log("logged", 0, after=0, limit=9)
        page = await first.engine.read_log("logged", 0, after=0, limit=9)
        assert (page.first, len(page.entries)) == (1, 1)

    Stand().run(test)
