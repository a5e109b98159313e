"""Commits over several partitions that are in each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tenet.store.cassandra.sending import Bound
from tenet.store.contract import Commit, Committed, Conflict, IsPresent, IsVersion, Key, Outcome, Put
from tests.cassandra_model.cluster import Fate
from tests.cassandra_model.stand import Hold, Process, Stand, statement

ANCHOR, OTHER, THIRD, ELSEWHERE = (Key("s", name) for name in (b"a", b"b", b"c", b"d"))
PREPARATION, DECISION = "SET lk = ?", statement("SET h = ?")


def preparations(process: Process) -> list[None]:
    """Returns a list that grows with each preparation that the process sends from here on."""
    sent: list[None] = []

    def counted(_kind: str, bound: Sequence[Bound]) -> bool:
        if any(PREPARATION in text for text, _ in bound):
            sent.append(None)
        return False

    process.script.then(counted, Fate.DONE)
    return sent


async def held_up_before_its_decision(stand: Stand) -> tuple[Process, Commit, asyncio.Future[Outcome], Hold]:
    """Returns a process with a commit over two partitions that checks one of them, and is prepared."""
    process = await stand.process("held up")
    await process.engine.ensure_space("s")
    seen = await process.client.write(Put(ANCHOR, b"0"), Put(OTHER, b"0"))
    await process.engine.is_quiet()
    hold = process.script.hold(DECISION)
    puts = [Put(ANCHOR, b"1"), Put(OTHER, b"1")]
    commit = Commit(process.client.new_id(), puts, [IsVersion(OTHER, seen.version)])
    waiting = asyncio.ensure_future(process.engine.commit(commit))
    await hold.reached.wait()
    return process, commit, waiting, hold


def test_who_was_given_up_for_another_finds_out_by_reading_that_its_checks_fail_now() -> None:
    async def test(stand: Stand) -> None:
        held_up, _, waiting, hold = await held_up_before_its_decision(stand)
        first = await stand.process("first")
        sent = preparations(held_up)
        # It gives up what holds the partition, and writes.
        await first.client.write(Put(OTHER, b"2"))
        hold.go.set()
        outcome = await waiting
        assert isinstance(outcome, Conflict)
        assert outcome.failed == [0]
        assert not sent, "it locked a partition again, to find out what a read tells"

    Stand().run(test)


def test_a_copy_of_what_took_effect_is_not_refused_by_it() -> None:
    async def test(stand: Stand) -> None:
        _, commit, waiting, hold = await held_up_before_its_decision(stand)
        first = await stand.process("first")
        copy = await first.engine.commit(commit)
        assert isinstance(copy, Committed)
        hold.go.set()
        assert await waiting == copy

    Stand().run(test)


@pytest.mark.parametrize("is_older", [True, False])
def test_who_is_refused_in_one_partition_does_not_wait_for_the_lock_of_another(is_older: bool) -> None:
    async def test(stand: Stand) -> None:
        # A process whose clock is behind, and has met nobody, takes its commits for older than they are.
        other = await stand.process("other", behind_ms=60_000 if is_older else 0)
        _, _, waiting, hold = await held_up_before_its_decision(stand)
        stand.clock.advance_ms(1)
        puts = [Put(key, b"3") for key in (ELSEWHERE, OTHER, THIRD)]
        present = Commit(other.client.new_id(), puts, [IsPresent(THIRD)])
        begun = stand.clock.monotonic_s()
        outcome = await other.engine.commit(present)
        assert isinstance(outcome, Conflict)
        assert outcome.failed == [0]
        assert stand.clock.monotonic_s() - begun < 0.1, "it waited for a lock"
        hold.go.set()
        assert isinstance(await waiting, Committed)

    Stand().run(test)


def test_what_a_lock_that_is_not_decided_holds_refuses_at_once() -> None:
    async def test(stand: Stand) -> None:
        _, _, waiting, hold = await held_up_before_its_decision(stand)
        other = await stand.process("other")
        begun = stand.clock.monotonic_s()
        conflict = await other.client.refused(Put(OTHER, b"3"), checks=[IsVersion(OTHER, None)])
        assert conflict.records[OTHER] is not None
        assert stand.clock.monotonic_s() - begun < 0.1, "it waited for a lock"
        hold.go.set()
        assert isinstance(await waiting, Committed)

    Stand().run(test)


def test_who_waits_for_an_older_commit_holds_nobody_up() -> None:
    async def test(stand: Stand) -> None:
        _, _, waiting, hold = await held_up_before_its_decision(stand)
        younger, third = await stand.process("younger"), await stand.process("third")
        stand.clock.advance_ms(1)
        puts = [Put(key, b"3") for key in (ELSEWHERE, OTHER, THIRD)]
        behind = asyncio.ensure_future(younger.client.write(*puts))
        await asyncio.sleep(0.02)
        begun = stand.clock.monotonic_s()
        await third.client.write(Put(THIRD, b"4"))
        assert stand.clock.monotonic_s() - begun < 0.1, "it waited for who waits"
        assert not behind.done()
        hold.go.set()
        assert isinstance(await waiting, Committed)
        begun = stand.clock.monotonic_s()
        await behind
        assert stand.clock.monotonic_s() - begun < 0.1, "it did not see that the lock had gone"
        assert await third.client.value(THIRD) == b"3"

    Stand().run(test)


def test_the_lock_of_a_try_that_was_undone_is_not_waited_for() -> None:
    async def test(stand: Stand) -> None:
        first, other = await stand.process("first"), await stand.process("other")
        await first.engine.ensure_space("s")
        hold = first.script.hold(statement("SET lk = null WHERE p = ? IF lk = ?"))
        puts = [Put(key, b"1") for key in (ANCHOR, OTHER)]
        refused = await first.engine.commit(Commit(first.client.new_id(), puts, [IsPresent(ANCHOR)]))
        assert isinstance(refused, Conflict)
        await hold.reached.wait()
        writing = asyncio.ensure_future(other.client.write(Put(OTHER, b"2")))
        await asyncio.sleep(0.02)
        assert not writing.done(), "there is no lock"
        hold.go.set()
        begun = stand.clock.monotonic_s()
        await writing
        assert stand.clock.monotonic_s() - begun < 0.1, "it waited for what will never be decided"

    Stand().run(test)


def test_commits_of_one_process_take_turns_and_are_refused_without_a_lock() -> None:
    async def test(stand: Stand) -> None:
        process, _, waiting, hold = await held_up_before_its_decision(stand)
        sent = preparations(process)
        seen = await process.client.read(OTHER)
        assert seen is not None
        puts = [Put(key, b"3") for key in (ELSEWHERE, OTHER)]
        behind = Commit(process.client.new_id(), puts, [IsVersion(OTHER, seen.version)])
        refused = asyncio.ensure_future(process.engine.commit(behind))
        alone = asyncio.ensure_future(process.client.write(Put(OTHER, b"4")))
        await asyncio.sleep(0.1)
        hold.go.set()
        assert isinstance(await waiting, Committed)
        outcome = await refused
        assert isinstance(outcome, Conflict)
        assert not sent, "it locked partitions to find out what a read tells"
        await alone
        assert await process.client.value(OTHER) == b"4"

    Stand().run(test)
