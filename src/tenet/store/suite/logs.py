"""Logs: the order of the commits for each partition, nothing lost, nothing at or below a closed position, trimming."""

from __future__ import annotations

import asyncio

import pytest

from tenet.base.dice import Dice
from tenet.store.contract import (
    Add,
    Append,
    Committed,
    Delete,
    IsPresent,
    IsVersion,
    Key,
    LogEntry,
    LogOptions,
    Put,
    SpaceOptions,
    log_shard,
)
from tenet.store.errors import InvalidRequest, LimitExceeded, LogTrimmed
from tenet.store.suite.logs_tail import Tail, put_logged, trimmed_to
from tenet.store.suite.settle import held_up, landed
from tenet.store.suite.stage import LOGGED, PLAIN, SEED, Client, Stage, all_of, rounds

SHARDED = SpaceOptions(log=LogOptions(shards=4, readers=("tail",)))
#: Seconds at the most for which a log is tailed beside writers where no commit is held up.
UNHELD_S = 0.5


class TestLogs:
    """What an entry tells, and where it stands."""

    async def test_an_entry_tells_all_of_a_change(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        key, other = Key(space, b"p\x00", b"s\xff"), Key(space, b"", b"")
        commit, committed = await landed(
            client,
            Put(key, b"new"),
            appends=(
                Append(key, None, b"new"),
                Append(key, b"", None, "expiry"),
                Append(other, b"a" * 1_000, b"", "x" * 32),
            ),
        )
        entries = await client.log_all(space)
        told = [(one.partition, one.sort, one.old, one.new, one.origin) for one in entries]
        assert told == [
            (b"p\x00", b"s\xff", None, b"new", "client"),
            (b"p\x00", b"s\xff", b"", None, "expiry"),
            (b"", b"", b"a" * 1_000, b"", "x" * 32),
        ]
        assert {entry.commit_id for entry in entries} == {commit.id}
        assert {entry.version for entry in entries} == {committed.version}
        positions = [entry.position for entry in entries]
        assert positions == sorted(set(positions))
        assert all(0 < position < 2**63 for position in positions)

    async def test_an_append_needs_no_write_and_a_write_no_append(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        key = Key(space, b"p")
        await client.write(appends=[Append(key, None, b"only logged")])
        await client.write(Put(key, b"only written"))
        await client.write(Delete(key), Add(Key(space, b"q"), "n", 1))
        assert [entry.new for entry in await client.log_all(space)] == [b"only logged"]
        assert await client.read(key) is None

    async def test_what_is_refused_is_not_logged(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        key = Key(space, b"p")
        await client.refused(Put(key, b"x"), checks=[IsPresent(key)], appends=[Append(key, None, b"x")])
        await client.refused(Add(key, "n", 1, at_most=0), appends=[Append(key, None, b"y")])
        page = await client.log_page(space, after=0)
        assert list(page.entries) == []

    async def test_the_entries_of_a_partition_are_in_its_shard(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(SHARDED)
        for number in range(40):
            await put_logged(client, Key(space, b"p%d" % (number % 20), b"%d" % number), b"%d" % number)
        shards = [await client.log_all(space, shard) for shard in range(4)]
        assert sorted(int(entry.new or b"") for shard in shards for entry in shard) == list(range(40))
        for at, shard in enumerate(shards):
            assert shard, "twenty partitions should lie in every shard of four"
            assert {log_shard(entry.partition, 4) for entry in shard} == {at}

    async def test_pages_follow_one_another(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        for number in range(25):
            await put_logged(client, Key(space, b"p%d" % (number % 3)), b"%d" % number)
        everything = await client.log_all(space)
        assert [entry.new for entry in everything] == [b"%d" % number for number in range(25)]
        for limit in (1, 2, 7, 24, 25, 26):
            assert await client.log_all(space, limit=limit) == everything
        for at, entry in enumerate(everything):
            assert await client.log_all(space, after=entry.position) == everything[at + 1 :]
        page = await client.log_page(space, after=everything[-1].position + 10**12)
        assert list(page.entries) == []

    async def test_closed_covers_what_it_shows_and_only_rises(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        closed = 0
        for number in range(20):
            await put_logged(client, Key(space, b"p%d" % (number % 3)), b"%d" % number)
            page = await client.log_page(space, after=0, limit=5)
            assert page.closed >= closed
            assert all(entry.position <= page.closed for entry in page.entries)
            assert page.first <= min((entry.position for entry in page.entries), default=page.first)
            closed = page.closed

    async def test_a_stale_read_says_that_there_is_more_and_leaves_the_log_as_it_was(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        after = 0
        for number in range(10):
            before = await client.log_page(space, after=after, stale=True)
            assert (list(before.entries), before.waiting) == ([], None), "all that there is was read"
            commit, committed = await landed(
                client,
                Put(Key(space, b"p%d" % (number % 3)), b"x"),
                appends=(Append(Key(space, b"p%d" % (number % 3)), None, b"%d" % number),),
            )
            looked = await client.log_page(space, after=after, stale=True)
            shown = [entry.commit_id for entry in looked.entries]
            assert commit.id in [*shown, looked.waiting]
            assert looked.arriving.keys() <= {b"p%d" % (number % 3)}
            assert set(looked.arriving.values()) <= {committed.version}
            again = await client.log_page(space, after=after, stale=True)
            assert again == looked
            page = await client.log_page(space, after=after)
            assert [entry.commit_id for entry in page.entries] == [commit.id]
            assert (page.waiting, page.arriving) == (None, {})
            after = page.entries[-1].position

    async def test_large_values_go_through(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        key = Key(space, b"p")
        old, new = Dice(SEED).bytes(2 * 1024 * 1024), Dice(SEED + 1).bytes(2 * 1024 * 1024)
        await client.write(Put(key, new), appends=[Append(key, old, new)])
        (entry,) = await client.log_all(space)
        assert (entry.old, entry.new) == (old, new)

    async def test_wrong_calls_are_refused(self, stage: Stage) -> None:
        client = stage.client
        plain, logged = await stage.space(PLAIN), await stage.own_space(SHARDED)
        wrong = [(plain, 0, 1, None), (logged, 4, 1, None), (logged, -1, 1, None), (logged, 0, 0, None)]
        for space, shard, limit, reader in [*wrong, (logged, 0, 1, "nobody")]:
            with pytest.raises(InvalidRequest):
                await client.log_page(space, shard, after=0, limit=limit, reader=reader)
        for space, shard, limit, reader in [*wrong, (logged, 0, 1, "tail")]:
            with pytest.raises(InvalidRequest):
                await client.log_page(space, shard, after=0, limit=limit, reader=reader, stale=True)
        with pytest.raises(LimitExceeded):
            await client.log_page(logged, after=0, limit=10_001)


class TestLogOrder:
    """Readers that tail a log while many write."""

    async def test_the_order_of_a_partition_is_that_of_its_commits(self, stage: Stage) -> None:
        # Every commit checks all three records of its partition, so that the commits of a partition have one order,
        # and numbers itself in it.
        client = stage.client
        space = await stage.own_space(SHARDED)
        each = rounds(10, 150)

        async def write_on(writer: int) -> None:
            dice = Dice(SEED + writer)
            for _ in range(each):
                partition = b"p%d" % dice.below(3)
                keys = [Key(space, partition, b"%d" % at) for at in range(3)]
                await _number_next(client, keys, dice.pick(keys))

        tails = [Tail(client, space, shard) for shard in range(4)]
        stop = asyncio.Event()

        async def write_all() -> None:
            await all_of(*(write_on(writer) for writer in range(6)))
            stop.set()

        await all_of(write_all(), *(tail.follow(stop) for tail in tails))
        for tail in tails:
            await tail.assert_is_the_log()
        entries = [entry for tail in tails for entry in tail.entries]
        assert len(entries) == 6 * each, "entries were lost, or came twice"
        for partition in {entry.partition for entry in entries}:
            numbers = [int(entry.new or b"") for entry in entries if entry.partition == partition]
            assert numbers == list(range(1, len(numbers) + 1))

    async def test_a_commit_that_is_held_up_appears_behind_what_was_closed(self, stage: Stage) -> None:
        client, store = stage.client, stage.store
        space = await stage.own_space(SHARDED)
        held = Key(space, b"held")
        shard = log_shard(held.partition, 4)
        tails = [Tail(client, space, at) for at in range(4)]
        stop, is_over = asyncio.Event(), asyncio.Event()
        late_id = client.new_id()
        hold = stage.harness.hold(store, late_id)

        async def write_on(writer: int) -> None:
            number = 0
            while not is_over.is_set():
                await put_logged(client, Key(space, b"p%d.%d" % (writer, number % 9)), b"%d" % number)
                number += 1
                await asyncio.sleep(0.002)

        async def hold_up() -> None:
            commit = Tail.commit_of(late_id, held, b"late")
            sent = asyncio.create_task(client.attempt_commit(commit))
            is_held = await held_up(hold, sent)
            await asyncio.sleep(stage.harness.held_s if is_held else min(stage.harness.held_s, UNHELD_S))
            closed = max(tails[shard].closed)
            if hold is not None:
                hold.release()
            is_over.set()
            assert isinstance(await sent or await put_logged(client, held, b"late"), Committed)
            if is_held:
                entry = await _entry_of(client, space, shard, b"late")
                assert entry.position > closed, "an entry appeared at or below a closed position"

        async def write_all() -> None:
            await all_of(hold_up(), *(write_on(writer) for writer in range(3)))
            stop.set()

        await all_of(write_all(), *(tail.follow(stop) for tail in tails))
        for tail in tails:
            await tail.assert_is_the_log()
        assert [entry.new for entry in tails[shard].entries if entry.partition == b"held"] == [b"late"]


async def _number_next(client: Client, keys: list[Key], target: Key) -> None:
    """Puts the next number of a partition into one of its records, and logs it."""
    while True:
        records = await client.get(*keys)
        number = b"%d" % (1 + max((int(record.value) for record in records if record), default=0))
        checks = [
            IsVersion(key, None if record is None else record.version)
            for key, record in zip(keys, records, strict=True)
        ]
        outcome = await client.attempt(Put(target, number), checks=checks, appends=[Append(target, None, number)])
        if isinstance(outcome, Committed):
            return


async def _entry_of(client: Client, space: str, shard: int, new: bytes) -> LogEntry:
    async with asyncio.timeout(10):
        while True:
            for entry in await client.log_all(space, shard):
                if entry.new == new:
                    return entry
            await asyncio.sleep(0.01)


class TestTrimming:
    """A log is kept for as long as its readers need it, and its retention says, and no longer."""

    async def test_it_is_kept_until_every_reader_has_read_it(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(SpaceOptions(log=LogOptions(readers=("one", "two"))))
        for number in range(20):
            await put_logged(client, Key(space, b"p"), b"%d" % number)
        positions = [entry.position for entry in await client.log_all(space)]
        await client.log_page(space, after=positions[-1], reader="one")
        await client.log_page(space, after=positions[4], reader="two")
        await trimmed_to(client, space, above=positions[4], within_s=stage.harness.trim_s_max)
        # The other reader has not said that it needs no more, so that the rest stays.
        await asyncio.sleep(0.1)
        assert [entry.position for entry in await client.log_all(space, after=positions[4])] == positions[5:]
        for after in (0, positions[0], positions[3]):
            with pytest.raises(LogTrimmed) as trimmed:
                await client.log_page(space, after=after)
            assert positions[4] < trimmed.value.first <= positions[5]
        await client.log_page(space, after=positions[-1], reader="two")
        await trimmed_to(client, space, above=positions[-1], within_s=stage.harness.trim_s_max)
        await put_logged(client, Key(space, b"p"), b"next")
        assert [entry.new for entry in await client.log_all(space, after=positions[-1])] == [b"next"]

    async def test_reading_without_a_name_or_again_releases_nothing_more(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        for number in range(10):
            await put_logged(client, Key(space, b"p"), b"%d" % number)
        positions = [entry.position for entry in await client.log_all(space)]
        await client.log_page(space, after=positions[-1])
        await client.log_page(space, after=positions[2], reader="tail")
        await trimmed_to(client, space, above=positions[2], within_s=stage.harness.trim_s_max)
        await asyncio.sleep(0.1)
        assert [entry.position for entry in await client.log_all(space, after=positions[2])] == positions[3:]

    async def test_a_reader_that_goes_releases_what_it_held(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(SpaceOptions(log=LogOptions(readers=("one", "gone"))))
        for number in range(10):
            await put_logged(client, Key(space, b"p"), b"%d" % number)
        last = (await client.log_all(space))[-1].position
        await client.log_page(space, after=last, reader="one")
        await asyncio.sleep(0.1)
        assert len(await client.log_all(space)) == 10
        options = SpaceOptions(log=LogOptions(readers=("one",)))
        await client.patiently(lambda: client.store.ensure_space(space, options))
        await client.log_page(space, after=last, reader="one")
        await trimmed_to(client, space, above=last, within_s=stage.harness.trim_s_max)

    async def test_the_retention_keeps_what_all_have_read(self, stage: Stage) -> None:
        client = stage.client
        # Far longer than the test takes, then nothing at all: the retention may be changed.
        space = await stage.own_space(SpaceOptions(log=LogOptions(readers=("one",), retention_ms=3_600_000)))
        for number in range(10):
            await put_logged(client, Key(space, b"p"), b"%d" % number)
        last = (await client.log_all(space))[-1].position
        await client.log_page(space, after=last, reader="one")
        await asyncio.sleep(0.2)
        assert len(await client.log_all(space)) == 10
        options = SpaceOptions(log=LogOptions(readers=("one",), retention_ms=50))
        await client.patiently(lambda: client.store.ensure_space(space, options))
        await asyncio.sleep(0.1)
        await client.log_page(space, after=last, reader="one")
        await trimmed_to(client, space, above=last, within_s=stage.harness.trim_s_max)
