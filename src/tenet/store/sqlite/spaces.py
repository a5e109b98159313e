"""The catalogue of spaces, and the statements that read and write the tables of one.

A space has a number for its life, which is never given again; its tables bear the number: ``s7`` its records, ``t7``
its stamps, ``l7`` its log. A name that is dropped is free at once, whatever is left of its tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apsw
import msgspec

from tenet.store.contract import SpaceInfo, SpaceOptions
from tenet.store.errors import SpaceNotFound
from tenet.store.sqlite.schema import TRIMMING, Execute

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(SpaceOptions)


class Space:
    """A space with its number and its statements.

    Args:
        number: its number.
        name: its name.
        options: its options.
    """

    __slots__ = (
        "add_sql",
        "append_sql",
        "cells_sql",
        "delete_sql",
        "get_sql",
        "log",
        "name",
        "number",
        "options",
        "put_absent_sql",
        "put_absent_sql",
        "put_cells_sql",
        "put_sql",
        "put_version_sql",
        "put_version_sql",
        "query_down_sql",
        "query_sql",
        "records",
        "stamp_prefix_bytes",
        "stamp_put_sql",
        "stamp_sql",
        "stamps",
        "version_sql",
    )

    def __init__(self, number: int, name: str, options: SpaceOptions) -> None:
        self.number = number
        self.name = name
        self.options = options
        self.stamps = options.stamps
        self.stamp_prefix_bytes = options.stamp_prefix_bytes
        self.log = options.log
        records = self.records = f"s{number}"
        self.get_sql = f"SELECT version, value, cells FROM {records} WHERE key = ?"
        self.version_sql = f"SELECT version FROM {records} WHERE key = ?"
        self.cells_sql = f"SELECT cells FROM {records} WHERE key = ?"
        insert = f"INSERT INTO {records} (key, head, version, value, cells) VALUES (?, ?, ?, ?, ?)"
        upsert = f"{insert} ON CONFLICT (key) DO UPDATE"
        self.put_sql = f"{upsert} SET version = excluded.version, value = excluded.value"
        self.put_version_sql = f"UPDATE {records} SET version = ?, value = ? WHERE key = ? AND version = ?"
        self.put_absent_sql = f"{insert} ON CONFLICT (key) DO NOTHING"
        self.put_cells_sql = f"{self.put_sql}, cells = excluded.cells"
        self.add_sql = f"{upsert} SET cells = excluded.cells"
        self.delete_sql = f"DELETE FROM {records} WHERE key = ?"
        page = f"SELECT key, version, value, cells FROM {records} WHERE key >= ? AND key < ? ORDER BY key"
        self.query_sql = f"{page} LIMIT ?"
        self.query_down_sql = f"{page} DESC LIMIT ?"
        self.stamp_sql = f"SELECT stamp FROM t{number} WHERE bucket = ?"
        self.stamp_put_sql = f"INSERT OR REPLACE INTO t{number} (bucket, stamp) VALUES (?, ?)"
        self.append_sql = (
            f"INSERT INTO l{number} (position, shard, commit_id, version, partition, sort, old, new, origin)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )

    def info(self) -> SpaceInfo:
        """Returns what the contract says of it."""
        return SpaceInfo(self.name, self.options)

    def scan_sql(self, comparison: str, *, has_lower: bool, has_upper: bool) -> str:
        """Returns the statement of a page of a scan.

        Args:
            comparison: ``>=`` or ``>``, how keys are compared with the lower end.
            has_lower: whether sort keys have to be at or above one more parameter.
            has_upper: whether sort keys have to be below one more parameter.
        """
        within = " AND substr(key, head + 1) >= ?" if has_lower else ""
        within += " AND substr(key, head + 1) < ?" if has_upper else ""
        return (
            f"SELECT key, head, version, value, cells FROM {self.records} WHERE key {comparison} ? AND key < ?{within}"
            " ORDER BY key LIMIT ?"
        )


class Catalogue:
    """The spaces that exist, as the last durable transaction left them."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, Space] = {}

    def load(self, execute: Execute) -> None:
        """Reads the catalogue from the file."""
        rows: list[Any] = execute("SELECT number, name, options FROM spaces").fetchall()
        self._by_name = {name: Space(number, name, _decoder.decode(options)) for number, name, options in rows}

    def find(self, name: str) -> Space:
        """Returns the space of a name.

        Raises:
            SpaceNotFound: there is none.
        """
        space = self._by_name.get(name)
        if space is None:
            raise SpaceNotFound(f"there is no space {name!r}")
        return space

    def get(self, name: str) -> Space | None:
        """Returns the space of a name, or None."""
        return self._by_name.get(name)

    def has(self, space: Space) -> bool:
        """Whether this very space is still there, perhaps with other options."""
        now = self._by_name.get(space.name)
        return now is not None and now.number == space.number

    def set(self, space: Space) -> None:
        """Adds a space, or replaces the one of its name."""
        self._by_name[space.name] = space

    def remove(self, name: str) -> None:
        """Takes a name out."""
        self._by_name.pop(name, None)

    def __iter__(self) -> Iterator[Space]:
        return iter(tuple(self._by_name.values()))


