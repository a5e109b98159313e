"""Commits over several partitions that are in each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tenet.store.cassandra.driver import Bound
from tenet.store.contract import Commit, Committed, Conflict, IsVersion, Key, Outcome, Put
from tests.cassandra_model.cluster import Fate
from tests.cassandra_model.stand import Hold, Process, Stand, statement

ANCHOR, OTHER = Key("s", b"a"), Key("s", b"b")
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
