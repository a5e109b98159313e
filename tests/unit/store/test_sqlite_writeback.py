"""What checkpoints have copied is brought to the disk bit by bit, and nobody notices but for shorter waits."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from tenet.store.contract import Put
from tenet.store.errors import StoreUnavailable
from tenet.store.sqlite import upkeep, writeback, writer
from tenet.store.sqlite.engine import SqliteEngine
from tenet.store.sqlite.schema import FILE_NAME
from tenet.store.sqlite.writeback import STRETCH_BYTES_MIN, Writeback
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
    connection.execute("ROLLBACK")
    print("free")
except sqlite3.OperationalError as error:
    print(error)
connection.close()
"""


#: The descriptors of this process.
FOLDER = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
#: Whether the system has the call.
WORKS = sys.platform == "linux"


def others_find(file: Path) -> str:
    """Whether another process may write to a file."""
    command = [sys.executable, "-c", OTHER_PROCESS, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def never() -> bool:
    """It is not enough."""
    return False


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bool]]:
    """The stretches that are written meanwhile: begin, length, whether it could be done."""
    done: list[tuple[int, int, bool]] = []
    real = writeback.sync_stretch

    def noting(number: int, start: int, byte_count: int) -> bool:
        done.append((start, byte_count, real(number, start, byte_count)))
        return done[-1][-1]

    monkeypatch.setattr(writeback, "sync_stretch", noting)
    return done


def test_every_stretch_of_a_file_is_written_and_none_changed(tmp_path: Path, done: list[tuple[int, int, bool]]) -> None:
    file, content = tmp_path / "file", IDS.draw(1024) * 20 * 1024
    file.write_bytes(content)
    one = Writeback(str(file))
    one.run(never)
    one.close()
    assert file.read_bytes() == content
    stretches = [(start, STRETCH_BYTES_MIN, True) for start in range(0, len(content), STRETCH_BYTES_MIN)]
    assert done == (stretches if WORKS else [])


def test_a_large_file_has_no_more_stretches_than_others(tmp_path: Path, done: list[tuple[int, int, bool]]) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(100 * 1024**3 + 1)
    one = Writeback(str(tmp_path / "file"))
    one.run(never)
    one.close()
    assert len(done) == (64 if WORKS else 0)
    assert sum(byte_count for _, byte_count, _ in done) > (100 * 1024**3 if WORKS else -1)


def test_it_ends_when_it_is_enough_and_when_it_is_told_to(tmp_path: Path, done: list[tuple[int, int, bool]]) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(5 * STRETCH_BYTES_MIN))
    one = Writeback(str(file))
    one.run(lambda: len(done) == 2)
    one.stop()
    one.run(never)
    assert len(done) == (2 if WORKS else 0)
    one.close()


def test_where_a_file_cannot_be_opened_nothing_is_done(tmp_path: Path) -> None:
    one = Writeback(str(tmp_path / "missing"))
    one.run(never)
    one.close()


def test_locks_of_connections_outlive_it(tmp_path: Path) -> None:
    file = tmp_path / "file.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("CREATE TABLE things (name)")
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        one = Writeback(str(file))
        one.run(never)
        one.close()
        assert others_find(file) == "database is locked"
    connection.execute("COMMIT")
    assert others_find(file) == "free"
    connection.close()


def descriptors_of(*files: Path) -> int:
    """How many descriptors this process has on files; one that was replaced bears its old name and a word more."""
    names = {str(file.resolve()) for file in files}
    found = [str(one.readlink()) for one in FOLDER.iterdir() if one.is_symlink()]
    return sum(one.removesuffix(" (deleted)") in names for one in found)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that has a file open, as a backup does."""
    connection = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    connection.execute("CREATE TABLE things (name)")
    yield connection
    connection.close()


def test_a_descriptor_is_closed_when_nothing_else_has_the_file_open(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    file = tmp_path / "file.db"
    for _ in range(3):
        one = Writeback(str(file))
        one.close()
        assert descriptors_of(file) == (2 if WORKS else 0), "one is left open, and taken up the next time"
    connection.close()
    Writeback(str(file)).close()
    assert descriptors_of(file) == 0


def test_of_two_on_one_file_both_are_left_open_and_closed_in_the_end(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    file = tmp_path / "file.db"
    for _ in range(2):
        both = Writeback(str(file)), Writeback(str(file))
        for one in both:
            one.close()
        assert descriptors_of(file) == (3 if WORKS else 0)
    connection.close()
    Writeback(str(file)).close()
    assert descriptors_of(file) == 0


def test_what_was_left_open_on_a_file_that_was_replaced_is_closed_with_the_next_one(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    file, new = tmp_path / "file.db", tmp_path / "new.db"
    Writeback(str(file)).close()
    new.write_bytes(b"")
    new.replace(file)
    Writeback(str(file)).close()
    assert descriptors_of(file) == (2 if WORKS else 0), "those of the old one, which is still read"
    connection.close()
    Writeback(str(file)).close()
    assert descriptors_of(file) == 0


def test_where_nobody_can_tell_what_is_open_nothing_is_closed(
    tmp_path: Path, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file.db"
    connection.close()
    with monkeypatch.context() as patched:
        patched.setattr(writeback, "_DESCRIPTORS", tmp_path / "missing")
        Writeback(str(file)).close()
        assert descriptors_of(file) == WORKS
    Writeback(str(file)).close()
    assert descriptors_of(file) == 0


def test_a_restore_that_a_backup_keeps_from_its_end_leaves_the_store_its_locks(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            for number in range(20):
                await put_surely(engine, number)
            await engine.backup(str(tmp_path / "backup"))
            # What a backup that takes long has open.
            reading = apsw.Connection(str(tmp_path / "data" / FILE_NAME))
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM spaces").fetchall()
            await put_surely(engine, 20)
            with pytest.raises(StoreUnavailable):
                await engine.restore(str(tmp_path / "backup"))
            reading.close()
            # Whoever opens and closes the file, and finds no lock of anybody, would take its log away.
            assert await asyncio.to_thread(others_find, tmp_path / "data" / FILE_NAME) == "free"
            assert (tmp_path / "data" / f"{FILE_NAME}-wal").exists()
            for number in range(21, 30):
                await put_surely(engine, number)
        async with opened(tmp_path / "data") as engine:
            assert [await value_of(engine, number) for number in range(30)] == [b"x"] * 30

    run(test())


def test_a_store_that_is_written_to_all_the_time_brings_its_file_to_the_disk_and_stays_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_ROUND_S", 0.01)
    monkeypatch.setattr(upkeep, "_PAGES_TO_CHECKPOINT", 8)
    monkeypatch.setattr(upkeep, "_PAGES_TO_WRITE_BACK", 8)
    monkeypatch.setattr(upkeep, "_PAGES_TO_PAUSE", 256)
    ends: list[int] = []
    real = Writeback.run

    def noting(self: Writeback, is_enough: Callable[[], bool]) -> None:
        real(self, is_enough)
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
