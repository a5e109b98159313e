"""What may have landed, or may yet, is never told as what did not: whatever was learnt behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.contract import Check, Commit, Committed, IsVersion, Key, Put, Unknown
from tests.cassandra_model.cluster import SENDS_MAX, Fate
from tests.cassandra_model.stand import Process, Stand, statement

DECISION = statement("SET h = ?")
PREPARATION = statement("SET lk = ?")


def over(process: Process, *partitions: bytes, checks: Sequence[Check] = ()) -> Commit:
    return Commit(process.client.new_id(), [Put(Key("plain", partition), b"x") for partition in partitions], checks)


def test_a_commit_that_may_have_landed_is_unknown_although_a_node_does_not_know_the_table() -> None:
    async def test(stand: Stand) -> None:
        for partitions in ([b"a"], [b"b", b"c"]):
            writer, other = await stand.process(f"writer {partitions}"), await stand.process(f"other {partitions}")
            await writer.engine.ensure_space("plain")
            commit = over(writer, *partitions)
            writer.script.then(DECISION, *[Fate.LATE] * SENDS_MAX, Fate.MISSING)
            assert isinstance(await writer.engine.commit(commit), Unknown)
            assert writer.script.land()
            # One over several partitions is settled by its own process, perhaps before it lands.
            has_landed = isinstance(await other.engine.settle(commit), Committed)
            assert has_landed or len(partitions) > 1
            for partition in partitions:
                assert await other.client.value(Key("plain", partition)) == (b"x" if has_landed else None)

    Stand().run(test)


def test_locks_of_a_try_that_met_a_missing_table_hold_nobody_up() -> None:
    async def test(stand: Stand) -> None:
        writer, other = await stand.process("writer"), await stand.process("other")
        await writer.engine.ensure_space("plain")
        writer.script.then(DECISION, *[Fate.LATE] * SENDS_MAX, Fate.MISSING)
        assert isinstance(await writer.engine.commit(over(writer, b"a", b"b")), Unknown)
        began = stand.clock.monotonic_s()
        assert isinstance(await other.client.attempt_commit(over(other, b"b")), Committed)
        assert stand.clock.monotonic_s() - began < 1.0

    Stand().run(test)


def test_a_conflict_is_not_told_where_the_commit_may_land_and_a_table_is_missing() -> None:
    async def test(stand: Stand) -> None:
        writer, other = await stand.process("writer"), await stand.process("other")
        await writer.engine.ensure_space("plain")
        commit = over(writer, b"a", checks=[IsVersion(Key("plain", b"a"), None)])
        writer.script.then(DECISION, *[Fate.LATE] * SENDS_MAX)
        writer.script.then(statement("SELECT sort, mk"), Fate.MISSING)
        hold = writer.script.hold(DECISION)
        sent = asyncio.ensure_future(writer.engine.commit(commit))
        await hold.reached.wait()
        await other.client.write(Put(Key("plain", b"a"), b"y"))
        hold.go.set()
        assert isinstance(await sent, Unknown)

    Stand().run(test)


def test_a_space_that_was_dropped_does_not_come_back_with_what_entered_it() -> None:
    async def test(stand: Stand) -> None:
        process = await stand.process("one")
        process.script.then(statement("SET id = ?, options = ?, log = ? WHERE part = ? AND name = ? IF id"), Fate.LATE)
        await process.engine.ensure_space("plain")
        await process.client.write(Put(Key("plain", b"a"), b"x"))
        await process.engine.drop_space("plain")
        assert process.script.land() == 1
        assert await process.engine.list_spaces() == []
        await process.engine.ensure_space("plain")
        assert await process.client.value(Key("plain", b"a")) is None

    Stand().run(test)


def test_a_try_that_comes_after_all_was_forgotten_is_not_sent() -> None:
    async def test(stand: Stand) -> None:
        writer, other = await stand.process("writer"), await stand.process("other")
        await writer.engine.ensure_space("plain")
        hold = writer.script.hold(DECISION, Fate.LATE)
        sent = asyncio.ensure_future(writer.engine.commit(over(writer, b"a", b"b")))
        await hold.reached.wait()
        assert isinstance(await other.client.attempt_commit(over(other, b"b")), Committed)
        await asyncio.sleep(REMEMBERED_S + 1)
        hold.go.set()
        assert isinstance(await sent, Unknown)
        assert await other.client.value(Key("plain", b"a")) is None

    Stand().run(test)
