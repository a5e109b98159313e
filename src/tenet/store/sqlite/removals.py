"""Removes rows that nobody needs, in steps that are bounded in rows and in bytes.

To remove a row is to free every page that its value fills, so that rows alone are no measure of it. A step takes the
loop some milliseconds, and is a job of the writer among the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import orjson
from msgspec import Struct

from tenet.store.contract import Range
from tenet.store.errors import SpaceNotFound
from tenet.store.sqlite.apply import Transaction
from tenet.store.sqlite.keys import bounds
from tenet.store.sqlite.schema import Execute
from tenet.store.sqlite.spaces import Space

ROWS_PER_STEP: Final = 200
#: A step ends with the row that makes it reach so many bytes: 128 pages of the file.
BYTES_PER_STEP: Final = 1024 * 1024
#: What a step costs the writer, see ``writer.Job``.
STEP_COST: Final = ROWS_PER_STEP

#: How many bytes a record, and an entry of a log, fills; SQLite finds out without reading them.
RECORD_SIZE: Final = "length(value)"
ENTRY_SIZE: Final = "ifnull(length(old), 0) + ifnull(length(new), 0)"


class Removed(Struct, frozen=True, gc=False):
    """What a step removed.

    Args:
        numbers: the row numbers, in the order asked for.
        more: whether there may be more of them.
    """

    numbers: Sequence[int]
    more: bool


def remove_some(
    execute: Execute,
    table: str,
    size: str,
    *,
    where: str = "TRUE",
    parameters: Sequence[object] = (),
    order: str = "rowid",
) -> Removed:
    """Removes the first rows of a table that fulfil a condition.

    Args:
        execute: of the writer's connection.
        table: a table that has row numbers.
        size: SQL of how many bytes a row fills.
        where: SQL of the condition.
        parameters: of the condition.
        order: SQL of the order.
    """
    rows = execute(
        f"SELECT rowid, {size} FROM {table} WHERE {where} ORDER BY {order} LIMIT {ROWS_PER_STEP}", parameters
    ).fetchall()
    numbers: list[int] = []
    bytes_left = BYTES_PER_STEP
    for number, byte_count in rows:
        if bytes_left <= 0:
            break
        numbers.append(number)
        bytes_left -= byte_count
    if numbers:
        listed = orjson.dumps(numbers).decode()
        execute(f"DELETE FROM {table} WHERE rowid IN (SELECT value FROM json_each(?))", (listed,))
    return Removed(numbers, len(numbers) == ROWS_PER_STEP or len(numbers) < len(rows))


def discard(space: Space, partition: bytes, within: Range) -> Callable[[Transaction], Iterator[bool]]:
    """Removes some records of a range of a partition; yields whether there may be more."""
    parameters = bounds(partition, within)

    def work(transaction: Transaction) -> Iterator[bool]:
        if not transaction.catalogue.has(space):
            raise SpaceNotFound(f"there is no space {space.name!r}")
        removed = remove_some(
            transaction.execute,
            space.records,
            RECORD_SIZE,
            where="key >= ? AND key < ?",
            parameters=parameters,
            order="key",
        )
        transaction.has_written = transaction.has_written or bool(removed.numbers)
        yield removed.more

    return work


def sweep(table: str) -> Callable[[Transaction], Iterator[bool]]:
    """Removes some rows of a table of ``garbage``, and the table once it is empty; yields whether there is more."""

    def work(transaction: Transaction) -> Iterator[bool]:
        transaction.has_written = True
        if _empty_further(transaction, table):
            yield True
            return
        transaction.execute(f"DROP TABLE {table}")
        transaction.execute("DELETE FROM garbage WHERE name = ?", (table,))
        yield False

    return work


def _empty_further(transaction: Transaction, table: str) -> bool:
    """Removes some rows; returns whether there may be more."""
    if not table.startswith("t"):
        size = RECORD_SIZE if table.startswith("s") else ENTRY_SIZE
        return remove_some(transaction.execute, table, size).more
    # Stamps have no row numbers, and are small.
    transaction.execute(f"DELETE FROM {table} WHERE bucket IN (SELECT bucket FROM {table} LIMIT {ROWS_PER_STEP})")
    return transaction.connection.changes() == ROWS_PER_STEP


def prune(now_ms: int) -> Callable[[Transaction], Iterator[bool]]:
    """Forgets some ids whose time has passed; yields whether there may be more. The last row of commits stays.

    Hybrid time goes on from that row.

    Args:
        now_ms: the time, milliseconds since 1970-01-01 UTC.
    """

    def work(transaction: Transaction) -> Iterator[bool]:
        transaction.execute(
            f"DELETE FROM fences WHERE id IN (SELECT id FROM fences WHERE until_ms < ? LIMIT {ROWS_PER_STEP})",
            (now_ms,),
        )
        fences = transaction.connection.changes()
        removed = remove_some(
            transaction.execute,
            "commits",
            "length(ids)",
            where="until_ms < ? AND first < (SELECT max(first) FROM commits)",
            parameters=(now_ms,),
            order="until_ms",
        )
        transaction.has_written = transaction.has_written or fences > 0 or bool(removed.numbers)
        yield fences == ROWS_PER_STEP or removed.more

    return work
