"""What goes of a log, where processes end in between, and what stays when it is switched off and on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tenet.base.clock import NEVER
from tenet.store.cassandra import segments, sequencer
from tenet.store.contract import Append, Commit, Key, LogOptions, Put, SpaceOptions
from tenet.store.errors import DeadlineExceeded
from tests.cassandra_model.cluster import Dead, Fate
from tests.cassandra_model.stand import Process, Stand, statement

LOGGED = SpaceOptions(log=LogOptions(readers=("tail",)))
UNLOGGED = SpaceOptions()
KEY = Key("logged", b"p")


def log_commit(process: Process, value: bytes, each: int = 1) -> Commit:
    appends = [Append(KEY, None, value + b"%d" % number) for number in range(each)]
    return Commit(process.client.new_id(), [Put(KEY, b"x")], appends=appends)


def segments_left(stand: Stand) -> set[int]:
    return {at[2] for at in stand.cluster.table("stand.logs").content(stand.clock.wall_ms())}


@pytest.mark.parametrize("fate", [Fate.DIED, Fate.NEVER, Fate.LOST])
@pytest.mark.parametrize("text", ["SET trimmed = ?", "DELETE FROM stand.logs", "SET up_to = ?"])
def test_no_segment_is_left_wherever_a_process_ends_that_lets_go(
    monkeypatch: pytest.MonkeyPatch, text: str, fate: Fate
) -> None:
    monkeypatch.setattr(segments, "SEGMENT", 5)

    async def test(stand: Stand) -> None:
        writer, first, second = [await stand.process(name) for name in ("writer", "first", "second")]
        await writer.engine.ensure_space("logged", LOGGED)
        for number in range(4):
            assert await writer.client.attempt_commit(log_commit(writer, b"%d " % number, each=6))
        first.script.then(statement(text), fate, fate)
        with suppress(Dead):
            await first.client.log_page("logged", after=18, reader="tail")
        await second.client.log_page("logged", after=18, reader="tail")
        page = await second.client.log_page("logged", after=18, reader="tail")
        assert [entry.position for entry in page.entries] == list(range(19, 25))
        assert segments_left(stand) == {3, 4}

    Stand().run(test)


def test_segments_that_a_former_version_has_dropped_are_not_dropped_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT", 5)

    async def test(stand: Stand) -> None:
        process = await stand.process("process")
        await process.engine.ensure_space("logged", LOGGED)
        for number in range(4):
            assert await process.client.attempt_commit(log_commit(process, b"%d " % number, each=6))
        await process.client.log_page("logged", after=0)
        # As it trims, which has no mark of its own.
        space = await process.engine._spaces.find("logged")
        trimmed = f"{space.log_statements.trim}IF trimmed = null"
        assert await process.driver.decide([(trimmed, [14, space.log_id, 0])]) is None
        before = process.driver.sent["write"]
        await process.client.log_page("logged", after=22, reader="tail")
        assert process.driver.sent["write"] - before == 2
        assert segments_left(stand) == {0, 1, 4}

    Stand().run(test)


def test_a_process_forgets_shards_that_it_has_not_read_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "_SHARDS_MAX", 8)
    options = SpaceOptions(log=LogOptions(shards=16, readers=("tail",)))

    async def test(stand: Stand) -> None:
        process = await stand.process("process")
        await process.engine.ensure_space("logged", options)
        for _ in range(2):
            await asyncio.gather(*(process.engine.read_log("logged", shard, after=0, limit=1) for shard in range(16)))
            for shard in range(16):
                await process.engine.read_log("logged", shard, after=0, limit=1)
            assert len(process.engine._logs._sequencer._shards) <= 8

    Stand().run(test)


# ---- off and on ------------------------------------------------------------------------------------------------------


def test_no_entry_goes_into_the_log_before_though_a_process_has_not_heard_of_the_next_one() -> None:
    async def test(stand: Stand) -> None:
        slow, quick = await stand.process("slow"), await stand.process("quick")
        await quick.engine.ensure_space("logged", LOGGED)
        assert await slow.client.attempt_commit(log_commit(slow, b"first "))
        await quick.engine.ensure_space("logged", UNLOGGED)
        await quick.engine.ensure_space("logged", LOGGED)
        assert await slow.client.attempt_commit(log_commit(slow, b"second "))
        entries = await quick.client.log_all("logged")
        assert [entry.new for entry in entries] == [b"second 0"]

    Stand().run(test)


def test_a_log_that_was_switched_off_lately_is_not_switched_on_before_all_have_forgotten_it() -> None:
    async def test(stand: Stand) -> None:
        process = await stand.process("process")
        await process.engine.ensure_space("logged", LOGGED)
        await process.engine.ensure_space("logged", UNLOGGED)
        begun_s = stand.clock.monotonic_s()
        for _ in range(2):
            with pytest.raises(DeadlineExceeded, match="it can be switched on again after 10"):
                await process.engine.ensure_space("logged", LOGGED, deadline=begun_s + 5)
        await process.engine.ensure_space("logged", LOGGED, deadline=begun_s + 20)
        assert 9 < stand.clock.monotonic_s() - begun_s < 11
        await process.engine.ensure_space("other", UNLOGGED)
        begun_s = stand.clock.monotonic_s()
        await process.engine.ensure_space("other", LOGGED)
        assert stand.clock.monotonic_s() - begun_s < 1, "a space that had no log gets one at once"

    Stand().run(test)


@pytest.mark.parametrize("late", ["on", "off"])
def test_a_switch_of_a_log_that_comes_late_undoes_no_later_one(late: str) -> None:
    async def test(stand: Stand) -> None:
        process, other = await stand.process("process"), await stand.process("other")
        await process.engine.ensure_space("s", LOGGED if late == "off" else SpaceOptions())
        await asyncio.sleep(20)
        switches = [LOGGED, SpaceOptions()] if late == "on" else [SpaceOptions(), LOGGED]
        # The first one is sent twice, and its first copy lands behind the second switch.
        process.script.then(statement("SET options = ?, log = ?"), Fate.LATE)
        await process.engine.ensure_space("s", switches[0])
        await other.engine.ensure_space("s", switches[1])
        (space,) = (await other.engine._find(["s"], NEVER)).values()
        assert process.script.land() == 1
        for one in (process, other):
            assert (await one.engine._spaces.read("s")).log_id == space.log_id
            assert [info.options for info in await one.engine.list_spaces("s")] == [switches[1]]

    Stand().run(test)


def test_a_commit_relies_on_the_pointer_that_it_has_written_though_its_log_is_switched_meanwhile() -> None:
    async def test(stand: Stand) -> None:
        writer, other = await stand.process("writer"), await stand.process("other")
        await writer.engine.ensure_space("logged", LOGGED)
        await other.engine.ensure_space("logged", UNLOGGED)
        hold = writer.script.hold(statement("INSERT INTO stand.pointers"))
        commit = asyncio.ensure_future(writer.engine.commit(log_commit(writer, b"old ")))
        await hold.reached.wait()
        await other.engine.ensure_space("logged", LOGGED)
        await writer.engine._spaces.read("logged")  # As it does behind every request, from time to time.
        hold.go.set()
        await commit
        assert await writer.client.attempt_commit(log_commit(writer, b"new "))
        entries = await other.client.log_all("logged")
        assert [entry.new for entry in entries] == [b"new 0"]

    Stand().run(test)
