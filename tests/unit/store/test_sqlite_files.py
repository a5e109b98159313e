"""The data directory: one owner, one format, backups and the way back."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from tenet.base.clock import ManualClock
from tenet.store.contract import (
    Append,
    Commit,
    CommitId,
    Committed,
    Delete,
    Key,
    LogOptions,
    NeverCommitted,
    Put,
    SpaceInfo,
    SpaceOptions,
    Version,
)
from tenet.store.errors import DiskFull, InvalidRequest, StoreCorrupt, StoreLocked, StoreUnavailable
from tenet.store.sqlite import backup as backups
from tenet.store.sqlite.backup import restore_file
from tenet.store.sqlite.engine import open_engine
from tenet.store.sqlite.keys import prefix_of
from tenet.store.sqlite.schema import FILE_NAME, FORMAT_VERSION
from tests.unit.store.sqlite_helpers import (
    CLOCK,
    IDS,
    commit_of,
    eventually,
    file_of,
    key,
    misbehaving_disk,
    opened,
    put,
    put_surely,
    run,
    value_of,
)


async def refused(directory: Path) -> None:
    """Opens a store that must not open."""
    engine = await open_engine(str(directory), clock=CLOCK, ids=IDS)
    await engine.close()


def names_in(folder: Path) -> set[str]:
    """The names of what is in a folder."""
    return {path.name for path in folder.iterdir()}


# ---- the owner -------------------------------------------------------------------------------------------------------


def test_a_second_engine_on_the_directory_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            (tmp_path / "link").symlink_to(tmp_path / "data")
            for path in (tmp_path / "data", tmp_path / "link"):
                with pytest.raises(
                    StoreLocked, match=rf"the data directory {path} is in use by the process {os.getpid()}"
                ):
                    await refused(path)
            await put_surely(engine, 1)
        async with opened(tmp_path / "data"):
            pass

    run(test())


def test_an_engine_that_could_not_open_leaves_the_directory_free(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / FILE_NAME).write_bytes(b"this is no database, but a text of some length" * 100)
        for _ in range(2):
            with pytest.raises(StoreCorrupt, match="restore it from a backup"):
                await refused(tmp_path)
        (tmp_path / FILE_NAME).unlink()
        async with opened(tmp_path):
            pass

    run(test())


# ---- the format ------------------------------------------------------------------------------------------------------


FORMAT_1 = """
PRAGMA page_size = 8192;
PRAGMA journal_mode = wal;
PRAGMA application_id = 0x54454E54;
PRAGMA user_version = 1;
CREATE TABLE spaces (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, options BLOB NOT NULL);
CREATE TABLE commit_ids (id BLOB PRIMARY KEY, version BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE fences (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE log_positions (space INTEGER NOT NULL, shard INTEGER NOT NULL, reader TEXT NOT NULL,
    position INTEGER NOT NULL, PRIMARY KEY (space, shard, reader)) WITHOUT ROWID;
INSERT INTO spaces (name, options) VALUES ('things', CAST('{}' AS BLOB));
CREATE TABLE s1 (id INTEGER PRIMARY KEY, key BLOB NOT NULL, head INTEGER NOT NULL, version BLOB NOT NULL,
    value BLOB NOT NULL, cells BLOB);
CREATE UNIQUE INDEX s1_key ON s1 (key);
"""


def make_format_1(path: Path, clock: ManualClock) -> tuple[Version, CommitId, CommitId]:
    """Writes a store as the first format had it; returns a version, its commit's id, and one that never may land."""
    now_ms = clock.wall_ms()
    versions = [Version(((now_ms << 16) + at).to_bytes(8, "big") + bytes(8)) for at in range(1_200)]
    ids = [CommitId(now_ms.to_bytes(6, "big") + at.to_bytes(10, "big")) for at in range(1_201)]
    connection = apsw.Connection(str(path / FILE_NAME))
    connection.execute(FORMAT_1).fetchall()
    prefix = prefix_of(b"p7")
    row = (prefix, len(prefix), versions[-1], b"old but good")
    connection.execute("INSERT INTO s1 (key, head, version, value) VALUES (?, ?, ?, ?)", row)
    with connection:
        rows = list(zip(ids, versions, strict=False))
        connection.executemany("INSERT INTO commit_ids (id, version) VALUES (?, ?)", rows)
    connection.execute("INSERT INTO fences (id) VALUES (?)", (ids[-1],))
    connection.close()
    return versions[-1], ids[-2], ids[-1]


def test_a_store_of_format_1_is_brought_to_this_one(tmp_path: Path) -> None:
    clock = ManualClock()
    version, committed_id, fenced_id = make_format_1(tmp_path, clock)

    async def test() -> None:
        async with opened(tmp_path, clock) as engine:
            assert await engine.list_spaces() == [SpaceInfo("things", SpaceOptions())]
            assert await value_of(engine, 7) == b"old but good"
            sent_twice = Commit(committed_id, [Put(key(7), b"sent twice")])
            assert await engine.commit(sent_twice) == Committed(version)
            fenced = Commit(fenced_id, [Put(key(7), b"sent late")])
            assert await engine.settle(fenced) == NeverCommitted(fenced.id)
            outcome = await engine.commit(commit_of(Put(key(7), b"new"), clock=clock))
            assert isinstance(outcome, Committed)
            assert outcome.version > version
            assert (await engine.health())["format_version"] == FORMAT_VERSION
        async with opened(tmp_path, clock) as engine:
            assert await value_of(engine, 7) == b"new"

    run(test())


def test_a_migration_that_fails_leaves_the_old_format(tmp_path: Path) -> None:
    clock = ManualClock()
    make_format_1(tmp_path, clock)

    async def fail() -> None:
        with pytest.raises(DiskFull):
            await refused(tmp_path)

    with misbehaving_disk() as disk:
        disk.write_error = apsw.FullError
        run(fail())
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    assert connection.pragma("user_version") == 1
    assert connection.execute("SELECT count(*) FROM commit_ids").fetchall() == [(1_200,)]
    connection.close()

    async def succeed() -> None:
        async with opened(tmp_path, clock) as engine:
            assert await value_of(engine, 7) == b"old but good"

    run(succeed())


def test_a_later_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def make() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)

    run(make())
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    connection.close()
    with pytest.raises(
        StoreCorrupt, match=f"has the format {FORMAT_VERSION + 1}, and this version of Tenet reads up to"
    ):
        run(refused(tmp_path))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "ALTER TABLE commits DROP COLUMN tail",
            "has a table commits of the columns .* which should be",
        ),
        ("ALTER TABLE s2 DROP COLUMN cells", "has a table s2 of the columns"),
        ("ALTER TABLE s1 ADD COLUMN more BLOB NOT NULL DEFAULT x''", "more BLOB not null"),
        ("DROP TABLE t2", "has no table t2"),
        ("DROP TABLE l2", "has no table l2"),
        ("DROP TABLE fences", "has no table fences"),
        ("DROP INDEX s1_key", "has no index s1_key"),
        ("DROP INDEX commits_made", "has no index commits_made"),
        ("INSERT INTO garbage VALUES ('s99')", "has no table s99"),
        ("UPDATE spaces SET options = x'7b'", "has a space whose options cannot be read"),
    ],
)
def test_a_file_whose_tables_are_not_those_of_its_format_is_refused_with_what_is_wrong(
    tmp_path: Path, statement: str, words: str
) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await engine.ensure_space("logged", SpaceOptions(stamps=True, log=LogOptions()))
            await engine.backup(str(tmp_path / "backup.db"))
        for path in (tmp_path / "data" / FILE_NAME, tmp_path / "backup.db"):
            connection = apsw.Connection(str(path))
            connection.execute(statement)
            connection.close()
        with pytest.raises(StoreCorrupt, match=words):
            await refused(tmp_path / "data")
        async with opened(tmp_path / "other") as engine:
            with pytest.raises(StoreCorrupt, match=words):
                await engine.restore(str(tmp_path / "backup.db"))
            await put_surely(engine, 1)

    run(test())


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    connection.execute("CREATE TABLE films (title TEXT)")
    connection.close()
    with pytest.raises(StoreCorrupt, match="is a database, but not a store of Tenet"):
        run(refused(tmp_path))


