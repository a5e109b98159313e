"""The file ``tenet.db``: its tables, its settings, and the version of its format.

Beside the tables of the spaces (``spaces``) the file holds the catalogue of spaces, the ids of commits, the ids that
may never commit, and how far the readers of logs have come.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

import apsw

from tenet.store.sqlite.faults import translate

#: What the file says about itself in its header (https://www.sqlite.org/fileformat.html, offsets 68 and 60).
APPLICATION_ID: Final = 0x54454E54
FORMAT_VERSION: Final = 2
FILE_NAME: Final = "tenet.db"
PAGE_BYTES: Final = 8192
#: Held by who opens a connection, and by who looks whether any has a file open (``writeback``).
opening: Final = Lock()
#: The reader of a log whose position is that of its trimming: everything at or below it may be gone.
TRIMMING: Final = ""

_TABLES: Final = (
    "CREATE TABLE spaces (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, options BLOB NOT NULL)",
    # Tables of spaces and logs that were dropped, to be emptied bit by bit.
    "CREATE TABLE garbage (name TEXT PRIMARY KEY) WITHOUT ROWID",
    # One row for the commits of one transaction. `first` and `last` are the hybrid times that they used, `tail` the
    # site and the nonce of their versions; `ids` holds 24 bytes for each: its id, and the hybrid time of its version.
    # `from_ms` is when the first of the ids was made, `until_ms` when the last of them may be forgotten.
    """CREATE TABLE commits (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL, tail BLOB NOT NULL, ids BLOB NOT NULL)""",
    "CREATE INDEX commits_made ON commits (until_ms, from_ms)",
    "CREATE TABLE fences (id BLOB PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID",
    # How far a log's reader has come; the reader without a name is the trimming itself.
    """CREATE TABLE log_positions (space INTEGER NOT NULL, shard INTEGER NOT NULL, reader TEXT NOT NULL,
    position INTEGER NOT NULL, PRIMARY KEY (space, shard, reader)) WITHOUT ROWID""",
)


class Rows(Protocol):
    """What a statement returns: tuples, whose types are those of the columns that it names."""

    def fetchall(self) -> list[Any]:
        """Returns all rows and ends the statement."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Returns the rows one by one."""
        ...


class Execute(Protocol):
    """Runs a statement on a connection."""

    def __call__(self, statements: str, bindings: Any = ..., /) -> Rows:
        """Runs the statement.

        Args:
            statements: SQL with a question mark for each parameter.
            bindings: the parameters.
        """
        ...


def connect(path: str, *, cache_bytes: int, create: bool = False) -> apsw.Connection:
    """Opens one more connection to the file.

    Args:
        path: the file.
        cache_bytes: memory for its pages.
        create: whether a file that is missing is made.

    Raises:
        StoreError: it cannot be opened, see ``faults.translate``.
    """
    directory = str(Path(path).parent)
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    try:
        with opening:
            connection = apsw.Connection(path, flags=flags, statementcachesize=512)
    except apsw.Error as error:
        raise translate(error, None, directory) from error
    try:
        connection.set_busy_timeout(5_000)
        connection.execute(f"PRAGMA cache_size = -{cache_bytes // 1024}")
        # Every commit is synchronised before it is answered; checkpoints belong to a thread of their own.
        connection.execute("PRAGMA synchronous = FULL")
        # On macOS an fsync alone leaves the data in the disk's own memory; elsewhere this changes nothing.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # Else a statement with a range is compiled anew for each pair of ends, as its plan might depend on them; here
        # none does (https://www.sqlite.org/queryplanner-ng.html, section 4).
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    except apsw.Error as error:
        refused = translate(error, connection, directory)
        connection.close()
        raise refused from error
    return connection


def make(connection: apsw.Connection) -> None:
    """Makes the tables of a new file."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.pragma("journal_mode", "wal")
    with connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