def create(connection: apsw.Connection, name: str, options: SpaceOptions) -> Space:
    """Makes the tables of a new space within the open transaction."""
    connection.execute("INSERT INTO spaces (name, options) VALUES (?, ?)", (name, _encoder.encode(options)))
    space = Space(connection.last_insert_rowid(), name, options)
    # `head` is how many bytes of the key come before the sort key. Keys have an index of their own, so that the tree
    # of the records is keyed by small numbers and stays flat, however large the values are.
    connection.execute(
        f"CREATE TABLE {space.records} (id INTEGER PRIMARY KEY, key BLOB NOT NULL, head INTEGER NOT NULL,"
        " version BLOB NOT NULL, value BLOB NOT NULL, cells BLOB)"
    )
    connection.execute(f"CREATE UNIQUE INDEX {space.records}_key ON {space.records} (key)")
    if options.stamps:
        connection.execute(
            f"CREATE TABLE t{space.number} (bucket BLOB PRIMARY KEY, stamp INTEGER NOT NULL) WITHOUT ROWID"
        )
    if options.log is not None:
        _create_log(connection.execute, space.number)
    return space


def change(execute: Execute, space: Space, options: SpaceOptions, *, time: int) -> Space:
    """Gives a space other options within the open transaction; what is fixed was checked before.

    Args:
        execute: of the writer's connection.
        space: the space as it is.
        options: as it shall be.
        time: a hybrid time that names the change.
    """
    execute("UPDATE spaces SET options = ? WHERE number = ?", (_encoder.encode(options), space.number))
    if options.log is not None and space.log is None:
        _create_log(execute, space.number)
    elif options.log is None and space.log is not None:
        _drop_log(execute, space, time)
    readers = () if options.log is None else options.log.readers
    for (reader,) in execute("SELECT DISTINCT reader FROM log_positions WHERE space = ?", (space.number,)).fetchall():
        if reader not in readers and reader != TRIMMING:
            execute("DELETE FROM log_positions WHERE space = ? AND reader = ?", (space.number, reader))
    return Space(space.number, space.name, options)


def drop(connection: apsw.Connection, space: Space) -> None:
    """Takes a space out of the catalogue within the open transaction; its tables are emptied later, bit by bit."""
    connection.execute("DELETE FROM spaces WHERE number = ?", (space.number,))
    connection.execute("DELETE FROM log_positions WHERE space = ?", (space.number,))
    tables = [space.records]
    if space.stamps:
        tables.append(f"t{space.number}")
    if space.log is not None:
        tables.append(f"l{space.number}")
    connection.executemany("INSERT INTO garbage (name) VALUES (?)", [(table,) for table in tables])


def _create_log(execute: Execute, number: int) -> None:
    execute(
        f"CREATE TABLE l{number} (position INTEGER PRIMARY KEY, shard INTEGER NOT NULL, commit_id BLOB NOT NULL,"
        " version BLOB NOT NULL, partition BLOB NOT NULL, sort BLOB NOT NULL, old BLOB, new BLOB, origin TEXT NOT NULL)"
    )
    execute(f"CREATE INDEX l{number}_shard ON l{number} (shard)")


def _drop_log(execute: Execute, space: Space, time: int) -> None:
    """Sets a log aside to be emptied. One that is switched on again begins anew."""
    table = f"l{space.number}"
    aside = f"{table}_until_{time}"
    execute(f"ALTER TABLE {table} RENAME TO {aside}")
    execute(f"DROP INDEX {table}_shard")
    execute("INSERT INTO garbage (name) VALUES (?)", (aside,))
    execute("DELETE FROM log_positions WHERE space = ?", (space.number,))
