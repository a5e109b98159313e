"""Turns what SQLite raises into the errors of the store, which name the path and say what to do about it."""

from __future__ import annotations

import errno
import os
from typing import Final

import apsw

from tenet.store.errors import (
    FULL_ERRNOS,
    DiskFull,
    ReadOnlyStore,
    StoreCorrupt,
    StoreError,
    StoreFault,
    StoreUnavailable,
)

_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
#: What a disk or a file system says that has found its own data to be damaged.
_DAMAGED: Final = frozenset({apsw.SQLITE_IOERR_CORRUPTFS, apsw.SQLITE_IOERR_DATA})
#: The statement itself is wrong for this file: a bug of ours, or somebody changed the file's tables.
_OF_THE_STATEMENT: Final = (
    apsw.SQLError,
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.MisuseError,
    apsw.RangeError,
    apsw.TooBigError,
    apsw.AuthError,
    apsw.FormatError,
    apsw.NotFoundError,
    apsw.InternalError,
)


def translate(error: apsw.Error, connection: apsw.Connection | None, directory: str) -> StoreError:
    """Returns the error of the store for one of SQLite's.

    Args:
        error: what SQLite raised.
        connection: where it was raised, which knows the operating system's last error; None if it never opened.
        directory: the data directory.
    """
    extended = getattr(error, "extendedresult", 0)
    is_of_system = isinstance(error, apsw.IOError | apsw.CantOpenError)
    number = connection.system_errno if is_of_system and connection is not None else 0
    # The index of the write-ahead log is a file too, and could not be made longer.
    is_index = extended == apsw.SQLITE_IOERR_SHMSIZE
    if isinstance(error, apsw.FullError) or number in FULL_ERRNOS or is_index:
        return disk_full(directory)
    if extended == apsw.SQLITE_READONLY_DBMOVED:
        return StoreFault(f"the store's file in {directory} was moved or replaced while it was open: stop the server")
    if isinstance(error, apsw.ReadOnlyError) or number in _READ_ONLY:
        return read_only(directory)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError) or extended in _DAMAGED:
        return StoreCorrupt(f"the store in {directory} is damaged ({error}): restore it from a backup")
    if isinstance(error, _OF_THE_STATEMENT):
        return StoreFault(f"the store in {directory} cannot do it, now or later: {error!r}")
    return StoreUnavailable(f"the store in {directory} could not do it: {error}{_system_text(number)}")


def is_of_the_disk(error: Exception) -> bool:
    """Whether an error has nothing to do with the statement that it befell: the next one would have fared no better.

    A damaged page concerns those who need it.
    """
    return getattr(error, "extendedresult", 0) not in _DAMAGED and isinstance(
        error,
        apsw.FullError
        | apsw.IOError
        | apsw.ReadOnlyError
        | apsw.CantOpenError
        | apsw.BusyError
        | apsw.NoMemError
        | apsw.NotADBError,
    )


def is_surely_undone(error: Exception) -> bool:
    """Whether a COMMIT that raised this left nothing behind that could ever count.

    The page that makes a transaction valid is written last; where a write failed, it was not written.
    """
    return isinstance(error, apsw.FullError | apsw.ReadOnlyError | apsw.BusyError) or (
        isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_WRITE
    )


def disk_full(directory: str) -> DiskFull:
    """Returns the error of a disk without room."""
    return DiskFull(
        f"no room is left on the disk of {directory}; nothing was written. Free some, and writing goes on by itself"
    )


def read_only(directory: str) -> ReadOnlyStore:
    """Returns the error of a directory that cannot be written to."""
    return ReadOnlyStore(
        f"the data directory {directory} cannot be written to; reads go on. Mount it writable, or give this user the"
        " right to write, and writing goes on by itself"
    )


def from_system(error: OSError, directory: str) -> StoreError:
    """Returns the error of the store for one of the operating system's."""
    if error.errno in FULL_ERRNOS:
        return disk_full(directory)
    if error.errno in _READ_ONLY:
        return read_only(directory)
    return StoreUnavailable(f"the data directory {directory} cannot be used: {error.strerror}")


def _system_text(number: int) -> str:
    return f" ({os.strerror(number)})" if number else ""
