"""Commits over several partitions that are in each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tenet.store.cassandra.driver import Bound
from tenet.store.contract import Commit, Committed, Conflict, IsVersion, Key, Put
from tests.cassandra_model.cluster import Fate
from tests.cassandra_model.stand import Process, Stand, statement

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


def test_who_was_given_up_for_another_finds_out_by_reading_that_its_checks_fail_now() -> None:
    async def test(stand: Stand) -> None:
        held_up, first = await stand.process("held up"), await stand.process("first")
        await first.engine.ensure_space("s")
        seen = await first.client.write(Put(ANCHOR, b"0"), Put(OTHER, b"0"))
        await first.engine.is_quiet()
        hold = held_up.script.hold(DECISION)
        puts = [Put(ANCHOR, b"1"), Put(OTHER, b"1")]
        late = Commit(held_up.client.new_id(), puts, [IsVersion(OTHER, seen.version)])
        waiting = asyncio.ensure_future(held_up.engine.commit(late))
        await hold.reached.wait()
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
        held_up, first = await stand.process("held up"), await stand.process("first")
        await first.engine.ensure_space("s")
        seen = await first.client.write(Put(ANCHOR, b"0"), Put(OTHER, b"0"))
        await first.engine.is_quiet()
        hold = held_up.script.hold(DECISION)
        puts = [Put(ANCHOR, b"1"), Put(OTHER, b"1")]
        both = Commit(held_up.client.new_id(), puts, [IsVersion(OTHER, seen.version)])
        waiting = asyncio.ensure_future(held_up.engine.commit(both))
        await hold.reached.wait()
        copy = await first.engine.commit(both)
        assert isinstance(copy, Committed)
        hold.go.set()
        assert await waiting == copy

    Stand().run(test)
