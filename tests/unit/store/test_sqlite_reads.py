"""Reads: small ones on the loop, long ones in threads, and those that nobody waits for any more are broken off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenet.store.contract import Add, Key, Put, Range, SpaceOptions, StampOf
from tenet.store.errors import DeadlineExceeded, StoreUnavailable
from tenet.store.sqlite import pool
from tenet.store.sqlite.engine import SqliteEngine
from tests.unit.store.sqlite_helpers import CLOCK, commit_of, eventually, file_of, opened, put_surely, run, value_of


async def fill(engine: SqliteEngine, count: int, value: bytes = b"x") -> None:
    """Puts that many records into one partition."""
    for first in range(0, count, 2_000):
        keys = [Key("things", b"p", b"%06d" % number) for number in range(first, min(count, first + 2_000))]
        await engine.commit(commit_of(*(Put(one, value) for one in keys)))


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
