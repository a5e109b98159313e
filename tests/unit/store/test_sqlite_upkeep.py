"""What the engine does beside its callers' requests keeps the file small and stands in nobody's way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from tenet.store.contract import Append, Committed, Delete, Key, LogOptions, Put, SpaceOptions
from tenet.store.errors import SpaceNotFound, StoreUnavailable
from tenet.store.sqlite import upkeep
from tenet.store.sqlite.engine import SqliteEngine
from tenet.store.sqlite.removals import BYTES_PER_STEP, RECORD_SIZE, ROWS_PER_STEP, remove_some
from tests.unit.store.sqlite_helpers import IDS, commit_of, eventually, file_of, key, opened, put_surely, run, value_of

MIB = 1024 * 1024


def tables(engine: SqliteEngine) -> set[str]:
    """The tables of spaces that are in the file."""
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '[stl][0-9]*'"
    return {name for (name,) in file_of(engine).pool.on_loop(lambda execute: execute(sql).fetchall())}


async def write_bytes(engine: SqliteEngine, mebibytes: int) -> None:
    """Writes that much, over and over into the same few records."""
    for _ in range(mebibytes):
        # Never the same bytes: pages that would not change are not written.
        value = IDS.draw(1024) * 64
        await engine.commit(commit_of(*(Put(key(number), value) for number in range(16))))


@pytest.fixture
def low_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets checkpoints begin at a small part of the usual sizes."""
    for name, part in (("_TO_CHECKPOINT", 16), ("_OF_BUSY_ROUND", 64), ("_TO_CHECKPOINT_BUSY", 64), ("_TO_PAUSE", 64)):
        monkeypatch.setattr(upkeep, f"_PAGES{name}", getattr(upkeep, f"_PAGES{name}") // part)
    monkeypatch.setattr(upkeep, "_ROUND_S", 0.01)


@pytest.mark.thorough
@pytest.mark.usefixtures("low_marks")
def test_the_log_stays_short_under_constant_writing_and_reading(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1_000)
            done = asyncio.Event()

            async def read_on() -> None:
                while not done.is_set():
                    for _ in range(20):
                        assert await value_of(engine, 1_000) == b"x"
                    await asyncio.sleep(0)

            reading = asyncio.create_task(read_on())
            largest = 0
            for _ in range(60):
                await write_bytes(engine, 2)
                largest = max(largest, int((await engine.health())["wal_bytes"]))
            done.set()
            await reading
            # 120 MiB went through it; the marks lie at 1 and 4 MiB.
            assert largest < 40 * MIB
            assert (await engine.health())["failed_transactions"] == 0

    run(test())


def test_why_a_checkpoint_fails_is_told_once_until_one_reaches_the_end_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise StoreUnavailable("the disk does not answer")

    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)
            upkeep = file_of(engine).upkeep
            for _ in range(2):
                with monkeypatch.context() as failing, capture_logs() as told:
                    failing.setattr(upkeep, "_in_thread", fail)
                    for _ in range(3):
                        with pytest.raises(StoreUnavailable):
                            await upkeep._checkpoint("PASSIVE")
                assert [one["reason"] for one in told] == ["the disk does not answer"]
                await upkeep._checkpoint("PASSIVE")

    run(test())


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_log_that_is_idle_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool) -> None:
    if not is_kept:
        monkeypatch.setattr(upkeep, "_KEPT_BYTES", MIB)
    done: list[str] = []
    checkpoint_alone = upkeep.Upkeep._checkpoint_alone

    async def checkpoint(one: upkeep.Upkeep, mode: str) -> None:
        await checkpoint_alone(one, mode)
        done.append(mode)

    monkeypatch.setattr(upkeep.Upkeep, "_checkpoint_alone", checkpoint)

    async def test() -> None:
        async with opened(tmp_path) as engine:
            await write_bytes(engine, 10)
            # A reader that keeps what it sees does not stand in the way.
            for _ in range(50):
                await value_of(engine, 1)
            grown = (await engine.health())["wal_bytes"]
            assert int(grown) > 5 * MIB
            # Not before: on a slow machine it would be idle between two writes.
            monkeypatch.setattr(upkeep, "_ROUND_S", 0.01)
            await eventually(lambda: done != [])
            assert done == ["RESTART" if is_kept else "TRUNCATE"]
            left = int((await engine.health())["wal_bytes"])
            assert left >= int(grown) if is_kept else left == 0
            assert await value_of(engine, 1) is not None
            await put_surely(engine, 1, b"goes on")
            assert await value_of(engine, 1) == b"goes on"
            # Written from its beginning again.
            assert file_of(engine).writer.figures.wal_pages < 10

    run(test())


