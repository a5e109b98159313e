"""The writer with one client: what is alone is carried out without the thread, and without a wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from tenet.store.contract import Committed, Put, Unknown
from tenet.store.errors import DiskFull
from tenet.store.sqlite import writer
from tenet.store.sqlite.engine import SqliteEngine
from tests.unit.store.sqlite_helpers import (
    Disk,
    commit_of,
    eventually,
    file_of,
    key,
    misbehaving_disk,
    opened,
    put_surely,
    run,
    value_of,
)


@pytest.mark.interpreted
def test_a_lone_commit_is_made_on_the_loop_while_the_disk_is_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a machine that has other things to do, no disk is fast for long.
    monkeypatch.setattr(writer, "CALM_COMMITS", 3)
    monkeypatch.setattr(writer, "CALM_S", 0.2)

    async def where(engine: SqliteEngine, disk: Disk, *numbers: int) -> list[str]:
        disk.syncing.clear()
        await asyncio.gather(*(put_surely(engine, number) for number in numbers))
        return disk.syncing

    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            for number in range(3):
                await put_surely(engine, number)
            assert await where(engine, disk, 4) == ["MainThread"]
            assert await where(engine, disk, 5, 6) == ["tenet-commit"], "others would wait for it"
            assert await where(engine, disk, 7) == ["MainThread"]
            disk.slow_s = 0.3
            assert await where(engine, disk, 8) == ["MainThread"]
            disk.slow_s = 0.0
            for number in range(3):
                assert await where(engine, disk, number) == ["tenet-commit"], "a slow disk holds the loop up once"
            assert await where(engine, disk, 9) == ["MainThread"]
            assert [await value_of(engine, number) for number in range(3, 10)] == [None, *([b"x"] * 6)]

    with misbehaving_disk() as disk:
        run(test(disk))


@pytest.mark.interpreted
def test_whoever_is_alone_for_long_does_not_wait_for_a_turn_of_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CALM_COMMITS", 0)
    monkeypatch.setattr(writer, "CALM_S", 5.0)
    monkeypatch.setattr(writer, "ALONE_TRANSACTIONS", 2)

    async def commits_at_once(engine: SqliteEngine, number: int) -> bool:
        """Commits in a turn of its own; whether the loop did nothing else meanwhile."""
        await asyncio.sleep(0)
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, number)
        await engine.commit(commit_of(Put(key(number), b"x")))
        return not turns

    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            for number in range(2):
                await commits_at_once(engine, number)
            assert await commits_at_once(engine, 2)
            assert await value_of(engine, 2) == b"x"
            # The second one of a turn shares its transaction with those that follow.
            syncs = disk.syncs
            assert await asyncio.gather(*(commits_at_once(engine, number) for number in range(3, 9))) == [
                True,
                *[False] * 5,
            ]
            assert disk.syncs == syncs + 2
            # Whoever is not alone any more has to be again, for as long.
            for number in range(2):
                assert not await commits_at_once(engine, number)
            assert await commits_at_once(engine, 9)
            assert [await value_of(engine, number) for number in range(10)] == [b"x"] * 10

    with misbehaving_disk() as disk:
        run(test(disk))


@pytest.mark.interpreted
@pytest.mark.parametrize("alone", [0, 1_000_000])
@pytest.mark.parametrize("trouble", ["write_error", "sync_error"])
def test_what_befalls_a_commit_on_the_loop_is_told_as_that_of_the_thread_is(
    trouble: str, alone: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CALM_COMMITS", 0)
    monkeypatch.setattr(writer, "ALONE_TRANSACTIONS", alone)

    async def test(disk: Disk) -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)
            setattr(disk, trouble, apsw.FullError)
            commit = commit_of(Put(key(2), b"x"))
            try:
                outcome = await engine.commit(commit)
            except DiskFull:
                landed = False
            else:
                assert isinstance(outcome, Unknown)
                landed = True
            setattr(disk, trouble, None)
            disk.syncing.clear()
            if landed:
                landed = isinstance(await engine.settle(commit), Committed)
            await eventually(lambda: not file_of(engine).writer.figures.write_refusal)
            await put_surely(engine, 3)
            assert "MainThread" in disk.syncing
            assert [await value_of(engine, number) for number in (1, 2, 3)] == [b"x", b"x" if landed else None, b"x"]

    with misbehaving_disk() as disk:
        run(test(disk))
