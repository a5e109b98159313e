"""What SQLite raises becomes an error that says whether waiting helps."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from tenet.store.errors import DiskFull, ReadOnlyStore, StoreCorrupt, StoreError, StoreFault, StoreUnavailable
from tenet.store.sqlite.faults import is_of_the_disk, translate


def raised(kind: type[apsw.Error], extended: int = 0) -> apsw.Error:
    """An error as SQLite raises it."""
    error: Any = kind("words of SQLite")
    error.extendedresult = extended
    return error  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("error", "told", "is_retryable"),
    [
        (raised(apsw.FullError), DiskFull, True),
        (raised(apsw.IOError, apsw.SQLITE_IOERR_SHMSIZE), DiskFull, True),
        (raised(apsw.BusyError), StoreUnavailable, True),
        (raised(apsw.IOError, apsw.SQLITE_IOERR_FSYNC), StoreUnavailable, True),
        (raised(apsw.ReadOnlyError), ReadOnlyStore, False),
        (raised(apsw.ReadOnlyError, apsw.SQLITE_READONLY_DBMOVED), StoreFault, False),
        (raised(apsw.CorruptError), StoreCorrupt, False),
        (raised(apsw.NotADBError), StoreCorrupt, False),
        (raised(apsw.IOError, apsw.SQLITE_IOERR_CORRUPTFS), StoreCorrupt, False),
        (raised(apsw.IOError, apsw.SQLITE_IOERR_DATA), StoreCorrupt, False),
        (raised(apsw.SQLError), StoreFault, False),
        (raised(apsw.ConstraintError), StoreFault, False),
        (raised(apsw.MismatchError), StoreFault, False),
    ],
)
def test_what_passes_and_what_does_not(error: apsw.Error, told: type[StoreError], *, is_retryable: bool) -> None:
    answer = translate(error, None, "/data/here")
    assert type(answer) is told
    assert answer.retryable is is_retryable
    assert "/data/here" in answer.message


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (raised(apsw.FullError), True),
        (raised(apsw.IOError, apsw.SQLITE_IOERR_FSYNC), True),
        (raised(apsw.NotADBError), True),
        (raised(apsw.CorruptError), False),
        (raised(apsw.IOError, apsw.SQLITE_IOERR_CORRUPTFS), False),
        (raised(apsw.IOError, apsw.SQLITE_IOERR_DATA), False),
        (raised(apsw.SQLError), False),
        (ValueError(), False),
    ],
)
def test_only_what_the_next_statement_would_meet_too_is_of_the_disk(error: Exception, *, is_it: bool) -> None:
    assert is_of_the_disk(error) is is_it