# ---- backups ---------------------------------------------------------------------------------------------------------


def test_a_backup_is_of_one_moment_while_writers_write(tmp_path: Path) -> None:
    async def test() -> None:
        backup = tmp_path / "backup.db"
        async with opened(tmp_path / "data") as engine:
            await engine.commit(commit_of(*(Put(key(number), b"0" * 1_000) for number in range(2_000))))
            stop = asyncio.Event()
            written = 0

            async def write_on() -> None:
                nonlocal written
                while not stop.is_set():
                    written += 1
                    value = b"%d" % written
                    # Always both: a backup that holds them in different states is of no moment that ever was.
                    await engine.commit(commit_of(Put(key(0), value), Put(key(1_999), value)))

            writers = [asyncio.create_task(write_on()) for _ in range(4)]
            before = written
            figures = await engine.backup(str(backup))
            assert written > before, "nothing was written while the backup was made"
            stop.set()
            await asyncio.gather(*writers)
            assert figures == {"bytes": backup.stat().st_size, "records": 2_000}
            assert names_in(tmp_path) == {"backup.db", "data"}
        restore_file(str(tmp_path / "other"), str(backup))
        async with opened(tmp_path / "other") as engine:
            assert await value_of(engine, 0) == await value_of(engine, 1_999)
            assert len((await engine.scan("things", limit=10_000, limit_bytes=2**30)).records) == 2_000

    run(test())


