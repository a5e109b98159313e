"""Deadlines, watches, discarded ranges, health, and an engine that was closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tenet.base.dice import Dice
from tenet.store.contract import (
    Add,
    Commit,
    Committed,
    Conflict,
    Key,
    Put,
    Range,
    StampOf,
    Store,
    Unknown,
)
from tenet.store.errors import DeadlineExceeded, StoreUnavailable
from tenet.store.suite.stage import LOGGED, PLAIN, SEED, STAMPED, Stage, all_of, rounds


def every_call(store: Store, space: str, commit: Commit, deadline: float) -> list[Callable[[], Awaitable[object]]]:
    """Returns every call of the contract that takes a deadline."""
    key = Key(space, b"p")
    return [
        lambda: store.ensure_space(space, LOGGED, deadline=deadline),
        lambda: store.list_spaces(deadline=deadline),
        lambda: store.get([key], deadline=deadline),
        lambda: store.query(space, b"p", limit=1, deadline=deadline),
        lambda: store.scan(space, limit=1, deadline=deadline),
        lambda: store.read_together([key], deadline=deadline),
        lambda: store.commit(commit, deadline=deadline),
        lambda: store.settle(commit, deadline=deadline),
        lambda: store.read_log(space, 0, after=0, limit=1, deadline=deadline),
        lambda: store.discard(space, b"p", deadline=deadline),
        lambda: store.drop_space(space, deadline=deadline),
    ]


class TestDeadlines:
    """A call ends with its deadline, and says what it can about its effect."""

    async def test_past_the_deadline_every_call_says_so(self, stage: Stage) -> None:
        space = await stage.own_space(LOGGED)
        key = Key(space, b"p")
        await stage.client.write(Put(key, b"kept"))
        commit = Commit(stage.client.new_id(), [Put(key, b"changed")])
        for call in every_call(stage.store, space, commit, stage.clock.monotonic_s() - 0.001):
            with pytest.raises(DeadlineExceeded):
                await stage.client.patiently(call)
        assert await stage.client.value(key) == b"kept"

    async def test_before_it_every_call_is_answered(self, stage: Stage) -> None:
        space = await stage.own_space(LOGGED)
        commit = Commit(stage.client.new_id(), [Put(Key(space, b"p"), b"x")])
        for call in every_call(stage.store, space, commit, stage.clock.monotonic_s() + 60):
            await stage.client.patiently(call)

    async def test_a_commit_that_meets_its_deadline_midway_can_be_settled(self, stage: Stage) -> None:
        client, dice = stage.client, Dice(SEED)
        deadline_was_met = False

        async def commit_within(timeout_s: float) -> None:
            nonlocal deadline_was_met
            key = await stage.key(b"s")
            commit = Commit(client.new_id(), [Put(Key(key.space, key.partition, b"%d" % at), b"x") for at in range(50)])
            try:
                outcome = await stage.store.commit(commit, deadline=stage.clock.monotonic_s() + timeout_s)
            except StoreUnavailable:
                deadline_was_met = True
                outcome = None
            assert not isinstance(outcome, Conflict)
            deadline_was_met = deadline_was_met or isinstance(outcome, Unknown)
            settled = await client.settle(commit)
            if outcome is None:
                assert not isinstance(settled, Committed), "nothing was to be written, said the error"
            if isinstance(outcome, Committed):
                assert isinstance(settled, Committed)
            found = len(await client.query_all(key.space, key.partition))
            assert found == (50 if isinstance(settled, Committed) else 0)

        for _ in range(rounds(6, 100)):
            await all_of(*(commit_within(at * dice.below(250) / 1_000_000) for at in range(16)))
        assert deadline_was_met


class TestWatches:
    """Hints: that they come where an engine says so, and that nothing else is promised."""

    async def test_a_commit_is_hinted_at(self, stage: Stage) -> None:
        key = await stage.key(b"s")
        others = Key(key.space, key.partition + b"x")
        of_partition, of_space = stage.store.watch(key.space, key.partition), stage.store.watch(key.space)
        try:
            waits = [asyncio.create_task(watch.wait(patience_s(stage))) for watch in (of_partition, of_space)]
            await asyncio.sleep(0)
            await stage.client.write(Put(key, b"x"))
            assert stage.harness.hints <= all(await all_of(*(_result(wait) for wait in waits)))
            # What came while nobody waited is not lost either.
            await stage.client.write(Add(others, "n", 1))
            await stage.client.write(Add(key, "n", 1))
            hinted = [await watch.wait(patience_s(stage)) for watch in (of_partition, of_space)]
            assert stage.harness.hints <= all(hinted)
        finally:
            of_partition.close()
            of_space.close()

    async def test_without_a_commit_a_wait_ends_in_time(self, stage: Stage) -> None:
        watch = stage.store.watch(await stage.own_space())
        started = stage.clock.monotonic_s()
        # A hint may be for nothing, so that only the time is sure.
        await watch.wait(0.05)
        assert stage.clock.monotonic_s() - started < 2
        watch.close()
        watch.close()

    async def test_many_watches_are_told(self, stage: Stage) -> None:
        space = await stage.space(PLAIN)
        keys = [Key(space, stage.partition()) for _ in range(50)]
        watches = [stage.store.watch(space, key.partition) for key in keys]
        try:
            await stage.client.write(*(Put(key, b"x") for key in keys))
            hinted = await all_of(*(watch.wait(patience_s(stage)) for watch in watches))
            assert stage.harness.hints <= all(hinted)
        finally:
            for watch in watches:
                watch.close()


def patience_s(stage: Stage) -> float:
    """Returns how long a hint is waited for; it comes at once where hints come at all."""
    return 5.0 if stage.harness.hints else 0.1


async def _result(task: asyncio.Task[bool]) -> bool:
    return await task


class TestDiscard:
    """A range that nobody uses any more goes; nothing else does."""

    async def test_it_takes_the_range_and_can_be_repeated(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        neighbour = Key(key.space, key.partition + b"\x00", b"5")
        sorts = [b"%d" % at for at in range(10)]
        await client.write(*(Put(Key(key.space, key.partition, sort), b"v", {"n": 1}) for sort in sorts))
        await client.write(Put(neighbour, b"kept"))

        async def discard(within: Range) -> list[bytes]:
            await client.patiently(lambda: client.store.discard(key.space, key.partition, within))
            return [record.sort for record in await client.query_all(key.space, key.partition)]

        for _ in range(2):
            assert await discard(Range(b"3", b"6")) == [b"0", b"1", b"2", b"6", b"7", b"8", b"9"]
        assert await discard(Range(b"x", b"a")) == [b"0", b"1", b"2", b"6", b"7", b"8", b"9"]
        assert await discard(Range(b"8")) == [b"0", b"1", b"2", b"6", b"7"]
        assert await discard(Range(b"", b"1")) == [b"1", b"2", b"6", b"7"]
        assert await discard(Range()) == []
        assert await discard(Range()) == []
        assert await client.value(neighbour) == b"kept"
        # What is written there again has nothing of what was.
        gone = Key(key.space, key.partition, b"4")
        await client.write(Add(gone, "m", 1))
        assert await client.cells(gone) == {"m": 1}

    async def test_it_takes_very_many(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        count = rounds(6_000, 60_000)
        for start in range(0, count, 3_000):
            sorts = [b"%06d" % at for at in range(start, start + 3_000)]
            await client.write(*(Put(Key(key.space, key.partition, sort), b"v") for sort in sorts))
        await client.patiently(
            lambda: client.store.discard(key.space, key.partition, Range(b"000010", b"%06d" % count))
        )
        assert len(await client.query_all(key.space, key.partition)) == 10


class TestEngine:
    """What an engine says about itself, and how it ends."""

    async def test_it_declares_itself(self, stage: Stage) -> None:
        capabilities = stage.store.capabilities
        assert capabilities.engine
        assert capabilities.partitions_max >= 200
        health = await stage.store.health()
        assert health
        assert {type(value) for value in health.values()} <= {str, int, float, bool}
        told = (health["can_write"], health["write_refusal"], health["is_damaged"], health["is_restoring"])
        assert told == (True, "", False, False)

    async def test_closed_it_serves_nobody(self, stage: Stage) -> None:
        async with stage.private_engine() as engine:
            space = await engine.space(LOGGED)
            store = engine.store
            await store.close()
            commit = Commit(engine.client.new_id(), [Put(Key(space, b"p"), b"x")])
            for call in every_call(store, space, commit, float("inf")):
                with pytest.raises(StoreUnavailable):
                    await call()
            await store.close()
            await engine.open()
            assert await engine.client.read(Key(space, b"p")) is None

    async def test_closing_finishes_what_was_begun(self, stage: Stage) -> None:
        async with stage.private_engine() as engine:
            space = await engine.space(STAMPED)
            client = engine.client
            commits = [Commit(client.new_id(), [Put(Key(space, b"p%d" % at), b"x")]) for at in range(40)]
            sent = [asyncio.create_task(_outcome_of(client.store, commit)) for commit in commits]
            await asyncio.sleep(0.001)
            await engine.store.close()
            outcomes = [await task for task in sent]
            await engine.open()
            for commit, outcome in zip(commits, outcomes, strict=True):
                (put,) = commit.writes
                record = await engine.client.read(put.key)
                if isinstance(outcome, Committed):
                    assert record is not None
                if outcome is None:
                    assert record is None, "nothing was to be written, said the error"
            assert await engine.client.stamp(StampOf(space, b"nothing")) == 0


async def _outcome_of(store: Store, commit: Commit) -> object:
    try:
        return await store.commit(commit)
    except StoreUnavailable:
        return None
