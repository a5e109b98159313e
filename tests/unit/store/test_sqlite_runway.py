"""The write-ahead log is longer than it has to be, and nothing that was written is lost to that."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from tenet.store.contract import Put
from tenet.store.sqlite import runway
from tenet.store.sqlite.engine import SqliteEngine
from tenet.store.sqlite.schema import FILE_NAME
from tests.unit.store.sqlite_helpers import IDS, commit_of, eventually, file_of, key, opened, put_surely, run, value_of

MIB = 1024 * 1024


def length_of(directory: Path) -> int:
    """How long the log is."""
    return (directory / f"{FILE_NAME}-wal").stat().st_size


def used_by(engine: SqliteEngine) -> int:
    """How much of it holds pages."""
    return file_of(engine).writer.figures.wal_pages * (8192 + 24)


def test_the_first_commit_is_followed_by_room_for_many(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)
            await eventually(lambda: length_of(tmp_path) >= 16 * MIB)
            for number in range(300):
                await put_surely(engine, number, b"x" * 1024)
            assert used_by(engine) < 16 * MIB

    run(test())


def test_commits_do_not_reach_its_end(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)
            await eventually(lambda: length_of(tmp_path) >= 16 * MIB)
            for _ in range(24):
                await engine.commit(commit_of(Put(key(1), IDS.draw(1024) * 1024)))
                # What a disk takes meanwhile.
                await asyncio.sleep(0.01)
            await eventually(lambda: length_of(tmp_path) > used_by(engine) + 8 * MIB)

    run(test())


def test_what_is_committed_while_it_grows_is_there_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small pieces and no reserve: the log's end is where commits are.
    monkeypatch.setattr(runway, "_PIECE", bytes(10_000))
    monkeypatch.setattr(runway, "_AHEAD_BYTES_MIN", 20_000)
    monkeypatch.setattr(runway, "_AHEAD_BYTES_MAX", 40_000)
    live, left = tmp_path / "live", tmp_path / "left"
    live.mkdir()

    async def test() -> None:
        async with opened(live) as engine:
            for number in range(400):
                await put_surely(engine, number, b"%d" % number * 400)
            # As kill -9 leaves it: with the log, and without what the processes shared about it.
            left.mkdir()
            for name in (FILE_NAME, f"{FILE_NAME}-wal"):
                shutil.copy(live / name, left / name)
        async with opened(left) as engine:
            for number in range(400):
                assert await value_of(engine, number) == b"%d" % number * 400

    run(test())


def test_a_disk_without_room_to_spare_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runway, "_FREE_SHARE", 0)

    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)
            await eventually(lambda: file_of(engine).runway.wanted_at > 0)
            for number in range(20):
                await put_surely(engine, number)
            assert length_of(tmp_path) < MIB
            file_of(engine).runway.begin_anew()
            monkeypatch.setattr(runway, "_FREE_SHARE", 1)
            await put_surely(engine, 1)
            await eventually(lambda: length_of(tmp_path) >= 16 * MIB)

    run(test())


def test_a_log_that_cannot_be_made_longer_does_not_keep_commits_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runway.Runway, "_grow", refuse)

    async def test() -> None:
        async with opened(tmp_path) as engine:
            for number in range(20):
                await put_surely(engine, number, b"x")
            assert await value_of(engine, 19) == b"x"

    run(test())


def test_what_is_cut_off_while_it_grows_stays_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A slow disk, of which each piece takes a while.
    fsync = os.fsync

    def slow(file: int) -> None:
        time.sleep(0.05)
        fsync(file)

    monkeypatch.setattr(os, "fsync", slow)

    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)
            await eventually(lambda: file_of(engine).runway._task is not None)
            await file_of(engine).upkeep._checkpoint_alone("TRUNCATE")
            assert length_of(tmp_path) == 0
            await asyncio.sleep(0.2)
            assert length_of(tmp_path) == 0
            await put_surely(engine, 2)
            await eventually(lambda: length_of(tmp_path) >= MIB)

    run(test())