def test_a_backup_holds_what_is_used_and_no_more(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await engine.commit(commit_of(*(Put(key(number), os.urandom(4_000)) for number in range(1_000))))
            await engine.commit(commit_of(*(Delete(key(number)) for number in range(990))))
            figures = await engine.backup(str(tmp_path / "backup.db"))
            assert figures["records"] == 10
            assert figures["bytes"] < 300_000
            await engine.restore(str(tmp_path / "backup.db"))
            assert int((await engine.health())["file_bytes"]) < 300_000
            assert await value_of(engine, 995) is not None

    run(test())


def test_a_backup_overwrites_nothing_and_needs_a_folder(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await put_surely(engine, 1)
            (tmp_path / "there").write_bytes(b"precious")
            with pytest.raises(InvalidRequest, match="a backup never overwrites one"):
                await engine.backup(str(tmp_path / "there"))
            assert (tmp_path / "there").read_bytes() == b"precious"
            with pytest.raises(InvalidRequest, match="there is no folder"):
                await engine.backup(str(tmp_path / "nowhere" / "backup.db"))
            # What the system says of it is told of the backup, and not of the store.
            with pytest.raises(InvalidRequest, match=r"^the backup .*/x+ cannot be written: File name too long$"):
                await engine.backup(str(tmp_path / ("x" * 250)))

    run(test())


def test_only_its_owner_may_read_a_backup(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await engine.backup(str(tmp_path / "backup.db"))
        assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600
        assert names_in(tmp_path) == {"backup.db", "data"}

    run(test())


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_backups_under_one_name_one_is_written_and_the_other_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_to_link)

    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await put_surely(engine, 1)
            path = str(tmp_path / "backup.db")
            both_copied, one_by_one = threading.Barrier(2), threading.Lock()
            give_name = backups._give_name

            def give_name_when_both_are_copied(partial: Path, target: Path) -> None:
                both_copied.wait(20)
                with one_by_one:
                    give_name(partial, target)

            monkeypatch.setattr(backups, "_give_name", give_name_when_both_are_copied)
            ends = await asyncio.gather(engine.backup(path), engine.backup(path), return_exceptions=True)
            (figures,) = [end for end in ends if isinstance(end, dict)]
            (refused,) = [end for end in ends if isinstance(end, InvalidRequest)]
            assert "a backup never overwrites one" in str(refused)
            assert figures["bytes"] == (tmp_path / "backup.db").stat().st_size
            assert names_in(tmp_path) == {"backup.db", "data"}
            await engine.restore(path)

    run(test())


def test_a_store_is_no_backup_of_itself(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await put_surely(engine, 1)
            with pytest.raises(InvalidRequest, match="is the store itself, not a backup of it"):
                await engine.restore(str(tmp_path / "tenet.db"))
            await put_surely(engine, 2)
        with pytest.raises(InvalidRequest, match="is the store itself"):
            restore_file(str(tmp_path), str(tmp_path / "tenet.db"))
        async with opened(tmp_path) as engine:
            assert [await value_of(engine, number) for number in (1, 2)] == [b"x", b"x"]

    run(test())


def refuse_to_link(source: Path, target: Path) -> None:
    """What a file system does that has no links."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(source), None, str(target))


@pytest.mark.parametrize("step", ["stage_restore", "swap"])
def test_a_restore_goes_on_to_its_end_when_nobody_waits_for_it_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await put_surely(engine, 1, b"then")
            await engine.backup(str(tmp_path / "backup.db"))
            await put_surely(engine, 1, b"now")
            may_go_on = threading.Event()
            began = threading.Event()
            carry_out = getattr(backups, step)

            def held(*arguments: object) -> object:
                began.set()
                assert may_go_on.wait(20)
                return carry_out(*arguments)

            monkeypatch.setattr(backups, step, held)
            restoring = asyncio.create_task(engine.restore(str(tmp_path / "backup.db")))
            await eventually(began.is_set)
            restoring.cancel()
            with pytest.raises(asyncio.CancelledError):
                await restoring
            async with asyncio.timeout(1):
                health = await engine.health()
            assert (health["is_restoring"], health["can_write"]) == (True, step == "stage_restore")
            with pytest.raises(InvalidRequest, match="another backup is being restored"):
                await engine.restore(str(tmp_path / "backup.db"))
            reading = asyncio.create_task(value_of(engine, 1))
            may_go_on.set()
            await reading
            await eventually(lambda: not engine._is_restoring)
            assert await value_of(engine, 1) == b"then"
            assert (await engine.health())["is_restoring"] is False
            await put_surely(engine, 1, b"again")
            await engine.restore(str(tmp_path / "backup.db"))
        assert names_in(tmp_path / "data") == {FILE_NAME, "tenet.lock"}

    run(test())


def test_closing_before_a_backup_took_its_place_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await engine.backup(str(tmp_path / "backup.db"))
            await put_surely(engine, 1, b"now")
            may_go_on = threading.Event()
            began = threading.Event()
            stage_restore = backups.stage_restore

            def held(directory: str, path: str) -> Path:
                began.set()
                assert may_go_on.wait(20)
                return stage_restore(directory, path)

            monkeypatch.setattr(backups, "stage_restore", held)
            restoring = asyncio.create_task(engine.restore(str(tmp_path / "backup.db")))
            await eventually(began.is_set)
            await engine.close()
            may_go_on.set()
            with pytest.raises(StoreUnavailable):
                await restoring
        assert names_in(tmp_path / "data") == {FILE_NAME, "tenet.lock"}
        async with opened(tmp_path / "data") as engine:
            assert await value_of(engine, 1) == b"now"

    run(test())


def test_a_backup_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await engine.backup(str(tmp_path / "backup.db"))
            open_file = os.open

            def refuse(path: str | Path, *how: Any, **more: Any) -> int:
                # Whoever runs the tests may be one who may read everything.
                if str(path).endswith("backup.db"):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                return open_file(path, *how, **more)

            monkeypatch.setattr(os, "open", refuse)
            with pytest.raises(InvalidRequest, match=r"backup\.db cannot be read: Permission denied"):
                await engine.restore(str(tmp_path / "backup.db"))
        assert names_in(tmp_path / "data") == {FILE_NAME, "tenet.lock"}

    run(test())


def test_restoring_while_it_serves_brings_back_everything(tmp_path: Path) -> None:
    async def test() -> None:
        backup = tmp_path / "backup.db"
        async with opened(tmp_path / "data") as engine:
            logged = Key("logged", b"p")
            options = SpaceOptions(stamps=True, log=LogOptions(readers=("tail",)))
            await engine.ensure_space("logged", options)
            await engine.commit(commit_of(Put(logged, b"then", {"n": 7}), appends=[Append(logged, None, b"then")]))
            await put_surely(engine, 1, b"then")
            await engine.backup(str(backup))
            log = await engine.read_log("logged", 0, after=0, limit=10)
            watch = engine.watch("things")
            never = commit_of(Put(key(5), b"never"))
            await engine.settle(never)
            await engine.drop_space("logged")
            await engine.ensure_space("later")
            last = await put_surely(engine, 1, b"now")
            await put_surely(engine, 2, b"now")
            assert await watch.wait(1)

            calls = [asyncio.create_task(put(engine, number, b"meanwhile")) for number in range(100, 150)]
            await engine.restore(str(backup))
            assert await watch.wait(1)
            assert {type(outcome) for outcome in await asyncio.gather(*calls)} == {Committed}

            assert [info.name for info in await engine.list_spaces()] == ["logged", "things"]
            assert [await value_of(engine, number) for number in (1, 2)] == [b"then", None]
            (record,) = await engine.get([logged])
            assert record is not None
            assert (record.value, dict(record.cells)) == (b"then", {"n": 7})
            again = await engine.read_log("logged", 0, after=0, limit=10)
            assert again.entries == log.entries
            # What nobody may take back: versions grow, and what was settled stays so.
            assert (await put_surely(engine, 1, b"again")).version > last.version
            assert again.closed >= log.closed
            with pytest.raises(InvalidRequest):
                await engine.commit(never)
        async with opened(tmp_path / "data") as engine:
            assert await value_of(engine, 1) == b"again"

    run(test())


@pytest.mark.parametrize("what", ["missing", "text", "cut", "flipped", "later", "foreign"])
def test_what_is_no_backup_is_refused_and_the_store_stays_as_it_was(tmp_path: Path, what: str) -> None:
    async def test() -> None:
        backup = tmp_path / "backup.db"
        async with opened(tmp_path / "data") as engine:
            await engine.commit(commit_of(*(Put(key(number), bytes(1_000)) for number in range(300))))
            await engine.backup(str(backup))
            damage(backup, what)
            with pytest.raises(InvalidRequest if what == "missing" else StoreCorrupt):
                await engine.restore(str(backup))
            await put_surely(engine, 1, b"goes on")
            assert len((await engine.scan("things", limit=10_000)).records) == 300
        with pytest.raises(InvalidRequest if what == "missing" else StoreCorrupt):
            restore_file(str(tmp_path / "data"), str(backup))
        async with opened(tmp_path / "data") as engine:
            assert await value_of(engine, 1) == b"goes on"
        assert names_in(tmp_path / "data") == {FILE_NAME, "tenet.lock"}

    run(test())


def damage(backup: Path, what: str) -> None:
    """Makes something else of a backup."""
    if what == "missing":
        backup.unlink()
    elif what == "text":
        backup.write_bytes(b"Dear diary, " * 1_000)
    elif what == "cut":
        backup.write_bytes(backup.read_bytes()[: 5 * 8192])
    elif what == "flipped":
        data = bytearray(backup.read_bytes())
        for page in range(3, len(data) // 8192):
            data[page * 8192 : page * 8192 + 16] = os.urandom(16)
        backup.write_bytes(data)
    else:
        connection = apsw.Connection(str(backup))
        name = "user_version" if what == "later" else "application_id"
        connection.execute(f"PRAGMA {name} = 99")
        connection.close()


def test_what_a_restore_that_was_broken_off_has_left_is_removed(tmp_path: Path) -> None:
    async def test() -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            for name in ("", "x7_5", "aaaa"):
                (tmp_path / f"{FILE_NAME}.restoring{name}{suffix}").write_bytes(b"half of it")
        async with opened(tmp_path):
            pass
        assert names_in(tmp_path) == {FILE_NAME, "tenet.lock"}

    run(test())


def test_restoring_needs_the_server_to_be_stopped(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await put_surely(engine, 1)
            await engine.backup(str(tmp_path / "backup.db"))
            with pytest.raises(StoreLocked):
                restore_file(str(tmp_path / "data"), str(tmp_path / "backup.db"))

    run(test())


def test_restoring_takes_what_lies_in_the_log_of_the_old_store_for_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        backup = tmp_path / "backup.db"
        async with opened(tmp_path / "data") as engine:
            await put_surely(engine, 1, b"then")
            await engine.backup(str(backup))
            await put_surely(engine, 1, b"now")
            # The state of a server that was killed: a write-ahead log that nobody has folded in.
            killed = tmp_path / "killed"
            killed.mkdir()
            for suffix in ("", "-wal"):
                copied = (tmp_path / "data" / (FILE_NAME + suffix)).read_bytes()
                (killed / (FILE_NAME + suffix)).write_bytes(copied)
            last = await put_surely(engine, 1, b"later")
        restore_file(str(killed), str(backup))
        async with opened(killed) as engine:
            assert await value_of(engine, 1) == b"then"
            assert (await put_surely(engine, 2)).version > last.version

    run(test())


@pytest.mark.parametrize("is_open", [True, False])
def test_restoring_waits_with_the_old_log_for_whoever_reads_the_old_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_open: bool
) -> None:
    """Without its log the old store would lack what was acknowledged, if the renaming did not come about."""
    monkeypatch.setattr(backups, "_FOLD_IN_WAIT_MS", 10)
    data, backup = tmp_path / "data", tmp_path / "backup.db"

    async def test() -> None:
        async with opened(data) as engine:
            await put_surely(engine, 1, b"then")
            await engine.backup(str(backup))
            reader = apsw.Connection(str(data / FILE_NAME))
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM spaces").fetchall()
            await put_surely(engine, 1, b"now")
            if is_open:
                with pytest.raises(StoreUnavailable, match="still being read"):
                    await engine.restore(str(backup))
                assert await value_of(engine, 1) == b"now"
        if not is_open:
            with pytest.raises(StoreUnavailable, match="still being read"):
                restore_file(str(data), str(backup))
        reader.close()
        async with opened(data) as engine:
            assert await value_of(engine, 1) == b"now"
            await engine.restore(str(backup))
            assert await value_of(engine, 1) == b"then"

    run(test())


def test_a_renaming_that_does_not_come_about_leaves_all_of_the_old_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup.db"

    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(errno.EIO, "told so by a test")

    async def test() -> None:
        async with opened(data) as engine:
            await put_surely(engine, 1, b"then")
            await engine.backup(str(backup))
            await put_surely(engine, 1, b"now")
            # It sees all that there is: a restore need not wait for it. But it keeps the log from being removed.
            reader = apsw.Connection(str(data / FILE_NAME))
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM spaces").fetchall()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", refuse)
            with pytest.raises(StoreUnavailable):
                restore_file(str(data), str(backup))
        reader.close()
        async with opened(data) as engine:
            assert await value_of(engine, 1) == b"now"

    run(test())


def test_health_tells_what_there_is(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await asyncio.gather(*(put_surely(engine, number, bytes(1_000)) for number in range(50)))
            health = await engine.health()
            assert health["spaces"] == 1
            assert health["writes"] == 51
            assert health["writes_per_transaction_max"] == 50
            assert health["can_write"] is True
            assert health["writes_waiting"] == 0
            assert float(health["commit_ms_p99"]) >= float(health["commit_ms_p50"]) > 0
            assert int(health["wal_bytes"]) > 50_000
            assert int(health["file_bytes"]) > 0
            assert int(health["disk_free_bytes"]) > 0
            assert int(health["pages"]) > int(health["free_pages"]) >= 0
            assert health["directory"] == str(tmp_path)
            assert file_of(engine).path == str(tmp_path / FILE_NAME)

    run(test())


def test_where_a_store_has_gone_none_is_begun_in_its_place(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path / "data") as engine:
            await put_surely(engine, 1, b"then")
            await engine.backup(str(tmp_path / "backup.db"))
        (tmp_path / "data" / FILE_NAME).unlink()
        with pytest.raises(StoreCorrupt, match=r"is missing from .*, though there was one: put it back, or restore"):
            await open_engine(str(tmp_path / "data"), clock=CLOCK, ids=IDS)
        restore_file(str(tmp_path / "data"), str(tmp_path / "backup.db"))
        async with opened(tmp_path / "data") as engine:
            assert await value_of(engine, 1) == b"then"

    run(test())
