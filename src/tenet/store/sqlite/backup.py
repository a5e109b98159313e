"""Backups: one file that holds everything as of one moment, written while the store serves; and the way back.

A backup is a database file of its own, in the format of the store. It appears under its name when it is complete and
on the disk, never before, and never in the place of another file; only its owner may read it. To restore, it is copied
beside the store's file, checked there, and renamed over it, so that a crash leaves either the old store or the new one.
What is not complete yet has a name of its own each time: nobody meets the half of somebody else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import apsw

from tenet.store.errors import FULL_ERRNOS, DiskFull, InvalidRequest, StoreCorrupt, StoreError, StoreUnavailable
from tenet.store.sqlite.faults import from_system, translate
from tenet.store.sqlite.lock import DirectoryLock
from tenet.store.sqlite.migrations import prepare
from tenet.store.sqlite.schema import APPLICATION_ID, FILE_NAME, Execute, connect

_STAGED_PREFIX: Final = FILE_NAME + ".restoring"
_CACHE_BYTES: Final = 8 * 1024 * 1024
#: How long a restore waits for whoever still reads the old store; all calls wait meanwhile.
_FOLD_IN_WAIT_MS: Final = 2_000
_PRIVATE_DIRECTORY: Final = 0o700
_PRIVATE_FILE: Final = 0o600


def write_backup(source_path: str, path: str) -> Mapping[str, int]:
    """Copies an open store into a new file; blocks, and is meant for a thread.

    The write-ahead log cannot be reused before the copy is complete, so that it grows by what is written meanwhile.

    Args:
        source_path: the store's file.
        path: the backup; its folder exists, the file does not.

    Returns:
        ``bytes`` and ``records`` of the backup.

    Raises:
        InvalidRequest: there is a file of that name, or none can be made there.
        DiskFull: there is no room for it.
    """
    target = Path(path)
    if os.path.lexists(target):
        raise _taken(path)
    if not target.parent.is_dir():
        raise InvalidRequest(f"there is no folder {target.parent} to write the backup to")
    try:
        partial = _make_private(target.parent, f"{target.name}.", ".partial")
        try:
            _copy(source_path, partial)
            figures = _verified(partial, shown=path)
            _sync(partial)
            _give_name(partial, target)
            _sync(target.parent)
        finally:
            _remove_database(partial)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        # The folder is none of the store's, and what is to be done about it is something else.
        if error.errno in FULL_ERRNOS:
            raise DiskFull(f"no room is left on the disk of {target.parent} for the backup {path}") from error
        raise InvalidRequest(f"the backup {path} cannot be written: {error.strerror}") from error
    return figures


def _taken(path: str) -> InvalidRequest:
    return InvalidRequest(f"there is a file {path} already; a backup never overwrites one")


def _make_private(folder: Path, prefix: str, suffix: str) -> Path:
    """Makes an empty file of a new name, which only its owner may read and write."""
    descriptor, path = tempfile.mkstemp(suffix, prefix, folder)
    os.close(descriptor)
    return Path(path)


def _give_name(partial: Path, target: Path) -> None:
    """Gives a file its name.

    Raises:
        FileExistsError: the name was taken meanwhile.
    """
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links.
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        partial.rename(target)


def _copy(source_path: str, target: Path) -> None:
    """Copies a database as of one moment into an empty file, which gets no more pages than it needs."""
    source = connect(source_path, cache_bytes=_CACHE_BYTES)
    try:
        source.execute("VACUUM INTO ?", (str(target),))
    except apsw.Error as error:
        raise translate(error, source, str(target.parent)) from error
    finally:
        source.close()


def _verified(path: Path, *, shown: str) -> dict[str, int]:
    """Returns the figures of a backup, after looking whether it can be restored.

    Args:
        path: where it lies now.
        shown: what its owner calls it.

    Raises:
        StoreCorrupt: it is no backup, or damaged, or of a later version.
    """
    connection = apsw.Connection(str(path))
    try:
        if connection.pragma("application_id") != APPLICATION_ID:
            raise StoreCorrupt(f"{shown} is not a backup of Tenet")
        # One file, without a log beside it.
        connection.pragma("journal_mode", "delete")
        prepare(connection)
        problems = connection.execute("PRAGMA quick_check(1)").fetchall()
        if problems != [("ok",)]:
            raise StoreCorrupt(f"{shown} is damaged: {problems[0][0]}")
        numbers = [number for (number,) in connection.execute("SELECT number FROM spaces").fetchall()]
        records = sum(_count(connection, f"s{number}") for number in numbers)
        connection.pragma("journal_mode", "delete")
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StoreCorrupt(f"{shown} is not a backup of Tenet, or damaged: {error}") from error
    except apsw.Error as error:
        raise translate(error, connection, str(path.parent)) from error
    finally:
        connection.close()
    return {"bytes": path.stat().st_size, "records": records}


def _count(connection: apsw.Connection, table: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    assert isinstance(count, int)
    return count


def stage_restore(directory: str, path: str) -> Path:
    """Copies a backup into the data directory and checks it there; returns the copy, which `swap` puts in place.

    Raises:
        InvalidRequest: there is no such file, it cannot be read, or it is the store's own.
        StoreCorrupt: it is no backup, or damaged, or of a later version.
        DiskFull: there is no room for it.
    """
    if not Path(path).is_file():
        raise InvalidRequest(f"there is no backup {path}")
    store = Path(directory, FILE_NAME)
    if store.exists() and store.samefile(path):
        # To close it would give up the locks of whoever has it open, and without its log it is half of the store.
        raise InvalidRequest(f"{path} is the store itself, not a backup of it")
    try:
        staged = _make_private(Path(directory), _STAGED_PREFIX, "")
        try:
            _copy_file(path, staged)
            _verified(staged, shown=path)
            _sync(staged)
        except BaseException:
            _remove_database(staged)
            raise
    except OSError as error:
        raise from_system(error, directory) from error
    return staged


def remove_staged(directory: str) -> None:
    """Removes what restores that were broken off have left; for whoever has just locked the directory."""
    for left in Path(directory).glob(f"{_STAGED_PREFIX}*"):
        left.unlink(missing_ok=True)


def discard_staged(staged: Path) -> None:
    """Removes a staged copy that is not to be put in place."""
    _remove_database(staged)


def swap(staged: Path) -> None:
    """Puts a staged copy in the place of the store's file, which nobody writes to.

    Raises:
        StoreUnavailable: somebody still reads the store, as a backup does; it is left as it was.
        DiskFull: there is no room for what the store's log holds; it is left as it was.
    """
    target = staged.with_name(FILE_NAME)
    _continue_from(staged, target)
    _fold_in(target)
    # The old store is whole without its log, which must not be taken for a log of the new file.
    for suffix in ("-wal", "-shm", "-journal"):
        target.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
    staged.rename(target)
    _sync(target.parent)


def _fold_in(store: Path) -> None:
    """Brings all that the log of a store holds into its file; a damaged one is left as it is.

    Raises:
        StoreUnavailable: somebody still reads the store as it was before.
        DiskFull: there is no room for it.
    """
    log = store.with_name(store.name + "-wal")
    if not store.exists() or not log.exists() or not log.stat().st_size:
        return
    try:
        with contextlib.closing(connect(str(store), cache_bytes=_CACHE_BYTES)) as connection:
            connection.set_busy_timeout(_FOLD_IN_WAIT_MS)
            execute: Execute = connection.execute
            try:
                ((is_busy, frames, folded),) = execute("PRAGMA wal_checkpoint(FULL)").fetchall()
            except apsw.Error as error:
                raise translate(error, connection, str(store.parent)) from error
    except StoreCorrupt:
        return
    if is_busy or folded < frames:
        raise StoreUnavailable(
            f"the store in {store.parent} is still being read, as by a backup that is being written: restore when that"
            " has ended"
        )


def restore_file(location: str, path: str, /, *, kept_in: str | None = None) -> None:
    """Restores a backup into the data directory of a server that is stopped: the entry point ``tenet.restores``.

    The old store need not be one that can be opened. Under its name there is always the old file or the new one.

    Args:
        location: the data directory, made where it is missing.
        path: the backup.
        kept_in: a folder to be made, which the old file and its log are kept in; None where they may go.

    Raises:
        StoreLocked: the server runs.
        InvalidRequest: there is no such file.
        StoreCorrupt: the file is no backup, or damaged, or of a later version; the store is left as it was.
        DiskFull: there is no room for it; the store is left as it was.
        StoreUnavailable: somebody still reads the store; it is left as it was.
    """
    try:
        lock = DirectoryLock(location)
    except OSError as error:
        raise from_system(error, location) from error
    try:
        remove_staged(location)
        staged = stage_restore(location, path)
        try:
            with _kept(Path(location), Path(kept_in)) if kept_in is not None else contextlib.nullcontext():
                swap(staged)
        finally:
            discard_staged(staged)
    except OSError as error:
        raise from_system(error, location) from error
    finally:
        lock.release()


@contextlib.contextmanager
def _kept(directory: Path, kept: Path) -> Iterator[None]:
    """Gives the store's file and its log a second name for a block, and for good where the block ends well.

    Where it does not, the store has its file and its log as before.
    """
    kept.mkdir(mode=_PRIVATE_DIRECTORY)
    file, log = (directory / (FILE_NAME + suffix) for suffix in ("", "-wal"))
    there = [path for path in (file, log) if path.exists()]
    number = _inode(file)
    try:
        for path in there:
            _link(path, kept / path.name)
        _sync(kept)
        _sync(kept.parent)
        yield
    except BaseException:
        # Beside a file that has taken its place already, the old log must not lie.
        if _inode(file) == number:
            if log in there and not log.exists():
                (kept / log.name).rename(log)
                _sync(directory)
            shutil.rmtree(kept)
        raise


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _link(path: Path, second: Path) -> None:
    """Gives a file a second name; a copy of it, on another file system or on one without links."""
    try:
        os.link(path, second)
    except OSError:
        shutil.copyfile(path, second)
        second.chmod(_PRIVATE_FILE)
        _sync(second)


def _continue_from(staged: Path, old: Path) -> None:
    """Brings into a staged copy what has to outlive the old file, if that can be read.

    Versions never go back, and a commit that was settled as never committed must not take effect after all.
    """
    if not old.exists():
        return
    connection = apsw.Connection(str(staged))
    try:
        with (
            contextlib.suppress(apsw.Error, StoreError),
            contextlib.closing(connect(str(old), cache_bytes=_CACHE_BYTES)) as before,
        ):
            times = _readable(before, "SELECT last FROM commits ORDER BY first DESC LIMIT 1")
            fences = _readable(before, "SELECT id, until_ms FROM fences")
            with connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO commits (first, last, from_ms, until_ms, tail, ids)"
                    " VALUES (?1, ?1, 0, 0, x'', x'')",
                    times,
                )
                connection.executemany("INSERT OR IGNORE INTO fences (id, until_ms) VALUES (?, ?)", fences)
    finally:
        connection.close()
    _sync(staged)


def _readable(connection: apsw.Connection, query: str) -> list[Any]:
    """Returns the rows of a query up to the first that damage keeps from being read."""
    rows: list[Any] = []
    with contextlib.suppress(apsw.Error):
        rows.extend(connection.execute(query))
    return rows


def _copy_file(path: str, target: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise InvalidRequest(f"the backup {path} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as source, target.open("wb") as written:
        shutil.copyfileobj(source, written, 1024 * 1024)


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
