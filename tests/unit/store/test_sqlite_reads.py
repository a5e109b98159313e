"""Reads: small ones on the loop, long ones in threads, and those that nobody waits for any more are broken off."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from tenet.store.contract import Add, Key, Put, Range, Record, SpaceOptions, StampOf
from tenet.store.errors import DeadlineExceeded, SpaceNotFound, StoreCorrupt, StoreUnavailable
from tenet.store.sqlite import pool
from tenet.store.sqlite.engine import SqliteEngine
from tenet.store.sqlite.reads import Scan, Start
from tenet.store.sqlite.removals import sweep
from tenet.store.sqlite.schema import Execute
from tenet.store.sqlite.spaces import Space
from tests.unit.store.sqlite_helpers import (
    CLOCK,
    Disk,
    commit_of,
    damage_leaves,
    eventually,
    file_of,
    misbehaving_disk,
    opened,
    put_surely,
    run,
    value_of,
    values,
)


async def fill(engine: SqliteEngine, count: int, value: bytes = b"x") -> None:
    """Puts that many records into one partition."""
    for first in range(0, count, 2_000):
        keys = [Key("things", b"p", b"%06d" % number) for number in range(first, min(count, first + 2_000))]
        await engine.commit(commit_of(*(Put(one, value) for one in keys)))


def test_a_statement_is_compiled_once_whatever_its_ends(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, 100)
            compiled: list[int] = []

            def note(operation: int, *_: str | None) -> int:
                compiled.append(operation)
                return apsw.SQLITE_OK

            # It is asked whenever a statement is compiled.
            file_of(engine).pool._connection.set_authorizer(note)
            counts = []
            for first in range(3):
                page = await engine.query("things", b"p", Range(b"%06d" % first, b"%06d" % (first + 3)), limit=10)
                assert len(page.records) == 3
                counts.append(len(compiled))
            assert counts[0] > 0
            assert counts == [counts[0]] * 3

    run(test())


def test_a_query_is_the_same_on_the_loop_and_in_a_thread(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, 500, b"v" * 1_000)
            everything = [b"%06d" % number for number in range(500)]
            for limit in (1, 99, 100, 101, 499, 500, 501):
                page = await engine.query("things", b"p", limit=limit)
                assert [record.sort for record in page.records] == everything[:limit]
                assert page.more == (limit < 500)
                page = await engine.query("things", b"p", limit=limit, reverse=True)
                assert [record.sort for record in page.records] == everything[::-1][:limit]
            # 1,000 bytes each: the page ends with the record that reaches the limit, on the loop and beyond it.
            for limit_bytes, count in ((1, 1), (1_000, 1), (1_001, 2), (131_072, 132), (200_000, 200), (500_000, 500)):
                page = await engine.query("things", b"p", limit=10_000, limit_bytes=limit_bytes)
                assert len(page.records) == count
                assert page.more == (count < 500)

    run(test())


@pytest.mark.interpreted
def test_large_values_are_read_in_a_thread_and_are_the_same_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("stamped", SpaceOptions(stamps=True))
            keys = [Key("stamped", b"p", b"%03d" % number) for number in range(100)]
            for number, one in enumerate(keys[:50]):
                await engine.commit(commit_of(Put(one, b"%03d" % number * 50_000)))
            stamp = StampOf("stamped", b"p")
            records = await engine.get(keys)
            read_pool = file_of(engine).pool
            read_on_loop: list[object] = []
            get = read_pool.get

            def get_counted(space: Space, key: Key) -> Record | None:
                read_on_loop.append(key)
                return get(space, key)

            monkeypatch.setattr(read_pool, "get", get_counted)
            assert await engine.get(keys) == records
            # 150,000 bytes each: the fourth makes them pass half a mebibyte.
            assert read_on_loop == keys[:4]
            assert values(records) == [*(b"%03d" % number * 50_000 for number in range(50)), *[None] * 50]
            assert (await engine.read_together([*keys, stamp]))[:100] == records
            assert (await engine.read_together([stamp, *keys[:2]]))[1:] == records[:2]
            # The last one may pass it: there is nothing more to read.
            assert await engine.read_together(keys[:4]) == records[:4]
            ((told, *_), at_once) = (await engine.read_together([stamp]), await engine.read_together([stamp, *keys]))
            assert at_once[0] == told != 0

    run(test())


@pytest.mark.interpreted
def test_a_scan_of_few_among_many_gives_its_thread_back_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, 3_000)
            sparse = [Key("things", b"p", b"x%d" % number) for number in range(3)]
            await engine.commit(commit_of(*(Put(one, b"found") for one in sparse)))
            looked_at: list[int] = []
            read_among = Scan.read_among

            def read_counted(scan: Scan, execute: Any, start: Start, row_count: int) -> Any:
                looked_at.append(row_count)
                return read_among(scan, execute, start, row_count)

            monkeypatch.setattr(Scan, "read_among", read_counted)
            monkeypatch.setattr("tenet.store.sqlite.serving._SCANNED_ROWS_MAX", 500)
            page = await engine.scan("things", Range(b"x", b"y"), limit=2)
            assert [record.sort for record in page.records] == [b"x0", b"x1"]
            assert page.more
            assert looked_at[:8] == [8, 16, 32, 64, 128, 256, 500, 500]
            assert sum(looked_at[:-1]) < 3_000 <= sum(looked_at)
            page = await engine.scan("things", Range(b"x", b"y"), limit=2, after=(b"p", b"x1"))
            assert [record.sort for record in page.records] == [b"x2"]
            looked_at.clear()
            page = await engine.scan("things", Range(b"y"), limit=1_000)
            assert (list(page.records), page.more) == ([], False)
            assert max(looked_at) <= 4_000

    run(test())


@pytest.mark.interpreted
def test_a_read_whose_table_went_away_meanwhile_says_that_the_space_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("doomed")
            await engine.commit(commit_of(*(Put(Key("doomed", b"%d" % number), b"x") for number in range(200))))
            file, may_read = file_of(engine), threading.Event()
            read_in_order = file.pool._read

            def read_late(read: Any, broken_off: list[bool]) -> Any:
                assert may_read.wait(20)
                return read_in_order(read, broken_off)

            monkeypatch.setattr(file.pool, "_read", read_late)
            scanning = asyncio.create_task(engine.scan("doomed", limit=1_000))
            await asyncio.sleep(0)
            await engine.drop_space("doomed")
            await file.remove_all(sweep("s2"))
            may_read.set()
            with pytest.raises(SpaceNotFound):
                await scanning

    run(test())


def test_damage_that_a_read_meets_is_kept_in_mind(tmp_path: Path) -> None:
    async def make() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, 300, b"v" * 3_000)

    run(make())
    damage_leaves(tmp_path)

    async def meet() -> None:
        async with opened(tmp_path) as engine:
            with pytest.raises(StoreCorrupt):
                await engine.scan("things", limit=1_000)
            health = await engine.health()
            assert health["is_damaged"] is True

    run(meet())


def test_a_read_that_is_too_late_is_broken_off(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, 20_000)
            nothing = Range(b"zzz")
            threads = [engine.scan("things", nothing, limit=1, deadline=CLOCK.monotonic_s() + 0.001) for _ in range(20)]
            ends = await asyncio.gather(*threads, return_exceptions=True)
            assert DeadlineExceeded in {type(end) for end in ends}
            # The threads are free again at once, and read what is asked next.
            assert (await engine.scan("things", limit=1)).more
            with pytest.raises(DeadlineExceeded):
                await engine.get([Key("things", b"p", b"000000")], deadline=CLOCK.monotonic_s() - 1)

    run(test())


@pytest.mark.interpreted
def test_long_reads_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "WAITING_MAX", 10)

    async def test() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, 3_000)
            ends = await asyncio.gather(
                *(engine.scan("things", limit=3_000) for _ in range(30)), return_exceptions=True
            )
            assert {type(end).__name__ for end in ends} == {"Page", "StoreUnavailable"}
            refused = [end for end in ends if isinstance(end, StoreUnavailable)]
            assert len(refused) == 20
            assert file_of(engine).pool.waiting == 0

    run(test())


def test_a_reader_that_keeps_what_it_sees_sees_every_commit(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            for number in range(50):
                await put_surely(engine, 1, b"%d" % number)
                for _ in range(20):
                    assert await value_of(engine, 1) == b"%d" % number
                assert file_of(engine).pool._keeps

    run(test())


def test_a_read_that_the_disk_refuses_stops_neither_the_next_reads_nor_the_writer(tmp_path: Path) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, 300, b"v" * 3_000)
            await put_surely(engine, 1, b"before")
        async with opened(tmp_path) as engine, asyncio.timeout(10):
            for _ in range(20):
                assert await value_of(engine, 1) == b"before"
            reader = file_of(engine).pool
            assert reader._keeps
            disk.read_error = apsw.IOError("told so by a test")
            with pytest.raises(StoreUnavailable):
                await engine.get([Key("things", b"p", b"000150")])
            disk.read_error = None
            # SQLite has ended what the connection kept.
            assert (reader._keeps, reader._connection.in_transaction) == (False, False)
            await put_surely(engine, 1, b"after")
            assert await value_of(engine, 1) == b"after"

    with misbehaving_disk() as disk:
        run(test(disk))


def test_a_kept_moment_that_has_ended_by_itself_is_given_up_all_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine, asyncio.timeout(10):
            for _ in range(20):
                await value_of(engine, 1)
            reader = file_of(engine).pool
            assert reader._keeps
            reader._connection.execute("ROLLBACK")
            await put_surely(engine, 1, b"x")
            assert await value_of(engine, 1) == b"x"

    run(test())


@pytest.mark.parametrize("place", ["loop", "thread"])
def test_a_failed_read_of_one_moment_tells_what_failed_first(tmp_path: Path, place: str) -> None:
    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, 300, b"v" * 3_000)
        async with opened(tmp_path) as engine:
            reader = file_of(engine).pool

            async def fail(error: apsw.Error) -> object:
                def read(execute: Execute) -> object:
                    disk.read_error = error
                    return execute("SELECT count(*), max(value) FROM s1").fetchall()

                if place == "loop":
                    return reader.on_loop(read, one_moment=True)
                return await reader.in_thread(read, one_moment=True)

            for error, told in (apsw.IOError("told so by a test"), StoreUnavailable), (_damaged(), StoreCorrupt):
                with pytest.raises(told, match="told so by a test"):
                    await fail(error)
                disk.read_error = None
                # The connection takes the next one.
                answer = reader.on_loop(lambda execute: execute("SELECT 1").fetchall(), one_moment=True)
                assert answer == [(1,)]
            assert (await engine.health())["is_damaged"] is True

    with misbehaving_disk() as disk:
        run(test(disk))


def _damaged() -> apsw.Error:
    """What a file system raises that has found its own data to be damaged."""
    error: Any = apsw.IOError("told so by a test")
    error.extendedresult = apsw.SQLITE_IOERR_CORRUPTFS
    return error  # type: ignore[no-any-return]


@pytest.mark.interpreted
def test_a_read_that_could_not_begin_is_not_counted_as_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            reader = file_of(engine).pool
            with monkeypatch.context() as patch:
                patch.setattr(reader, "_is_changing", True)
                patch.setattr(reader, "let_go", _fail)
                with pytest.raises(apsw.IOError):
                    await reader.in_thread(lambda execute: execute("SELECT 1").fetchall())
            assert reader.waiting == 0

    run(test())


def _fail() -> None:
    raise apsw.IOError("told so by a test")


def test_a_stamp_and_what_it_covers_are_of_one_moment(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await engine.ensure_space("stamped", SpaceOptions(stamps=True))
            cell, of = Key("stamped", b"p"), StampOf("stamped", b"p")
            done = asyncio.Event()
            stamps: dict[int, int] = {}

            async def add_on() -> None:
                for _ in range(200):
                    await engine.commit(commit_of(Add(cell, "n", 1)))
                done.set()

            async def read_on() -> None:
                while not done.is_set():
                    page = await engine.query("stamped", b"p", limit=1, stamp=of)
                    assert page.stamp is not None
                    count = page.records[0].cells["n"] if page.records else 0
                    # One stamp belongs to one state.
                    assert stamps.setdefault(page.stamp, count) == count
                    await asyncio.sleep(0)

            await asyncio.gather(add_on(), read_on())
            assert len(stamps) > 20

    run(test())


def test_watches_are_told_of_what_they_watch(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            whole, mine, other = engine.watch("things"), engine.watch("things", b"p1"), engine.watch("things", b"p2")
            assert not await whole.wait(0.01)
            await put_surely(engine, 1)
            assert await whole.wait(1)
            assert await mine.wait(1)
            assert not await other.wait(0.01)
            waiting = asyncio.create_task(other.wait(5))
            await asyncio.sleep(0)
            await put_surely(engine, 2)
            assert await waiting
            for watch in (whole, mine, other):
                watch.close()
                watch.close()
            await eventually(lambda: not engine._watches.are_there)

    run(test())
