"""Settling: an outcome that is unknown is found out for good, however late the commit arrives, and however often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenet.base.dice import Dice
from tenet.store.contract import (
    Add,
    Append,
    Check,
    Commit,
    CommitId,
    Committed,
    Conflict,
    Delete,
    IsPresent,
    IsVersion,
    Key,
    Limits,
    NeverCommitted,
    Put,
    Unknown,
    Write,
)
from tenet.store.errors import InvalidRequest, SettleWindowPassed, StoreUnavailable
from tenet.store.suite.harness import Hold
from tenet.store.suite.records import SteppedClock
from tenet.store.suite.stage import LOGGED, SEED, Client, Stage, all_of, rounds


async def landed(
    client: Client, *writes: Write, checks: tuple[Check, ...] = (), appends: tuple[Append, ...] = ()
) -> tuple[Commit, Committed]:
    """Commits under new ids until one took effect, and returns that one."""
    while True:
        commit = Commit(client.new_id(), writes, checks, appends)
        outcome = await client.attempt_commit(commit)
        assert not isinstance(outcome, Conflict), outcome
        if outcome is not None:
            return commit, outcome


async def send_copy(client: Client, commit: Commit) -> Committed | Conflict | None:
    """Sends a commit whose id was used already; None where the store says only that it did nothing, or nothing."""
    try:
        outcome = await client.store.commit(commit)
    except (InvalidRequest, StoreUnavailable):
        return None
    return None if isinstance(outcome, Unknown) else outcome


async def assert_never_lands(client: Client, commit: Commit, key: Key) -> None:
    """Sends a commit that was settled as never committed; it must do nothing, and say nothing else."""
    before = await client.read(key)
    for _ in range(3):
        assert await send_copy(client, commit) is None
    assert isinstance(await client.settle(commit), NeverCommitted)
    assert await client.read(key) == before


async def held_up(hold: Hold | None, sent: asyncio.Task[Any]) -> bool:
    """Waits until a commit is held up; False where it has not come, or the engine has no place to hold it up."""
    if hold is None:
        return False
    reached = asyncio.create_task(hold.reached())
    await asyncio.wait((reached, sent), return_when=asyncio.FIRST_COMPLETED)
    has_reached = reached.done()
    reached.cancel()
    return has_reached


class TestSettle:
    """What settle says of commits that came, and of those that did not."""

    async def test_a_commit_that_took_effect(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        commit, committed = await landed(client, Put(key, b"x"))
        for _ in range(3):
            settled = await client.settle(commit)
            assert isinstance(settled, Committed)
            assert settled.version == committed.version
        assert await client.value(key) == b"x"

    async def test_one_that_never_came_can_come_no_more(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        commit = Commit(client.new_id(), [Put(key, b"late")])
        assert await client.settle(commit) == NeverCommitted(commit.id)
        assert await client.settle(commit) == NeverCommitted(commit.id)
        await assert_never_lands(client, commit, key)
        assert await client.read(key) is None

    async def test_one_that_was_refused_can_come_no_more(self, stage: Stage) -> None:
        client, key, guard = stage.client, await stage.key(), await stage.key(b"guard")
        commit = Commit(client.new_id(), [Put(key, b"x")], [IsPresent(guard)])
        await client.attempt_commit(commit)
        assert await client.settle(commit) == NeverCommitted(commit.id)
        # Now its check would hold.
        await client.write(Put(guard, b""))
        await assert_never_lands(client, commit, key)

    async def test_overwritten_since(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        commit, committed = await landed(client, Put(key, b"first"))
        await client.write(Put(key, b"second"))
        await client.write(Delete(key))
        await client.write(Put(key, b"third"))
        settled = await client.settle(commit)
        assert isinstance(settled, Committed)
        assert settled.version == committed.version
        assert await client.value(key) == b"third"

    async def test_delete_only(self, stage: Stage) -> None:
        client, key = stage.client, await stage.key()
        await client.write(Put(key, b"x"))
        gone, _ = await landed(client, Delete(key))
        never = Commit(client.new_id(), [Delete(key)])
        await client.settle(never)
        await client.write(Put(key, b"y"))
        assert isinstance(await client.settle(gone), Committed)
        await assert_never_lands(client, never, key)
        assert await client.value(key) == b"y"

    async def test_delete_of_nothing_and_append_only_and_add_only(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        key, other = Key(space, b"p"), Key(space, b"q")
        append = Append(key, None, b"x")
        for writes, appends in (((Delete(key),), ()), ((), (append,)), ((Add(other, "n", 1),), ())):
            commit, committed = await landed(client, *writes, appends=appends)
            settled = await client.settle(commit)
            assert isinstance(settled, Committed)
            assert settled.version == committed.version
            never = Commit(client.new_id(), writes, (), appends)
            assert isinstance(await client.settle(never), NeverCommitted)
            await assert_never_lands(client, never, key)
        assert await client.cells(other) == {"n": 1}
        assert [entry.new for entry in await client.log_all(space)] == [b"x"]

    async def test_a_commit_over_partitions(self, stage: Stage) -> None:
        client = stage.client
        keys = [await stage.key(b"s") for _ in range(5)]
        commit, committed = await landed(client, *(Put(key, b"x") for key in keys))
        settled = await client.settle(commit)
        assert isinstance(settled, Committed)
        assert settled.version == committed.version
        never = Commit(client.new_id(), [Put(key, b"y") for key in keys])
        assert isinstance(await client.settle(never), NeverCommitted)
        for key in keys:
            await assert_never_lands(client, never, key)

    async def test_many_who_settle_are_told_the_same(self, stage: Stage) -> None:
        client = stage.client
        for _ in range(rounds(10, 100)):
            key = await stage.key()
            commit = Commit(client.new_id(), [Put(key, b"x")])
            sent = asyncio.create_task(send_copy(client, commit))
            answers = await all_of(*(client.settle(commit) for _ in range(6)))
            await sent
            assert len({type(answer) for answer in answers}) == 1
            assert (await client.read(key) is not None) == isinstance(answers[0], Committed)

    async def test_a_commit_of_checks_alone_cannot_be_settled(self, stage: Stage) -> None:
        commit = Commit(stage.client.new_id(), (), [IsVersion(await stage.key(), None)])
        with pytest.raises(InvalidRequest):
            await stage.client.settle(commit)

    async def test_old_ids_are_refused(self, stage: Stage) -> None:
        clock = SteppedClock()
        window_ms = Limits.settle_window_s * 1_000
        async with stage.private_engine(clock) as engine:
            key = Key(await engine.space(), b"p")
            commit, committed = await landed(engine.client, Put(key, b"x"))
            never = Commit(engine.client.new_id(), [Put(key, b"never")])
            assert isinstance(await engine.client.settle(never), NeverCommitted)
            if stage.harness.takes_clock:
                clock.step_ms = window_ms - 60_000
                assert await engine.client.settle(commit) == Committed(committed.version)
                clock.step_ms = window_ms + 60_000
            else:
                made_ms = clock.wall_ms() - window_ms - 60_000
                old = CommitId(made_ms.to_bytes(6, "big") + stage.ids.draw(10))
                commit, never = Commit(old, commit.writes), Commit(old, never.writes)
            for old_commit in (commit, never):
                with pytest.raises(SettleWindowPassed):
                    await engine.client.settle(old_commit)
                with pytest.raises(InvalidRequest):
                    await engine.client.attempt_commit(old_commit)
            assert await engine.client.value(key) == b"x"


class TestSentTwice:
    """The same id takes effect at most once."""

    async def test_one_after_the_other(self, stage: Stage) -> None:
        client = stage.client
        space = await stage.own_space(LOGGED)
        put, added = Key(space, b"p", b"1"), Key(space, b"p", b"2")
        commit, committed = await landed(
            client,
            Put(put, b"mine"),
            Add(added, "n", 1),
            checks=(IsVersion(put, None),),
            appends=(Append(put, None, b"mine"),),
        )
        await client.write(Put(put, b"theirs"))
        for _ in range(3):
            again = await send_copy(client, commit)
            assert again is None or (isinstance(again, Committed) and again.version == committed.version)
        assert await client.value(put) == b"theirs"
        assert await client.cells(added) == {"n": 1}
        assert [entry.new for entry in await client.log_all(space)] == [b"mine"]

    async def test_all_at_once(self, stage: Stage) -> None:
        client = stage.client
        for _ in range(rounds(10, 100)):
            put, added = await stage.key(b"put"), await stage.key(b"added")
            commit = Commit(client.new_id(), [Put(put, b"x"), Add(added, "n", 1)], [IsVersion(put, None)])
            copies = await all_of(*(send_copy(client, commit) for _ in range(8)))
            settled = await client.settle(commit)
            versions = {copy.version for copy in copies if isinstance(copy, Committed)}
            assert not any(isinstance(copy, Conflict) for copy in copies), "a copy was refused by its own effect"
            if isinstance(settled, Committed):
                assert versions <= {settled.version}
                assert await client.cells(added) == {"n": 1}
            else:
                assert not versions
                assert await client.cells(added) is None

    async def test_an_id_that_is_used_for_something_else_does_nothing(self, stage: Stage) -> None:
        client, one, other = stage.client, await stage.key(b"1"), await stage.key(b"1")
        commit, _ = await landed(client, Put(one, b"x"))
        # In the same partition, so that every engine finds what it knows of the id.
        neighbour = Key(one.space, one.partition, b"2")
        await send_copy(client, Commit(commit.id, [Put(neighbour, b"y"), Delete(one)]))
        assert await client.value(one) == b"x"
        assert list(await client.get(neighbour, other)) == [None, None]


class TestLate:
    """Commits that are under way while they are settled."""

    async def test_a_race_has_one_winner(self, stage: Stage) -> None:
        client = stage.client
        dice = Dice(SEED)
        noise = await stage.key(b"noise")
        stop = asyncio.Event()

        async def keep_busy() -> None:
            while not stop.is_set():
                await client.write(Put(noise, b"x" * 500))

        async def race() -> tuple[Commit, Key, bool]:
            key, other = await stage.key(b"s"), await stage.key(b"s")
            commit = Commit(client.new_id(), [Put(key, b"x"), Put(other, b"x")], [IsVersion(key, None)])
            sent = asyncio.create_task(send_copy(client, commit))
            for _ in range(dice.below(8)):
                await asyncio.sleep(0)
            settled = await client.settle(commit)
            has_landed = isinstance(settled, Committed)
            records = await client.get(key, other)
            assert [record is not None for record in records] == [has_landed, has_landed]
            outcome = await sent
            assert not isinstance(outcome, Conflict)
            assert outcome is None or has_landed, "settled as never committed, and committed"
            return commit, key, has_landed

        async def races() -> None:
            results = [result for _ in range(rounds(12, 100)) for result in await all_of(*(race() for _ in range(8)))]
            for commit, key, has_landed in results:
                assert isinstance(await client.settle(commit), Committed) == has_landed
                assert (await client.read(key) is not None) == has_landed
            stop.set()

        await all_of(races(), *(keep_busy() for _ in range(4)))

    async def test_one_that_is_held_up_and_settled_never_lands(self, stage: Stage) -> None:
        client = stage.client
        key, other = await stage.key(b"s"), await stage.key(b"s")
        commit = Commit(client.new_id(), [Put(key, b"x"), Put(other, b"x")])
        hold = stage.harness.hold(stage.store, commit.id)
        sent = asyncio.create_task(send_copy(client, commit))
        is_held = await held_up(hold, sent)
        settled = await client.settle(commit)
        has_landed = isinstance(settled, Committed)
        assert not (has_landed and is_held), "it was held up, and yet it took effect"
        if hold is not None:
            hold.release()
        outcome = await sent
        assert outcome is None or (isinstance(outcome, Committed) and has_landed)
        assert [record is not None for record in await client.get(key, other)] == [has_landed] * 2
        if not has_landed:
            await assert_never_lands(client, commit, key)

    async def test_one_whose_deadline_passes_while_it_is_held_up_may_still_land(self, stage: Stage) -> None:
        client = stage.client
        for settles_first in (True, False):
            key = await stage.key(b"s")
            commit = Commit(client.new_id(), [Put(key, b"x")])
            hold = stage.harness.hold(stage.store, commit.id)
            outcome = await _commit_within(stage, commit, 0.1)
            if hold is None:
                assert isinstance(outcome, Committed | Unknown | None)
            else:
                assert isinstance(outcome, Unknown | None)
                if not settles_first:
                    hold.release()
                    await asyncio.sleep(0.05)
            settled = await client.settle(commit)
            if hold is not None:
                assert not (settles_first and isinstance(settled, Committed))
                hold.release()
            await asyncio.sleep(0.05)
            assert (await client.read(key) is not None) == isinstance(settled, Committed)


async def _commit_within(stage: Stage, commit: Commit, timeout_s: float) -> Committed | Conflict | Unknown | None:
    try:
        return await stage.store.commit(commit, deadline=stage.clock.monotonic_s() + timeout_s)
    except StoreUnavailable:
        return None