def test_what_was_dropped_is_emptied_bit_by_bit(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            options = SpaceOptions(stamps=True, log=LogOptions(readers=("tail",)))
            await engine.ensure_space("doomed", options)
            doomed = [Key("doomed", b"p%d" % number) for number in range(1_500)]
            await engine.commit(
                commit_of(*(Put(one, b"x") for one in doomed), appends=[Append(one, None, b"x") for one in doomed])
            )
            assert {"s2", "t2", "l2"} <= tables(engine)
            await engine.drop_space("doomed")
            with pytest.raises(SpaceNotFound):
                await engine.get(doomed[:1])
            await engine.ensure_space("doomed", options)
            assert (await engine.get(doomed[:1])) == [None]
            await file_of(engine).upkeep._forget()
            assert tables(engine) == {"s1", "s3", "t3", "l3"}
            assert (await engine.get(doomed[:1])) == [None]

    run(test())


def test_emptying_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("doomed")
            await engine.commit(commit_of(*(Put(Key("doomed", b"%d" % number), b"x") for number in range(900))))
            await engine.drop_space("doomed")
        async with opened(tmp_path) as engine:
            await eventually(lambda: tables(engine) == {"s1"})

    run(test())


def test_a_log_that_is_switched_off_and_on_begins_anew(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            logged = SpaceOptions(log=LogOptions(readers=("tail",)))
            one = Key("logged", b"p")
            for number in range(4):
                await engine.ensure_space("logged", logged)
                appends = [Append(one, None, b"%d.%d" % (number, at)) for at in range(300)]
                await engine.commit(commit_of(appends=appends))
                page = await engine.read_log("logged", 0, after=0, limit=1_000)
                assert [entry.new for entry in page.entries] == [append.new for append in appends]
                await engine.read_log("logged", 0, after=page.entries[10].position, limit=1, reader="tail")
                await engine.ensure_space("logged", SpaceOptions())
            await file_of(engine).upkeep._forget()
            assert tables(engine) == {"s1", "s2"}

    run(test())


def test_trimming_takes_no_more_than_the_slowest_reader_allows(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("logged", SpaceOptions(log=LogOptions(readers=("fast", "slow"))))
            one = Key("logged", b"p")
            for _ in range(5):
                await engine.commit(commit_of(appends=[Append(one, None, b"x") for _ in range(200)]))
            entries = (await engine.read_log("logged", 0, after=0, limit=500)).entries
            for reader, at in (("fast", 450), ("slow", 333)):
                await engine.read_log("logged", 0, after=entries[at].position, limit=1, reader=reader)
            await file_of(engine).upkeep._forget()
            page = await engine.read_log("logged", 0, after=entries[333].position, limit=1)
            assert page.first == page.entries[0].position == entries[334].position

    run(test())


@pytest.mark.parametrize("what", ["dropped", "discarded", "trimmed"])
def test_large_values_are_removed_in_bounded_steps(tmp_path: Path, what: str) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("doomed", SpaceOptions(log=LogOptions(readers=("tail",))))
            one, value = Key("doomed", b"p"), bytes(400_000)
            for number in range(12):
                appends = [Append(one, None, value)] if what == "trimmed" else []
                puts = [Put(Key("doomed", b"p", b"%d" % number), b"x" if what == "trimmed" else value)]
                await engine.commit(commit_of(*puts, appends=appends))
            before = int((await engine.health())["transactions"])
            if what == "discarded":
                await engine.discard("doomed", b"p")
                assert (await engine.query("doomed", b"p", limit=1)).records == []
            elif what == "dropped":
                await engine.drop_space("doomed")
                await file_of(engine).upkeep._forget()
                assert tables(engine) == {"s1"}
            else:
                last = await engine.read_log("doomed", 0, after=0, limit=500)
                while last.entries and last.entries[-1].position < last.closed:
                    last = await engine.read_log("doomed", 0, after=last.entries[-1].position, limit=500)
                await engine.read_log("doomed", 0, after=last.closed, limit=1, reader="tail")
                await file_of(engine).upkeep._forget()
                assert (await engine.read_log("doomed", 0, after=last.closed, limit=1)).first > last.closed
            # Three of these values make a mebibyte.
            assert int((await engine.health())["transactions"]) - before >= 4

    run(test())


def test_what_is_removed_ends_with_the_row_that_reaches_the_bound() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE s7 (id INTEGER PRIMARY KEY, value BLOB)")
    sizes = [BYTES_PER_STEP - 1, 1, *([10] * (ROWS_PER_STEP + 1)), 2 * BYTES_PER_STEP, 3]
    connection.executemany("INSERT INTO s7 (value) VALUES (zeroblob(?))", [(size,) for size in sizes])
    steps = []
    while True:
        removed = remove_some(connection.execute, "s7", RECORD_SIZE)
        steps.append((len(removed.numbers), removed.more))
        if not removed.more:
            break
    assert steps == [(2, True), (ROWS_PER_STEP, True), (2, True), (1, False)]
    assert connection.execute("SELECT count(*) FROM s7").fetchall() == [(0,)]


def test_discarding_many_records_leaves_the_others(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            sorts = [b"%04d" % number for number in range(1_000)]
            for partition in (b"p", b"q"):
                writes = [Put(Key("things", partition, sort), b"x") for sort in sorts]
                assert isinstance(await engine.commit(commit_of(*writes)), Committed)
            await engine.discard("things", b"p")
            await engine.discard("things", b"p")
            assert (await engine.query("things", b"p", limit=1)).records == []
            assert len((await engine.query("things", b"q", limit=2_000)).records) == 1_000
            await engine.commit(commit_of(Delete(Key("things", b"q", sorts[0]))))
            assert len((await engine.query("things", b"q", limit=2_000)).records) == 999

    run(test())
