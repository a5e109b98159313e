"""A backup in the place of a store that cannot be opened: the old one is kept, goes on in the new one, or stays."""

from __future__ import annotations

import errno
from pathlib import Path

import apsw
import pytest

from tenet.base.clock import ManualClock
from tenet.store.contract import Committed, Put, Version
from tenet.store.errors import InvalidRequest, StoreCorrupt, StoreOfLaterVersion, StoreUnavailable
from tenet.store.sqlite import backup as backups
from tenet.store.sqlite.backup import restore_file
from tenet.store.sqlite.engine import open_engine
from tenet.store.sqlite.schema import FILE_NAME
from tests.unit.store.sqlite_helpers import CLOCK, IDS, commit_of, key, opened, put_surely, run, value_of

#: By how much the clock of the old store was ahead: versions of the new one grow by what it knows of the old one alone.
AHEAD_MS = 60_000


def damage(file: Path, statement: str) -> None:
    """Makes a store one that does not open any more, and leaves the rest of it readable."""
    connection = apsw.Connection(str(file))
    connection.execute(statement)
    connection.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "tenet.lock"}


async def damaged(folder: Path, statement: str) -> Version:
    """Makes a store, a backup of it and then damage; returns the last version that was acknowledged."""
    async with opened(folder / "data", clock=ManualClock(CLOCK.wall_ms() + AHEAD_MS)) as engine:
        await put_surely(engine, 1, b"then")
        await engine.backup(str(folder / "backup.db"))
        last: Committed = await put_surely(engine, 1, b"now")
    damage(folder / "data" / FILE_NAME, statement)
    with pytest.raises(StoreCorrupt):
        await open_engine(str(folder / "data"), clock=CLOCK, ids=IDS)
    return last.version


@pytest.mark.parametrize("lost", ["log_positions", "fences"])
def test_versions_go_on_above_those_of_a_damaged_store(tmp_path: Path, lost: str) -> None:
    async def test() -> None:
        last = await damaged(tmp_path, f"DROP TABLE {lost}")
        before = contents(tmp_path / "data")
        restore_file(str(tmp_path / "data"), str(tmp_path / "backup.db"), kept_in=str(tmp_path / "kept"))
        assert contents(tmp_path / "kept") == before
        async with opened(tmp_path / "data") as engine:
            assert await value_of(engine, 1) == b"then"
            assert (await put_surely(engine, 1)).version > last

    run(test())


def test_what_a_damaged_store_has_settled_stays_so(tmp_path: Path) -> None:
    async def test() -> None:
        never = commit_of(Put(key(5), b"never"))
        async with opened(tmp_path / "data") as engine:
            await engine.backup(str(tmp_path / "backup.db"))
            await engine.settle(never)
        damage(tmp_path / "data" / FILE_NAME, "DROP TABLE log_positions")
        restore_file(str(tmp_path / "data"), str(tmp_path / "backup.db"), kept_in=str(tmp_path / "kept"))
        async with opened(tmp_path / "data") as engine:
            with pytest.raises(InvalidRequest):
                await engine.commit(never)

    run(test())


@pytest.mark.parametrize("step", ["_continue_from", "_sync", "_link"])
def test_a_restore_that_fails_leaves_the_damaged_store_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def test() -> None:
        await damaged(tmp_path, "DROP TABLE log_positions")
        # The log of a server that was killed.
        (tmp_path / "data" / f"{FILE_NAME}-wal").write_bytes(b"a log")
        before = contents(tmp_path / "data")

        def fail(*_: Path) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(backups, step, fail)
            with pytest.raises(StoreUnavailable, match="Input/output error"):
                restore_file(str(tmp_path / "data"), str(tmp_path / "backup.db"), kept_in=str(tmp_path / "kept"))
        assert contents(tmp_path / "data") == before
        assert not (tmp_path / "kept").exists()

    run(test())


def test_a_renaming_that_fails_gives_the_damaged_store_its_log_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        await damaged(tmp_path, "DROP TABLE log_positions")
        file = tmp_path / "data" / FILE_NAME
        before = contents(tmp_path / "data") | {f"{FILE_NAME}-wal": b"a log"}
        file.with_name(f"{FILE_NAME}-wal").write_bytes(b"a log")

        def half(staged: Path) -> None:
            staged.with_name(f"{FILE_NAME}-wal").unlink()
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(backups, "swap", half)
        with pytest.raises(StoreUnavailable, match="Input/output error"):
            restore_file(str(tmp_path / "data"), str(tmp_path / "backup.db"), kept_in=str(tmp_path / "kept"))
        assert contents(tmp_path / "data") == before
        assert not (tmp_path / "kept").exists()

    run(test())


def test_what_fails_once_the_backup_is_in_place_leaves_both_and_no_log_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        await damaged(tmp_path, "DROP TABLE log_positions")
        before = contents(tmp_path / "data")
        swap = backups.swap

        def late(staged: Path) -> None:
            swap(staged)
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(backups, "swap", late)
            with pytest.raises(StoreUnavailable, match="Input/output error"):
                restore_file(str(tmp_path / "data"), str(tmp_path / "backup.db"), kept_in=str(tmp_path / "kept"))
        assert contents(tmp_path / "kept") == before
        assert set(contents(tmp_path / "data")) == {FILE_NAME}
        async with opened(tmp_path / "data") as engine:
            assert await value_of(engine, 1) == b"then"

    run(test())


def test_a_store_on_a_disk_without_links_is_kept_as_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        await damaged(tmp_path, "DROP TABLE log_positions")
        before = contents(tmp_path / "data")

        def no_links(*_: Path) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        with monkeypatch.context() as limited:
            limited.setattr("os.link", no_links)
            restore_file(str(tmp_path / "data"), str(tmp_path / "backup.db"), kept_in=str(tmp_path / "kept"))
        assert contents(tmp_path / "kept") == before
        assert (tmp_path / "kept" / FILE_NAME).stat().st_mode & 0o077 == 0

    run(test())


def test_a_later_format_is_told_apart_from_damage(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path):
            pass
        damage(tmp_path / FILE_NAME, "PRAGMA user_version = 99")
        with pytest.raises(StoreOfLaterVersion, match="has the format 99"):
            await open_engine(str(tmp_path), clock=CLOCK, ids=IDS)

    run(test())
