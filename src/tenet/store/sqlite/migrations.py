"""Brings a file of an older format to this one, in one transaction: a crash leaves the old format or the new one.

A step reads what its version wrote and writes what the next one reads; it never changes once it was released.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Final

import apsw

from tenet.store.contract import CommitId, commit_id_ms
from tenet.store.errors import StoreCorrupt, StoreOfLaterVersion
from tenet.store.sqlite.layout import check_layout
from tenet.store.sqlite.outcomes import until_ms_of
from tenet.store.sqlite.schema import APPLICATION_ID, FORMAT_VERSION, Execute, make

_IDS_PER_ROW: Final = 500


def prepare(connection: apsw.Connection) -> None:
    """Makes the tables of a new file, or brings those of an older format to this one.

    Raises:
        StoreOfLaterVersion: the file is of a later format.
        StoreCorrupt: it is not one of ours, or its tables are not those of its format.
    """
    found = connection.pragma("user_version")
    assert isinstance(found, int)
    if found == 0 and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
        make(connection)
        return
    if connection.pragma("application_id") != APPLICATION_ID or found < 1:
        raise StoreCorrupt(f"{connection.filename} is a database, but not a store of Tenet")
    if found > FORMAT_VERSION:
        raise StoreOfLaterVersion(
            f"{connection.filename} has the format {found}, and this version of Tenet reads up to {FORMAT_VERSION}:"
            " start the version that wrote it, or a later one"
        )
    connection.pragma("journal_mode", "wal")
    if found < FORMAT_VERSION:
        _migrate(connection, found)
    check_layout(connection.execute, connection.filename)


def _migrate(connection: apsw.Connection, found: int) -> None:
    """Brings the file from the format that was found, 1 or more, to this version's."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(found, FORMAT_VERSION):
            _STEPS[step](connection.execute)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _from_1_to_2(execute: Execute) -> None:
    """One row for the commits of a transaction instead of one each; tables that are dropped are emptied bit by bit."""
    execute("CREATE TABLE garbage (name TEXT PRIMARY KEY) WITHOUT ROWID")
    execute(
        "CREATE TABLE commits (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, from_ms INTEGER NOT NULL,"
        " until_ms INTEGER NOT NULL, tail BLOB NOT NULL, ids BLOB NOT NULL)"
    )
    execute("CREATE INDEX commits_made ON commits (until_ms, from_ms)")
    rows = execute("SELECT id, version FROM commit_ids ORDER BY version").fetchall()
    for tail, run in groupby(rows, key=lambda row: row[1][8:]):
        entries = [(CommitId(commit_id), version[:8]) for commit_id, version in run]
        for at in range(0, len(entries), _IDS_PER_ROW):
            _pack(execute, tail, entries[at : at + _IDS_PER_ROW])
    execute("DROP TABLE commit_ids")
    execute("ALTER TABLE fences RENAME TO fences_1")
    execute("CREATE TABLE fences (id BLOB PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID")
    for (commit_id,) in execute("SELECT id FROM fences_1").fetchall():
        execute("INSERT INTO fences (id, until_ms) VALUES (?, ?)", (commit_id, until_ms_of(commit_id)))
    execute("DROP TABLE fences_1")


def _pack(execute: Execute, tail: bytes, entries: list[tuple[CommitId, bytes]]) -> None:
    times = [int.from_bytes(time, "big") for _, time in entries]
    made_ms = [commit_id_ms(commit_id) for commit_id, _ in entries]
    until_ms = max(until_ms_of(commit_id) for commit_id, _ in entries)
    ids = b"".join(commit_id + time for commit_id, time in entries)
    execute(
        "INSERT INTO commits (first, last, from_ms, until_ms, tail, ids) VALUES (?, ?, ?, ?, ?, ?)",
        (times[0], times[-1], min(made_ms), until_ms, tail, ids),
    )


_STEPS: Final[Mapping[int, Callable[[Execute], None]]] = {1: _from_1_to_2}
