"""What checkpoints have copied is brought to the disk bit by bit, and nobody notices but for shorter waits."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tenet.store.contract import Put
from tenet.store.sqlite import upkeep, writeback, writer
from tenet.store.sqlite.engine import SqliteEngine
from tenet.store.sqlite.schema import FILE_NAME
from tenet.store.sqlite.writeback import STRETCH_BYTES, Writeback
from tests.unit.store.sqlite_helpers import (
    IDS,
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

#: Writes to a file of SQLite as another process would, and says whether it could.
OTHER_PROCESS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("free")
except sqlite3.OperationalError as error:
    print(error)
"""


def test_every_stretch_of_a_file_is_written_and_none_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, content = tmp_path / "file", IDS.draw(1024) * 20 * 1024
    file.write_bytes(content)
    done: list[tuple[int, int, bool]] = []
    real = writeback.sync_stretch

    def noting(number: int, start: int, byte_count: int) -> bool:
        done.append((start, byte_count, real(number, start, byte_count)))
        return done[-1][-1]

    monkeypatch.setattr(writeback, "sync_stretch", noting)
    one = Writeback(str(file))
    one.run()
    one.close()
    assert file.read_bytes() == content
    works = sys.platform == "linux"
    assert done == [(start, STRETCH_BYTES, works) for start in range(0, len(content) if works else 1, STRETCH_BYTES)]


def test_locks_of_connections_outlive_it(tmp_path: Path) -> None:
    def others_find() -> str:
        done = subprocess.run([sys.executable, "-c", OTHER_PROCESS, file], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    file = str(tmp_path / "file.db")
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("CREATE TABLE things (name)")
    one = Writeback(file)
    connection.execute("BEGIN IMMEDIATE")
    one.run()
    assert others_find() == "database is locked"
    connection.execute("COMMIT")
    assert others_find() == "free"
    connection.close()
    one.close()


def test_a_store_that_is_written_to_all_the_time_brings_its_file_to_the_disk_and_stays_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_ROUND_S", 0.01)
    monkeypatch.setattr(upkeep, "_PAGES_TO_CHECKPOINT", 8)
    monkeypatch.setattr(upkeep, "_PAGES_TO_PAUSE", 256)
    ends: list[int] = []
    real = Writeback.run

    def noting(self: Writeback) -> None:
        real(self)
        ends.append(1)

    monkeypatch.setattr(Writeback, "run", noting)

    async def test() -> None:
        async with opened(tmp_path) as engine:
            number = 0
            while len(ends) < 5:
                await put_surely(engine, number, b"x" * 5_000)
                number += 1
            assert not file_of(engine).writer.figures.failed_transactions
        async with opened(tmp_path) as engine:
            assert [await value_of(engine, one) for one in range(number)] == [b"x" * 5_000] * number
        assert (tmp_path / FILE_NAME).stat().st_size >= number * 5_000

    run(test())


@pytest.mark.interpreted
def test_no_commit_is_made_on_the_loop_while_the_disk_gets_other_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CALM_COMMITS", 0)
    monkeypatch.setattr(upkeep, "_ROUND_S", 3_600)

    async def where(engine: SqliteEngine, syncing: list[str], number: int) -> list[str]:
        syncing.clear()
        await engine.commit(commit_of(Put(key(number), b"x")))
        return [*syncing]

    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)
            await eventually(lambda: not file_of(engine).runway._task)
            assert await where(engine, disk.syncing, 2) == ["MainThread"]
            with file_of(engine).writer.slow_disk():
                assert await where(engine, disk.syncing, 3) == ["tenet-commit"]
            await asyncio.sleep(0)
            assert await where(engine, disk.syncing, 4) == ["MainThread"]

    with misbehaving_disk() as disk:
        run(test())
