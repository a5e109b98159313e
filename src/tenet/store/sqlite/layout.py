"""Compares the tables of a file with those that this version makes.

The format's number alone does not tell: a build from between two releases may have written other tables under it. What
does not fit is refused when the file is opened, not found out by the statement that misses a column.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final, TypeAlias

import apsw
import msgspec
from msgspec import Struct

from tenet.store.contract import LogOptions, SpaceOptions
from tenet.store.errors import StoreCorrupt
from tenet.store.sqlite.schema import FORMAT_VERSION, Execute, make
from tenet.store.sqlite.spaces import Catalogue, create

#: A column: its name, type, whether it may not be NULL, and its place in the primary key.
_Column: TypeAlias = tuple[str, str, int, int]

_FIXED: Final = ("spaces", "garbage", "commits", "fences", "log_positions")
_COLUMNS_SQL: Final = (
    'SELECT t.name, c.name, c.type, c."notnull", c.pk FROM sqlite_schema t, pragma_table_info(t.name) c'
    " WHERE t.type = 'table'"
)


class _Layout(Struct, frozen=True):
    """The tables and the indexes of a file."""

    tables: dict[str, frozenset[_Column]]
    indexes: frozenset[str]


def check_layout(execute: Execute, path: str) -> None:
    """Looks whether the file has every table and index of this format, with the columns that this version writes.

    Args:
        execute: of a connection to the file.
        path: the file, for messages.

    Raises:
        StoreCorrupt: it has not; the message names the first thing that is missing or different.
    """
    problem = next(_problems(execute), None)
    if problem is not None:
        raise StoreCorrupt(
            f"{path} says that it has the format {FORMAT_VERSION}, but {problem}. A version between two releases may"
            " have written it: export its data with that version, or restore a backup of a release"
        )


def _problems(execute: Execute) -> Iterator[str]:
    """Gives what is missing or different."""
    found, expected = _layout_of(execute), _expected()
    for table in _FIXED:
        yield from _differences(found, table, expected.tables[table])
    spaces = Catalogue()
    try:
        spaces.load(execute)
    except msgspec.DecodeError as error:
        yield f"has a space whose options cannot be read ({error})"
        return
    for table, pattern in _tables_of(spaces):
        yield from _differences(found, table, expected.tables[pattern])
    left = [name for (name,) in execute("SELECT name FROM garbage").fetchall()]
    yield from (f"has no table {name}" for name in left if name not in found.tables)
    yield from (f"has no index {name}" for name in _indexes_of(spaces) if name not in found.indexes)


def _tables_of(spaces: Catalogue) -> Iterator[tuple[str, str]]:
    """Gives the tables of the spaces, each with the table that it must be like."""
    for space in spaces:
        yield space.records, "s1"
        if space.stamps:
            yield f"t{space.number}", "t1"
        if space.log is not None:
            yield f"l{space.number}", "l1"


def _indexes_of(spaces: Catalogue) -> Iterator[str]:
    yield "commits_made"
    for space in spaces:
        yield f"{space.records}_key"
        if space.log is not None:
            yield f"l{space.number}_shard"


def _differences(found: _Layout, table: str, wanted: frozenset[_Column]) -> Iterator[str]:
    columns = found.tables.get(table)
    if columns is None:
        yield f"has no table {table}"
    elif columns != wanted:
        yield f"has a table {table} of the columns {_named(columns)}, which should be {_named(wanted)}"


def _named(columns: frozenset[_Column]) -> str:
    return ", ".join(sorted(f"{name} {kind}{' not null' * required}" for name, kind, required, _ in columns))


def _layout_of(execute: Execute) -> _Layout:
    tables: dict[str, set[_Column]] = {}
    for table, *column in execute(_COLUMNS_SQL).fetchall():
        name, kind, required, place = column
        tables.setdefault(table, set()).add((name, kind, required, place))
    indexes = execute("SELECT name FROM sqlite_schema WHERE type = 'index'").fetchall()
    return _Layout(
        {name: frozenset(columns) for name, columns in tables.items() if not name.startswith("sqlite_")},
        frozenset(name for (name,) in indexes),
    )


@cache
def _expected() -> _Layout:
    """Returns what this version makes: the fixed tables, and those of a space with the number 1."""
    connection = apsw.Connection(":memory:")
    try:
        make(connection)
        create(connection, "any", SpaceOptions(stamps=True, log=LogOptions()))
        return _layout_of(connection.execute)
    finally:
        connection.close()
