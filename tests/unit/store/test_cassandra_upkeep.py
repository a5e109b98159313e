"""Upkeep of the distributed engine: commits that were left open are ended, dropped tables and dead logs removed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import pytest

from tenet.store.cassandra.journal import SLOT_MS
from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.cassandra.sending import Bound
from tenet.store.cassandra.sweeping import YOUNG_S
from tenet.store.cassandra.tries import TableMissing
from tenet.store.cassandra.upkeep import REMOVE_S, SWEEP_S
from tenet.store.contract import Append, Commit, Committed, Key, LogOptions, Put, SpaceOptions
from tenet.store.errors import SpaceNotFound, StoreError, StoreUnavailable
from tests.cassandra_model.cluster import Dead, Fate, ModelDriver
from tests.cassandra_model.stand import Process, Stand, statement

PREPARATION = statement("SET lk = ? WHERE")
DECISION = statement("SET h = ?")
CARRYING_OUT = statement("h = ?, lk = null")
AGEING = statement("AND TIMESTAMP ? SET mk")
FATE, OUTBOX, INTENT = 3, 4, 5
#: By when what a dead process left open is over.
SWEPT_S = SLOT_MS / 1000 + YOUNG_S + 2 * SWEEP_S
#: By when what was dropped is removed.
REMOVED_S = 2 * REMEMBERED_S + SLOT_MS / 1000 + 2 * REMOVE_S


def over(process: Process, *partitions: bytes, space: str = "plain", anchor: str = "plain") -> Commit:
    spaces = [anchor, *(space for _ in partitions[1:])]
    puts = [Put(Key(of, partition), b"x") for of, partition in zip(spaces, partitions, strict=True)]
    return Commit(process.client.new_id(), puts)


def kept_up(process: Process) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(process.engine.keep_up())


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def locks(stand: Stand) -> list[bytes]:
    return [
        key[0]
        for name, table in stand.cluster.tables.items()
        if ".s_" in name
        for key, (static, _) in table.content(stand.clock.wall_ms()).items()
        if "lk" in static
    ]


def tables(stand: Stand) -> set[str]:
    return {name for name in stand.cluster.tables if ".s_" in name}


def unknowing(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Goes on with what a process does that may die over it."""

    async def run() -> object:
        with suppress(Dead, StoreError, TableMissing):
            return await work
        return None

    return asyncio.get_running_loop().create_task(run())


# ---- commits that were left open -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dies_at", "takes_effect"),
    [
        ((PREPARATION, 0), False),
        ((PREPARATION, 1), False),
        ((DECISION, 0), True),
        ((CARRYING_OUT, 0), True),
        ((CARRYING_OUT, 1), True),
        ((AGEING, 0), True),
    ],
)
def test_what_a_dead_process_left_open_is_over_within_a_minute(dies_at: Any, takes_effect: bool) -> None:
    wanted, later = dies_at

    async def test(stand: Stand) -> None:
        writer, sweeper = await stand.process("writer"), await stand.process("sweeper")
        await writer.engine.ensure_space("plain")
        upkeep = kept_up(sweeper)
        writer.script.then(wanted, *[Fate.DONE] * later, Fate.DIED)
        commit = over(writer, b"a", b"b", b"c")
        with suppress(Dead):
            await writer.engine.commit(commit)
            await writer.engine.is_quiet()
        assert writer.driver.is_dead
        assert SWEPT_S <= 60
        await asyncio.sleep(SWEPT_S)
        assert (locks(stand), stand.rows(INTENT)) == ([], [])
        values = [table_value(stand, partition) for partition in (b"a", b"b", b"c")]
        assert values == [b"x" if takes_effect else None] * 3
        await asyncio.sleep(2 * REMEMBERED_S + SWEPT_S)
        assert stand.rows(FATE) == [], "the fate of a commit that was carried out ages"
        assert open_notes(stand) == 0
        await ended(upkeep)

    Stand().run(test)


def table_value(stand: Stand, partition: bytes) -> bytes | None:
    """Returns what stands in a record's row, without coming there as the engine does, which would help."""
    for name in tables(stand):
        for key, (_, rows) in stand.cluster.tables[name].content(stand.clock.wall_ms()).items():
            if key[0] == b"\0" + partition and (1, b"") in rows:
                value: bytes = rows[1, b""]["v"][1]
                return value
    return None


