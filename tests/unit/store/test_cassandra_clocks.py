"""What must hold whatever clocks say, however long a process stands still, and however late a batch comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.cassandra.sending import Bound
from tenet.store.contract import (
    Append,
    Commit,
    Committed,
    Key,
    LogOptions,
    NeverCommitted,
    Put,
    SpaceOptions,
    StampOf,
)
from tenet.store.errors import InvalidRequest
from tests.cassandra_model.cluster import Dead, Fate
from tests.cassandra_model.stand import Process, Stand, statement

DECISION = statement("SET h = ?")
FATE, INTENT = 3, 5


def over(process: Process, *partitions: bytes, space: str = "plain") -> Commit:
    return Commit(process.client.new_id(), [Put(Key(space, partition), b"x") for partition in partitions])


@pytest.mark.parametrize("ahead_ms", [-60_000, 0, 60_000])
def test_no_fate_is_kept_for_ever_wherever_the_clocks_of_the_nodes_are(ahead_ms: int) -> None:
    async def test(stand: Stand) -> None:
        process = await stand.process("one")
        await process.engine.ensure_space("plain")
        assert isinstance(await process.client.attempt_commit(over(process, b"a", b"b", b"c")), Committed)
        await process.engine.is_quiet()
        assert len(stand.rows(FATE)) == 3
        await asyncio.sleep(REMEMBERED_S + 1)
        assert stand.rows(FATE) == []
        assert await process.client.value(Key("plain", b"c")) == b"x"

    Stand(ahead_ms).run(test)


def test_a_fate_that_decides_is_kept_until_it_is_carried_out() -> None:
    async def test(stand: Stand) -> None:
        writer, other = await stand.process("writer"), await stand.process("other")
        await writer.engine.ensure_space("plain")
        writer.script.then(DECISION, Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(over(writer, b"a", b"b"))
        await asyncio.sleep(3 * REMEMBERED_S)
        assert [await other.client.value(Key("plain", partition)) for partition in (b"b", b"a")] == [b"x", b"x"]
        assert stand.rows(INTENT) == []

    Stand().run(test)


def test_a_lock_is_seen_by_a_look_at_a_stamp_alone_however_old_it_is() -> None:
    async def test(stand: Stand) -> None:
        writer, other = await stand.process("writer"), await stand.process("other")
        await writer.engine.ensure_space("stamped", SpaceOptions(stamps=True))
        writer.script.then(DECISION, Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(over(writer, b"a", b"b", space="stamped"))
        await asyncio.sleep(3 * REMEMBERED_S)
        assert await other.client.stamp(StampOf("stamped", b"b")) > 0

    Stand().run(test)


def test_a_partition_that_is_left_alone_keeps_nothing_of_what_was_given_up() -> None:
    async def test(stand: Stand) -> None:
        writer, other = await stand.process("writer"), await stand.process("other")
        await writer.engine.ensure_space("plain")
        writer.script.then(statement("SET lk = ?"), Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(over(writer, b"a", b"b"))
        started = stand.clock.monotonic_s()
        await other.engine.discard("plain", b"b")
        assert stand.clock.monotonic_s() - started < 1.0
        await asyncio.sleep(REMEMBERED_S + 1)
        (table,) = [table for name, table in stand.cluster.tables.items() if table.partitions and ".s_" in name]
        assert table.content(stand.clock.wall_ms()) == {}

    Stand().run(test)


def test_a_commit_that_was_settled_does_not_land_when_its_process_wakes_after_that_was_forgotten() -> None:
    async def test(stand: Stand) -> None:
        writer, other = await stand.process("writer"), await stand.process("other")
        await writer.engine.ensure_space("logged", SpaceOptions(log=LogOptions(readers=("tail",))))
        key = Key("logged", b"p")
        commit = Commit(writer.client.new_id(), [Put(key, b"x")], appends=[Append(key, None, b"x")])
        hold = writer.script.hold(statement("INSERT INTO"))
        sent = asyncio.ensure_future(writer.engine.commit(commit))
        await hold.reached.wait()
        assert isinstance(await other.engine.settle(commit), NeverCommitted)
        await asyncio.sleep(REMEMBERED_S + 1)
        hold.go.set()
        with pytest.raises(InvalidRequest, match="made more than 600 s ago"):
            await sent
        assert await other.client.value(key) is None

    Stand().run(test)


def test_a_table_that_a_space_has_is_given_to_no_other_though_what_listed_it_comes_late() -> None:
    def lists_a_spare(_kind: str, bound: Sequence[Bound]) -> bool:
        return "IF id = null" in bound[0][0] and bound[0][1][3] == "spare"

    async def test(stand: Stand) -> None:
        process, other = await stand.process("one"), await stand.process("other")
        process.script.then(lists_a_spare, Fate.LATE)
        await process.engine.ensure_space("first")
        await process.engine.is_quiet()
        await process.engine.ensure_space("second")
        await process.client.write(Put(Key("second", b"p"), b"x"))
        assert process.script.land() == 1
        for name in ("third", "fourth"):
            await other.engine.ensure_space(name)
            await other.engine.is_quiet()
            assert await other.client.value(Key(name, b"p")) is None
        assert await other.client.value(Key("second", b"p")) == b"x"

    Stand().run(test)


def test_versions_rise_though_the_clock_of_one_process_is_behind() -> None:
    async def test(stand: Stand) -> None:
        processes = [await stand.process("a"), await stand.process("b", behind_ms=600_000), await stand.process("c")]
        await processes[0].engine.ensure_space("plain")
        last = b""
        for number in range(9):
            process = processes[number % 3]
            partitions = (b"p",) if number % 2 else (b"q", b"p")
            outcome = await process.client.attempt_commit(over(process, *partitions))
            assert isinstance(outcome, Committed)
            assert outcome.version > last
            last = outcome.version
            await asyncio.sleep(0.5)

    Stand().run(test)
