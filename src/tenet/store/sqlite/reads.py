"""The reads of the contract, each on whatever connection it is given: the loop's, or one of a reading thread.

A connection that is not the writer's sees the last durable transaction, and waits for nobody. What needs *one moment*
runs several statements that have to see the same state; ``pool`` gives it that.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tenet.store.contract import NO_CELLS, Key, Page, Range, Record, StampOf
from tenet.store.sqlite.keys import HEAD_BYTES, bounds, prefix_of, slice_bounds
from tenet.store.sqlite.rows import cells_from_bytes, record_of
from tenet.store.sqlite.schema import Execute
from tenet.store.sqlite.spaces import Space


def get(execute: Execute, space: Space, key: Key) -> Record | None:
    """Returns the record of a key, or None."""
    stored = prefix_of(key.partition) + key.sort
    rows = execute(space.get_sql, (stored,)).fetchall()
    return record_of(key.partition, key.sort, rows[0]) if rows else None


def stamp(execute: Execute, space: Space, of: StampOf) -> int:
    """Returns a stamp; 0 where nothing was committed yet into what it covers."""
    rows = execute(space.stamp_sql, (prefix_of(of.partition) + of.bucket,)).fetchall()
    return int(rows[0][0]) if rows else 0


class Query(Struct, frozen=True, gc=False):
    """A query of one partition; arguments as ``contract.Store.query`` has them, and the space of its stamp."""

    space: Space
    partition: bytes
    within: Range
    limit: int
    limit_bytes: int
    reverse: bool = False
    stamp: StampOf | None = None
    stamped: Space | None = None

    def capped(self, limit: int, limit_bytes: int) -> Query:
        """Returns the query with smaller limits."""
        return Query(
            self.space,
            self.partition,
            self.within,
            min(limit, self.limit),
            min(limit_bytes, self.limit_bytes),
            self.reverse,
            self.stamp,
            self.stamped,
        )

    def read(self, execute: Execute) -> Page:
        """Returns the page; needs one moment if it asks for a stamp."""
        read_stamp = None
        if self.stamp is not None and self.stamped is not None:
            read_stamp = stamp(execute, self.stamped, self.stamp)
        partition = self.partition
        lower, upper = bounds(partition, self.within)
        head = len(prefix_of(partition))
        records: list[Record] = []
        bytes_left = self.limit_bytes
        rows = execute(
            self.space.query_down_sql if self.reverse else self.space.query_sql, (lower, upper, self.limit + 1)
        )
        for key, version, value, cells in rows:
            if len(records) == self.limit or bytes_left <= 0:
                return Page(records, more=True, stamp=read_stamp)
            records.append(
                Record(partition, key[head:], value, version, cells_from_bytes(cells) if cells else NO_CELLS)
            )
            bytes_left -= len(value)
        return Page(records, more=False, stamp=read_stamp)


class Scan(Struct, frozen=True, gc=False):
    """A page of a scan; arguments as ``contract.Store.scan`` has them."""

    space: Space
    within: Range
    limit: int
    limit_bytes: int
    slice_index: int = 0
    slice_count: int = 1
    after: tuple[bytes, bytes] | None = None

    def read(self, execute: Execute) -> Page:
        """Returns the page."""
        lower, upper = slice_bounds(self.slice_index, self.slice_count)
        comparison = ">="
        if self.after is not None:
            partition, sort = self.after
            resumed = prefix_of(partition) + sort
            if resumed >= lower:
                lower, comparison = resumed, ">"
        within = self.within
        parameters: list[bytes | int] = [lower, upper]
        if within.lower:
            parameters.append(within.lower)
        if within.upper is not None:
            parameters.append(within.upper)
        parameters.append(self.limit + 1)
        sql = self.space.scan_sql(comparison, has_lower=bool(within.lower), has_upper=within.upper is not None)
        records: list[Record] = []
        bytes_left = self.limit_bytes
        for key, head, version, value, cells in execute(sql, parameters):
            if len(records) == self.limit or bytes_left <= 0:
                return Page(records, more=True)
            partition, sort = key[HEAD_BYTES:head], key[head:]
            records.append(Record(partition, sort, value, version, cells_from_bytes(cells) if cells else NO_CELLS))
            bytes_left -= len(value)
        return Page(records, more=False)


class Together(Struct, frozen=True, gc=False):
    """Records and stamps of one moment.

    Args:
        reads: what is read.
        spaces: the space of each.
    """

    reads: Sequence[Key | StampOf]
    spaces: Sequence[Space]

    def read(self, execute: Execute) -> list[Record | int | None]:
        """Returns them all; needs one moment."""
        return [self._read_one(execute, space, read) for space, read in zip(self.spaces, self.reads, strict=True)]

    def read_up_to(self, execute: Execute, value_bytes: int) -> list[Record | int | None] | None:
        """Returns them all, or None when their values have come to so many bytes before the last; needs one moment."""
        answers: list[Record | int | None] = []
        for space, read in zip(self.spaces, self.reads, strict=True):
            if value_bytes <= 0:
                return None
            answer = self._read_one(execute, space, read)
            value_bytes -= len(answer.value) if isinstance(answer, Record) else 0
            answers.append(answer)
        return answers

    def _read_one(self, execute: Execute, space: Space, read: Key | StampOf) -> Record | int | None:
        return stamp(execute, space, read) if isinstance(read, StampOf) else get(execute, space, read)