def open_notes(stand: Stand) -> int:
    content = stand.cluster.tables["stand.commits"].content(stand.clock.wall_ms())
    return sum(1 for _, rows in content.values() for row in rows.values() if row["w"][1])


def test_no_commit_is_decided_of_which_nobody_would_know() -> None:
    async def test(stand: Stand) -> None:
        writer = await stand.process("writer")
        await writer.engine.ensure_space("plain")
        writer.script.then(statement("commits SET w = ?"), *[Fate.NEVER] * 2)
        with pytest.raises(StoreUnavailable):
            await writer.engine.commit(over(writer, b"a", b"b"))
        await writer.engine.is_quiet()
        assert (locks(stand), table_value(stand, b"a"), table_value(stand, b"b")) == ([], None, None)

    Stand().run(test)


def test_a_commit_that_stands_still_behind_its_preparations_is_undone_and_begins_again_when_it_wakes() -> None:
    async def test(stand: Stand) -> None:
        writer, sweeper = await stand.process("writer"), await stand.process("sweeper")
        await writer.engine.ensure_space("plain")
        upkeep = kept_up(sweeper)
        hold = writer.script.hold(DECISION)
        work = asyncio.get_running_loop().create_task(writer.engine.commit(over(writer, b"a", b"b")))
        await hold.reached.wait()
        assert len(locks(stand)) == 1
        await asyncio.sleep(SWEPT_S)
        assert locks(stand) == []
        hold.go.set()
        assert isinstance(await work, Committed)
        await writer.engine.is_quiet()
        assert [table_value(stand, partition) for partition in (b"a", b"b")] == [b"x", b"x"]
        assert locks(stand) == []
        await ended(upkeep)

    Stand().run(test)


def test_a_preparation_that_lands_late_is_taken_away_though_its_try_was_given_up_long_ago() -> None:
    async def test(stand: Stand) -> None:
        writer, sweeper = await stand.process("writer"), await stand.process("sweeper")
        await writer.engine.ensure_space("plain")
        upkeep = kept_up(sweeper)
        writer.script.then(PREPARATION, Fate.LATE, *[Fate.NEVER] * 500)
        work = unknowing(writer.engine.commit(over(writer, b"a", b"b"), deadline=writer.clock.monotonic_s() + 1))
        await work
        await writer.engine.is_quiet()
        writer.driver.is_dead = True
        await asyncio.sleep(SWEPT_S + 60)
        assert writer.script.land() > 0
        assert len(locks(stand)) == 1, "nothing came late"
        await asyncio.sleep(REMEMBERED_S + SWEPT_S)
        assert (locks(stand), open_notes(stand)) == ([], 0)
        await ended(upkeep)

    Stand().run(test)


def test_the_next_one_to_sweep_finds_what_was_left_open_while_nobody_did() -> None:
    async def test(stand: Stand) -> None:
        first, writer = await stand.process("first"), await stand.process("writer")
        await writer.engine.ensure_space("plain")
        upkeep = kept_up(first)
        await asyncio.sleep(3 * REMEMBERED_S)
        await ended(upkeep)
        writer.script.then(DECISION, Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(over(writer, b"a", b"b"))
        await asyncio.sleep(5 * REMEMBERED_S)
        assert len(locks(stand)) == 1
        upkeep = kept_up(await stand.process("second"))
        await asyncio.sleep(SWEEP_S)
        assert (locks(stand), table_value(stand, b"b")) == ([], b"x")
        await ended(upkeep)

    Stand().run(test)


@pytest.mark.parametrize("behind_ms", [-180_000, 180_000])
def test_what_a_process_with_a_wrong_clock_left_open_is_found(behind_ms: int) -> None:
    async def test(stand: Stand) -> None:
        writer, sweeper = await stand.process("writer", behind_ms=behind_ms), await stand.process("sweeper")
        await writer.engine.ensure_space("plain")
        upkeep = kept_up(sweeper)
        await asyncio.sleep(SWEPT_S)
        writer.script.then(DECISION, Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(over(writer, b"a", b"b"))
        await asyncio.sleep(REMEMBERED_S + SWEPT_S)
        assert (locks(stand), table_value(stand, b"b")) == ([], b"x")
        await ended(upkeep)

    Stand().run(test)


def test_looking_costs_the_same_however_much_was_committed() -> None:
    async def test(stand: Stand) -> None:
        writer, sweeper = await stand.process("writer"), await stand.process("sweeper")
        await writer.engine.ensure_space("plain")
        upkeep = kept_up(sweeper)
        await asyncio.sleep(2 * REMEMBERED_S)
        before, take, looks = dict(sweeper.driver.sent), sweeper.script.take, 0

        async def counted(driver: ModelDriver, kind: str, bound: Sequence[Bound]) -> Fate:
            nonlocal looks
            looks += "WHERE slot = ?" in bound[0][0]
            return await take(driver, kind, bound)

        sweeper.script.take = counted  # type: ignore[method-assign]
        for number in range(50):
            await writer.engine.commit(over(writer, b"a%d" % number, b"b%d" % number))
        await writer.engine.is_quiet()
        await asyncio.sleep(100 * SLOT_MS / 1000)
        sent = {kind: count - before[kind] for kind, count in sweeper.driver.sent.items()}
        # Two looks at each of the lanes of a slot, and the mark now and then.
        assert 0 < looks <= 100 * 2 * 4 + 8
        # Marks come every thirty slots; when the first one comes depends on when it began.
        assert sent["conditional"] in {100 // 30, 100 // 30 + 1}
        assert (sent["read"], sent["write"]) == (0, 0)
        await ended(upkeep)

    Stand().run(test)


# ---- tables of dropped spaces ----------------------------------------------------------------------------------------


def test_the_table_of_a_dropped_space_goes() -> None:
    async def test(stand: Stand) -> None:
        process = await stand.process("one")
        upkeep = kept_up(process)
        before = tables(stand)
        await process.engine.ensure_space("plain")
        await process.engine.is_quiet()
        made = tables(stand)
        await process.client.write(Put(Key("plain", b"a"), b"x"))
        await process.engine.drop_space("plain")
        await asyncio.sleep(REMEMBERED_S)
        assert tables(stand) == made, "somebody may believe in it still"
        await asyncio.sleep(REMOVED_S)
        assert len(made - before) == 2
        assert len(tables(stand)) == 1, "the spare one stays"
        assert registry(stand, "dropped") == {}
        await process.engine.ensure_space("plain")
        assert await process.client.value(Key("plain", b"a")) is None
        await ended(upkeep)

    Stand().run(test)


def registry(stand: Stand, part: str) -> dict[str, Any]:
    content = stand.cluster.tables["stand.registry"].content(stand.clock.wall_ms())
    return {at[0]: row for at, row in content.get((part,), ({}, {}))[1].items()}


def test_what_a_process_writes_late_into_a_dropped_space_fails_and_is_in_no_other() -> None:
    async def test(stand: Stand) -> None:
        process, frozen = await stand.process("one"), await stand.process("frozen")
        await process.engine.ensure_space("plain")
        await frozen.client.write(Put(Key("plain", b"a"), b"old"))
        upkeep = kept_up(process)
        hold = frozen.script.hold(DECISION)
        late = asyncio.get_running_loop().create_task(
            frozen.engine.commit(Commit(frozen.client.new_id(), [Put(Key("plain", b"a"), b"late")]))
        )
        await hold.reached.wait()
        await process.engine.drop_space("plain")
        await process.engine.ensure_space("plain")
        await asyncio.sleep(REMEMBERED_S + REMOVED_S)
        hold.go.set()
        with pytest.raises(StoreUnavailable, match="dropped, or made again"):
            await late
        assert await process.client.value(Key("plain", b"a")) is None
        await ended(upkeep)

    Stand().run(test)


def test_a_decision_in_a_dropped_space_is_carried_out_elsewhere_before_its_table_goes() -> None:
    async def test(stand: Stand) -> None:
        process, writer = await stand.process("one"), await stand.process("writer")
        await process.engine.ensure_space("dropped")
        await process.engine.ensure_space("plain")
        writer.script.then(DECISION, Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(over(writer, b"a", b"b", anchor="dropped"))
        await process.engine.drop_space("dropped")
        # Nobody keeps the store up for long, and then somebody begins.
        await asyncio.sleep(2 * REMOVED_S)
        upkeep = kept_up(process)
        await asyncio.sleep(REMOVED_S)
        assert len(tables(stand)) == 2, "its table is gone"
        assert await process.client.value(Key("plain", b"b")) == b"x"
        await ended(upkeep)

    Stand().run(test)


def test_a_commit_whose_other_space_was_dropped_and_is_gone_comes_to_its_end() -> None:
    async def test(stand: Stand) -> None:
        process, writer = await stand.process("one"), await stand.process("writer")
        await process.engine.ensure_space("dropped")
        await process.engine.ensure_space("plain")
        (table,) = [f"stand.s_{(await process.engine._spaces.find('dropped')).space_id}"]
        writer.script.then(DECISION, Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(over(writer, b"a", b"b", space="dropped"))
        await process.engine.drop_space("dropped")
        del stand.cluster.tables[table]
        upkeep = kept_up(process)
        await asyncio.sleep(REMEMBERED_S + SWEPT_S)
        assert open_notes(stand) == 0
        await ended(upkeep)

    Stand().run(test)


def test_a_node_that_does_not_know_a_table_yet_makes_nobody_undo_what_was_decided_there() -> None:
    async def test(stand: Stand) -> None:
        process, writer = await stand.process("one"), await stand.process("writer")
        await process.engine.ensure_space("anchors")
        await process.engine.ensure_space("plain")
        table = f"stand.s_{(await process.engine._spaces.find('anchors')).space_id}"
        writer.script.then(DECISION, Fate.DIED)
        with suppress(Dead):
            await writer.engine.commit(over(writer, b"a", b"b", anchor="anchors"))
        known = stand.cluster.tables.pop(table)
        with pytest.raises(StoreUnavailable):
            await process.engine.get([Key("plain", b"b")])
        stand.cluster.tables[table] = known
        assert await process.client.value(Key("plain", b"b")) == b"x"

    Stand().run(test)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "dies_at",
    ["CREATE TABLE", "IF id = null", "options = 'taken'", "IF options = ''"],
)
@pytest.mark.parametrize("fate", [Fate.DIED, Fate.LATE])
def test_a_table_whose_maker_ended_before_a_space_had_it_goes(dies_at: str, fate: Fate) -> None:
    async def test(stand: Stand) -> None:
        process, maker = await stand.process("one"), await stand.process("maker")
        await process.engine.ensure_space("first")
        await process.engine.is_quiet()
        maker.script.then(statement(dies_at), *[fate] * (1 if fate is Fate.DIED else 2))
        await unknowing(maker.engine.ensure_space("second"))
        await unknowing(maker.engine.is_quiet())
        maker.driver.is_dead = True
        upkeep = kept_up(process)
        await asyncio.sleep(REMOVED_S)
        maker.script.land()
        await asyncio.sleep(REMOVED_S)
        await process.engine.ensure_space("second")
        await process.engine.is_quiet()
        await process.client.write(Put(Key("second", b"a"), b"x"))
        assert await process.client.value(Key("second", b"a")) == b"x"
        await asyncio.sleep(REMOVED_S)
        assert await process.client.value(Key("second", b"a")) == b"x"
        assert len(tables(stand)) <= 3, "first, second and a spare one"
        await ended(upkeep)

    Stand().run(test)


@pytest.mark.parametrize("at", ["IF id = null", "options = 'taken'"])
def test_a_maker_that_stood_still_while_its_table_was_taken_for_nobodys_makes_the_space_of_another(at: str) -> None:
    async def test(stand: Stand) -> None:
        process, maker = await stand.process("one"), await stand.process("maker")
        await process.engine.ensure_space("first")
        await process.engine.is_quiet()
        hold = maker.script.hold(statement(at))
        work = asyncio.get_running_loop().create_task(maker.engine.ensure_space("second"))
        await hold.reached.wait()
        upkeep = kept_up(process)
        await asyncio.sleep(2 * REMOVED_S)
        hold.go.set()
        await work
        assert await process.client.value(Key("second", b"a")) is None
        await process.client.write(Put(Key("second", b"a"), b"x"))
        await asyncio.sleep(2 * REMOVED_S)
        assert await process.client.value(Key("second", b"a")) == b"x"
        await ended(upkeep)

    Stand().run(test)


def test_a_space_whose_drop_was_not_finished_keeps_its_table() -> None:
    async def test(stand: Stand) -> None:
        process, dropper = await stand.process("one"), await stand.process("dropper")
        await process.engine.ensure_space("plain", SpaceOptions(log=LogOptions(readers=("tail",))))
        await process.client.write(Put(Key("plain", b"a"), b"x"), appends=[Append(Key("plain", b"a"), None, b"x")])
        dropper.script.then(statement("dropped_ms = ? WHERE"), Fate.DIED)
        await unknowing(dropper.engine.drop_space("plain"))
        assert len(registry(stand, "dropped")) == 2
        upkeep = kept_up(process)
        await asyncio.sleep(REMOVED_S)
        assert registry(stand, "dropped") == {}
        assert await process.client.value(Key("plain", b"a")) == b"x"
        assert len((await process.engine.read_log("plain", 0, after=0, limit=9)).entries) == 1
        await process.engine.drop_space("plain")
        await asyncio.sleep(REMOVED_S)
        assert len(tables(stand)) == 1
        await ended(upkeep)

    Stand().run(test)


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["dropped_ms = ? WHERE part = ? AND name = ? IF", "DROP TABLE", "DELETE FROM"])
@pytest.mark.parametrize("fate", [Fate.DIED, Fate.NEVER])
def test_removal_goes_on_where_another_process_ended(part: str, fate: Fate) -> None:
    async def test(stand: Stand) -> None:
        first, second = await stand.process("first"), await stand.process("second")
        await first.engine.ensure_space("plain", SpaceOptions(log=LogOptions(shards=2, readers=("tail",))))
        for number in range(6):
            key = Key("plain", b"%d" % number)
            await first.client.write(Put(key, b"x"), appends=[Append(key, None, b"x")])
        for shard in (0, 1):
            await first.engine.read_log("plain", shard, after=0, limit=9)
        await first.engine.drop_space("plain")
        await first.engine.is_quiet()
        upkeep = kept_up(first)
        await asyncio.sleep(2 * REMEMBERED_S - 60)
        first.script.then(statement(part), *[fate] * (1 if fate is Fate.DIED else 2))
        await asyncio.sleep(2 * REMOVE_S)
        await ended(upkeep)
        upkeep = kept_up(second)
        await asyncio.sleep(REMOVED_S)
        assert len(tables(stand)) == 1
        for name in ("logs", "heads", "pointers"):
            assert stand.cluster.tables[f"stand.{name}"].content(stand.clock.wall_ms()) == {}
        assert registry(stand, "dropped") == {}
        await ended(upkeep)

    Stand().run(test)


# ---- logs that were switched off -------------------------------------------------------------------------------------


def test_a_log_that_was_switched_off_goes_and_the_next_one_of_its_space_stays() -> None:
    async def test(stand: Stand) -> None:
        process = await stand.process("one")
        logged = SpaceOptions(log=LogOptions(readers=("tail",)))
        await process.engine.ensure_space("plain", logged)
        upkeep = kept_up(process)

        async def append(value: bytes) -> None:
            key = Key("plain", b"a")
            await process.client.write(Put(key, value), appends=[Append(key, None, value)])

        await append(b"1")
        await process.engine.read_log("plain", 0, after=0, limit=9)
        # On its way into the log when that ends.
        await append(b"2")
        assert len(stand.rows(OUTBOX)) == 1
        await process.engine.ensure_space("plain", SpaceOptions())
        await process.engine.ensure_space("plain", logged)
        await append(b"3")
        await asyncio.sleep(REMOVED_S)
        page = await process.engine.read_log("plain", 0, after=0, limit=9)
        assert [entry.new for entry in page.entries] == [b"3"]
        assert stand.rows(OUTBOX) == []
        now_ms = stand.clock.wall_ms()
        logs = {key[0] for key in stand.cluster.tables["stand.logs"].content(now_ms)}
        assert len(logs) == 1, "that of the log that there is"
        await ended(upkeep)

    Stand().run(test)


def test_two_that_keep_the_store_up_at_once_do_no_harm() -> None:
    async def test(stand: Stand) -> None:
        processes = [await stand.process(name) for name in ("one", "two")]
        upkeep = [kept_up(process) for process in processes]
        for number in range(5):
            name = f"space-{number}"
            await processes[0].engine.ensure_space(name)
            await processes[1].client.write(Put(Key(name, b"a"), b"x"), Put(Key(name, b"b"), b"x"))
            if number:
                await processes[1].engine.drop_space(name)
        await asyncio.sleep(REMOVED_S)
        assert len(tables(stand)) == 2
        assert await processes[1].client.value(Key("space-0", b"b")) == b"x"
        with pytest.raises(SpaceNotFound):
            await processes[1].engine.get([Key("space-1", b"a")])
        await ended(*upkeep)

    Stand().run(test)
